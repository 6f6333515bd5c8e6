//! A jail: "the host" for a stage that has no sandbox.
//!
//! Stages 1 to 3 run every program with all rights of the user that started them. So that a probe
//! can do its worst there without harm to the machine, the ladder starts the stage inside this
//! isolation:
//!
//! | a probe could | control |
//! |---|---|
//! | write to the host's files | the root is an overlay with a temporary tmpfs as its upper layer |
//! | read what is private | /root, /home, /run and /tmp are empty; `/dev` has six harmless nodes |
//! | connect to the machine's services, or to others | a network namespace with a loopback only |
//! | kill processes | a PID namespace; all end with its first process |
//! | use all memory, processes, disk | a control group, and the size of the tmpfs |
//! | use Docker | its socket is not there |
//!
//! What it does not protect against: root inside the jail is root for the kernel, with all
//! capabilities. The jail contains mistakes and the probes of this repository, not a real attacker.
//!
//! Three processes make a jail: `ladder jail enter` joins the control group and becomes `unshare`,
//! which creates the namespaces and waits; inside them `ladder jail init` is process 1, builds the
//! root, starts the stage and reaps orphans.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use rustix::process::{WaitOptions, wait};

use super::cgroup::OwnedCgroup;
use rootfs::BINARIES;
pub use rootfs::METADATA;

mod rootfs;

/// The hidden subcommands that run as a part of a jail.
#[derive(Debug, Clone, Subcommand)]
pub enum JailCommand {
    /// Join the control groups and create the namespaces
    Enter(Enter),
    /// Build the root and start the stage, as process 1
    Init(Init),
    /// Keep a file open in another program
    Holding(Holding),
}

/// Arguments of `jail holding`.
#[derive(Debug, Clone, Args)]
pub struct Holding {
    /// The file
    file: PathBuf,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

impl Holding {
    fn run(self) -> anyhow::Error {
        let hold = || {
            let file = fs::File::open(&self.file)?;
            // Without close-on-exec: the program inherits it without knowing.
            rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())?;
            Ok::<_, std::io::Error>(file)
        };
        let _guard = match hold() {
            Ok(file) => file,
            Err(error) => return anyhow::Error::new(error).context("cannot open the file"),
        };
        let Some((program, arguments)) = self.command.split_first() else {
            return anyhow::anyhow!("no command");
        };
        anyhow::Error::new(Command::new(program).args(arguments).exec()).context("cannot go on")
    }
}

/// Arguments of `jail enter`.
#[derive(Debug, Clone, Args)]
pub struct Enter {
    /// Directory of a control group to join
    #[arg(long)]
    cgroup: Vec<PathBuf>,
    #[command(flatten)]
    init: Init,
}

/// Arguments of `jail init`.
#[derive(Debug, Clone, Args)]
pub struct Init {
    /// Empty directory to build the root in
    #[arg(long)]
    dir: PathBuf,
    /// Host name inside the jail
    #[arg(long)]
    hostname: String,
    /// Command-line argument of the decoy process
    #[arg(long)]
    decoy: String,
    /// The stage's binary and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

/// The jail of one server.
#[derive(Debug)]
pub struct Jail {
    /// The pid outside of the process that is pid 1 inside.
    pub init: u32,
    /// The jail's control group.
    pub cgroup: OwnedCgroup,
    /// Its host name.
    pub hostname: String,
    dir: tempfile::TempDir,
}

impl Jail {
    /// The stage's pid inside.
    ///
    /// # Errors
    ///
    /// When it has exited.
    pub fn stage(&self) -> Result<u32> {
        for child in children(self.init)? {
            let field = |name: &str| status(child, name);
            if field("Name:").as_deref() == Some("stage") {
                let inside = field("NSpid:").unwrap_or_default();
                let inside = inside.split_ascii_whitespace().next_back();
                return inside.and_then(|pid| pid.parse().ok()).context("no number inside");
            }
        }
        bail!("the stage has ended")
    }

    /// The directory of the host in which its root was mounted, which looks empty from there.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// A jail before its start.
#[derive(Debug)]
pub struct Plan {
    cgroup: OwnedCgroup,
    dir: tempfile::TempDir,
    hostname: String,
    decoy: String,
}

impl Plan {
    /// Creates the control group and the directory.
    ///
    /// # Errors
    ///
    /// When this user has no right to; the message names what is needed.
    pub fn new(hostname: String, decoy: String) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!(
                "this stage has no sandbox, and only root can build the jail that probes run in; \
                 start the ladder as root"
            );
        }
        let dir = tempfile::Builder::new().prefix("crucible-ladder-").tempdir()?;
        Ok(Self { cgroup: OwnedCgroup::create(&hostname)?, dir, hostname, decoy })
    }

    /// The command that starts the stage inside the jail, to be put before its command line.
    ///
    /// # Errors
    ///
    /// When the ladder's own binary is missing.
    pub fn prefix(&self) -> Result<Vec<OsString>> {
        let mut prefix: Vec<OsString> = vec![own_binary()?.into(), "jail".into(), "enter".into()];
        for dir in self.cgroup.dirs() {
            prefix.extend(["--cgroup".into(), dir.into()]);
        }
        prefix.extend(["--dir".into(), self.dir.path().into()]);
        prefix.extend(["--hostname".into(), self.hostname.clone().into()]);
        prefix.extend(["--decoy".into(), self.decoy.clone().into()]);
        prefix.push("--".into());
        Ok(prefix)
    }

    /// The jail, once the process `outer` runs.
    ///
    /// # Errors
    ///
    /// When `outer` has no child.
    pub fn built(self, outer: u32) -> Result<Jail> {
        let init = children(outer)?.first().copied().context("the jail has no pid 1")?;
        let Self { cgroup, dir, hostname, .. } = self;
        Ok(Jail { init, cgroup, hostname, dir })
    }
}

fn children(pid: u32) -> Result<Vec<u32>> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

fn status(pid: u32, field: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(field)?.trim().to_owned()))
}

/// The `ladder` binary: this program, or the one beside this test.
pub(crate) fn own_binary() -> Result<PathBuf> {
    let exe = std::env::current_exe()?;
    // Linux appends this when the binary was rebuilt meanwhile.
    let exe = PathBuf::from(exe.to_string_lossy().trim_end_matches(" (deleted)"));
    if exe.file_name().is_some_and(|name| name == "ladder") {
        return Ok(exe);
    }
    let dir = exe.ancestors().nth(2).context("the path of this program has no parent")?;
    let binary = dir.join("ladder");
    if !binary.is_file() {
        bail!("{} is not there; build it with `cargo build -p ladder`", binary.display());
    }
    Ok(binary)
}

impl JailCommand {
    /// Runs this part: `enter` returns only on an error, and `init` when the stage has exited.
    pub fn run(self) -> ExitCode {
        let ended = match self {
            Self::Enter(enter) => Err(enter.run()),
            Self::Holding(holding) => Err(holding.run()),
            Self::Init(init) => init.run(),
        };
        match ended {
            Ok(code) => u8::try_from(code).unwrap_or(1).into(),
            Err(error) => {
                eprintln!("error: {error:#}");
                ExitCode::FAILURE
            }
        }
    }
}

impl Enter {
    fn run(self) -> anyhow::Error {
        for dir in &self.cgroup {
            let file = dir.join("cgroup.procs");
            if let Err(error) = fs::write(&file, std::process::id().to_string()) {
                return anyhow::Error::new(error)
                    .context(format!("cannot join {}", file.display()));
            }
        }
        let own = match std::env::current_exe() {
            Ok(own) => own,
            Err(error) => return error.into(),
        };
        let error = Command::new("unshare")
            .args(["--mount", "--net", "--ipc", "--uts", "--pid", "--fork", "--kill-child", "--"])
            .arg(own)
            .args(["jail", "init", "--hostname", &self.init.hostname])
            .args(["--decoy", &self.init.decoy])
            .arg("--dir")
            .arg(&self.init.dir)
            .arg("--")
            .args(&self.init.command)
            .exec();
        anyhow::Error::new(error).context("cannot run unshare, which is in util-linux")
    }
}

impl Init {
    fn run(self) -> Result<i32> {
        if std::process::id() != 1 {
            bail!(
                "`jail init` runs inside a jail only; here it would replace the root of this machine"
            );
        }
        rustix::system::sethostname(self.hostname.as_bytes()).context("cannot set the name")?;
        rootfs::network()?;
        let (program, arguments) = self.command.split_first().context("no command")?;
        rootfs::root(&self.dir, Path::new(program), &self.hostname)?;
        let inside = |name: &str| Path::new("/").join(BINARIES).join(name);
        // It represents the other processes of the host.
        let _guard = Command::new(inside("ladder"))
            .args(["decoy", &self.decoy])
            .env("LADDER_DECOY", &self.decoy)
            .spawn()
            .context("cannot start the decoy")?;
        let stage = Command::new(inside("stage"))
            .args(arguments)
            .spawn()
            .context("cannot start the stage")?;
        reap(stage.id())
    }
}

/// Waits for every child, own or orphaned, until the stage ends.
fn reap(stage: u32) -> Result<i32> {
    loop {
        let ended = wait(WaitOptions::empty()).context("cannot wait for the stage")?;
        if let Some((pid, status)) = ended
            && pid.as_raw_nonzero().get().unsigned_abs() == stage
        {
            return Ok(status.exit_status().unwrap_or(1));
        }
    }
}
