//! The image's files on the host itself: its Python on the host's kernel, with no sandbox around
//! it.
//!
//! The files are unpacked once below the target directory. A run has its own mount namespace with
//! the host's `/dev` and `/etc/hosts`, a `/proc` and an empty `/tmp`, and runs as `nobody`, as in
//! the sandbox.
//!
//! Attack: none. These are CPython's own tests, from an image that the set-up made. Never run
//! untrusted programs here: there is no isolation.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use bollard::Docker;
use bollard::models::ContainerCreateBody;
use futures_util::TryStreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::workspace::Workspace;

/// Makes the image's root usable, and runs Python in it with nothing in its environment. The program is
/// a file, as in the sandbox: `multiprocessing` starts it again in its children.
const ENTER: &str = r#"
mount --rbind /dev "$1/dev"
mount --bind /etc/hosts "$1/etc/hosts"
mount -t proc proc "$1/proc"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
cat > "$1/tmp/main.py"
exec env -i --default-signal /usr/sbin/chroot --userspec=65534:65534 "$1" \
  /usr/bin/python3 /tmp/main.py < /dev/null
"#;

/// An image's files.
#[derive(Debug)]
pub(super) struct Host {
    root: PathBuf,
}

impl Host {
    /// Unpacks `image`, unless it is unpacked already.
    pub(super) async fn prepare(image: &str) -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!("the host's side enters the image's files with chroot, which only root may do");
        }
        let docker = Docker::connect_with_defaults().context("cannot find Docker")?;
        let inspected = docker.inspect_image(image).await;
        let inspected = inspected.with_context(|| {
            format!(
                "Docker has no image {image}; run \
                 `bash infrastructure/setup/setup.sh --with-tests`"
            )
        })?;
        let id = inspected.id.unwrap_or_default().replace(':', "-");
        let dir = Workspace::load()?.target.join("cpython");
        let root = dir.join(&id);
        if !root.is_dir() {
            std::fs::create_dir_all(&dir)?;
            let fresh = tempfile::tempdir_in(&dir)?.keep();
            unpack(&docker, image, &fresh).await?;
            // It becomes the root directory of the user `nobody`.
            std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o755))?;
            // In one step, so that a partially unpacked image is never used.
            std::fs::rename(&fresh, &root).context("cannot store the unpacked image")?;
        }
        Ok(Self { root })
    }

    /// Runs `code`. Returns its output, and how it ended.
    pub(super) async fn run(&self, code: &str, seconds: u64) -> Result<(String, String)> {
        let mut child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "/bin/sh", "-ec", ENTER, "sh"])
            .arg(&self.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run unshare")?;
        let mut stdin = child.stdin.take().context("the child has no standard input")?;
        stdin
            .write_all(code.as_bytes())
            .await
            .context("the host's Python does not read its input")?;
        drop(stdin);
        let output = timeout(Duration::from_secs(seconds), child.wait_with_output()).await;
        let output = output.map_err(|_| anyhow!("no end within {seconds} s on the host"))??;
        let message = String::from_utf8_lossy(&output.stderr);
        let last = message.trim_end().lines().next_back().unwrap_or_default();
        let how = format!("{}: {last}", output.status);
        Ok((String::from_utf8_lossy(&output.stdout).into_owned(), how))
    }
}

/// Writes the files of `image` below `directory`.
async fn unpack(docker: &Docker, image: &str, dir: &Path) -> Result<()> {
    let body = ContainerCreateBody {
        image: Some(image.to_owned()),
        cmd: Some(vec!["none".to_owned()]), // Docker requires one, although nothing is run
        ..Default::default()
    };
    let made = docker.create_container(None, body).await.context("cannot unpack the image")?;
    let exported = save(docker, &made.id, dir).await;
    // The container never ran; it is only needed for its files.
    docker.remove_container(&made.id, None).await.context("cannot remove a container")?;
    exported
}

async fn save(docker: &Docker, container: &str, dir: &Path) -> Result<()> {
    let tar = dir.join("export.tar");
    let mut file = tokio::fs::File::create(&tar).await?;
    let mut chunks = docker.export_container(container);
    while let Some(chunk) = chunks.try_next().await.context("cannot export the image")? {
        file.write_all(&chunk).await?;
    }
    file.flush().await?;
    let unpacked = Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(dir).status().await;
    if !unpacked.context("cannot run tar")?.success() {
        bail!("cannot unpack {}", tar.display());
    }
    std::fs::remove_file(&tar).context("cannot remove the archive")
}
