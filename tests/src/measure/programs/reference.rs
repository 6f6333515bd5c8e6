//! `python3 main.py` beside the stage: the interpreter of the engine, without the engine.
//!
//! Up to stage 3 that is the host's own; from stage 4 on the image's, entered with `chroot` as the
//! user that a sandbox has. The programs are those of the table; nothing isolates them here.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use stage_02_queue::signal_name;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::case::Case;
use super::judge::Ending;

/// How long a program may run that Python alone runs in a second.
const TIMEOUT: Duration = Duration::from_mins(2);
/// The first stage whose programs run in an image.
const FIRST_WITH_IMAGE: u16 = 4;
/// The file that names the directory with the image's files, written by the set-up.
const ROOTFS_PIN: &str = "/etc/crucible/rootfs";
/// Runs Python in the image's files, with the program's directory as /tmp.
const ENTER: &str = r#"
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
mount --bind "$2" "$1/tmp"
cd "$1/tmp"
exec env -i --default-signal HOME=/tmp /usr/sbin/chroot --userspec=65534:65534 "$1" \
  /usr/bin/python3 -c 'import os; os.chdir("/tmp"); os.execv("/usr/bin/python3", ["python3", "main.py"])'
"#;

/// The interpreter that a stage's engine runs programs with.
#[derive(Debug, Clone)]
pub enum Python {
    /// This program of the host.
    Host(PathBuf),
    /// That of an image whose files are in this directory.
    Image(PathBuf),
}

impl Python {
    /// That of a stage.
    ///
    /// # Errors
    ///
    /// When there is none, or it is an image's and this user may not enter it.
    pub async fn of(stage: u16) -> Result<Self> {
        if stage < FIRST_WITH_IMAGE {
            return Ok(Self::Host(host_python().await?));
        }
        if !rustix::process::geteuid().is_root() {
            bail!("the image's files are entered with chroot, which only root may do");
        }
        let pin = std::fs::read_to_string(ROOTFS_PIN).with_context(|| {
            format!("cannot read {ROOTFS_PIN}; run `bash infrastructure/setup/setup.sh`")
        })?;
        Ok(Self::Image(pin.trim().into()))
    }

    /// How `case` ends when it is run by this Python alone.
    ///
    /// # Errors
    ///
    /// When it cannot be run, or does not end.
    pub async fn run(&self, case: &Case) -> Result<Ending> {
        let directory = tempfile::Builder::new().prefix("crucible-reference-").tempdir()?;
        write_files(directory.path(), case)?;
        let mut command = self.command(directory.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().context("cannot run Python")?;
        let mut stdin = child.stdin.take().context("the child has no standard input")?;
        let input = case.input()?;
        let output = timeout(TIMEOUT, async {
            let write = async move {
                // An error means that the program does not read its input.
                stdin.write_all(&input).await.ok();
                drop(stdin);
            };
            let ((), output) = tokio::join!(write, child.wait_with_output());
            output
        });
        let output = output.await.map_err(|_| anyhow!("Python alone does not end"))??;
        let signal = output.status.signal().map(signal_name);
        Ok(Ending {
            outcome: if signal.is_some() { "signaled" } else { "exited" }.to_owned(),
            exit: output.status.code(),
            signal,
            stdout: output.stdout,
            stderr: output.stderr,
        })
    }

    fn command(&self, directory: &Path) -> Command {
        match self {
            Self::Host(python) => {
                // A shell starts what runs in its background with SIGINT ignored.
                let mut command = Command::new("env");
                command.arg("--default-signal").arg(python).arg("main.py").current_dir(directory);
                command
            }
            Self::Image(root) => {
                let mut command = Command::new("unshare");
                command.args([
                    "--mount",
                    "--propagation",
                    "private",
                    "/bin/sh",
                    "-ec",
                    ENTER,
                    "sh",
                ]);
                command.arg(root).arg(directory);
                command
            }
        }
    }
}

/// The path of the host's real interpreter: `python3` may be the shim of a version manager.
///
/// # Errors
///
/// When there is none.
pub async fn host_python() -> Result<PathBuf> {
    let args = ["-I", "-c", "import sys; print(sys.executable)"];
    let output = Command::new("python3").args(args).output().await.context("cannot run python3")?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if path.is_empty() {
        bail!("python3 does not report its path");
    }
    Ok(path.into())
}

/// The program and its files, for a user of whom nothing is known.
fn write_files(directory: &Path, case: &Case) -> Result<()> {
    std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o1777))?;
    let main = ("main.py", case.code.as_str());
    let files = case.files.iter().map(|(path, text)| (path.as_str(), text.as_str()));
    for (path, text) in files.chain([main]) {
        let path = directory.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)?;
    }
    Ok(())
}
