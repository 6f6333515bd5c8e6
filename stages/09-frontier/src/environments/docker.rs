//! Environments as images of Docker, for its engines.
//!
//! Init of a container is a program in Python (stage 4), which the image's own interpreter executes. So an environment
//! of Python has an image, and no other has one: it would have to contain a Python that its programs find as well.
//!
//! An image has the same files as the directory that runsc uses, and its name has their digest.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};

use shared::Hint;

/// Why Docker has no image of an environment.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImportError {
    #[error("cannot run {program}")]
    Run { program: &'static str, source: io::Error },
    #[error("Docker did not take the image of the environment; the output above says why")]
    Failed,
}

impl Hint for ImportError {
    fn hint(&self) -> Option<&'static str> {
        Some("see whether `docker info` answers; without a socket of Docker no image is made")
    }
}

/// The name of the image with these files.
pub(super) fn image_name(name: &str, digest: &str) -> String {
    format!("crucible/environment-{name}:{}", digest.trim_start_matches("sha256:"))
}

/// Whether a daemon listens at `host`, which is a socket of this machine.
pub(super) fn listens(host: &str) -> bool {
    host.strip_prefix("unix://").is_some_and(|path| UnixStream::connect(path).is_ok())
}

/// Whether the daemon at `host` has this image.
pub(super) fn has(host: &str, image: &str) -> bool {
    let mut docker = docker(host);
    docker.args(["image", "inspect", image]).stdout(Stdio::null()).stderr(Stdio::null());
    docker.status().is_ok_and(|status| status.success())
}

// ANCHOR: import
/// Makes an image of the files in `tree`. Blocks.
pub(super) fn import(host: &str, tree: &Path, image: &str) -> Result<(), ImportError> {
    let run = |program| move |source| ImportError::Run { program, source };
    let mut tar = Command::new("tar");
    tar.args(["--create", "--sort=name", "--mtime=@0", "--numeric-owner", "--directory"]);
    let mut tar = tar.arg(tree).arg(".").stdout(Stdio::piped()).spawn().map_err(run("tar"))?;
    let files = tar.stdout.take().map_or_else(Stdio::null, Stdio::from);
    // Standard output is for the result of the command.
    let mut docker = docker(host);
    docker.args(["import", "-", image]).stdin(files).stdout(io::stderr());
    let imported = docker.status();
    // Its pipe is closed by now.
    let packed = tar.wait().map_err(run("tar"))?;
    let imported = imported.map_err(run("docker"))?;
    if packed.success() && imported.success() { Ok(()) } else { Err(ImportError::Failed) }
}
// ANCHOR_END: import

/// Removes an image. That it cannot be is in the log: the environment is removed all the same.
pub(super) fn remove(host: &str, image: &str) {
    let removed =
        docker(host).args(["image", "rm", "--force", image]).stdout(Stdio::null()).status();
    if !removed.is_ok_and(|status| status.success()) {
        tracing::warn!(image, "an image of Docker is left");
    }
}

fn docker(host: &str) -> Command {
    let mut docker = Command::new("docker");
    docker.args(["--host", host]).stdin(Stdio::null());
    docker
}
