//! Builds an environment. The work is done by `build.sh`, behind the functions of set-up, which has made the image
//! of `python` in the same way.
//!
//! The rule it keeps: an environment is complete or absent. It is built in a directory of its own, and its record is
//! written last, by a rename. An image that a running server has mounted is locked by it: it loses its name, and
//! is removed by the next command after that server has ended.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use shared::Hint;
use stage_06_advanced::write_manifest;

use super::definition::Definition;
use super::record::Record;

const SETUP: &str = include_str!("../../../../infrastructure/setup/lib.sh");
const SCRIPT: &str = include_str!("build.sh");
/// How the names of directories begin in which something is built.
const UNFINISHED: &str = ".build-";
/// How the names of images begin that are removed once no server uses them.
const REMOVED: &str = ".removed-";

/// Why an environment was not built.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnvBuildError {
    #[error("building an environment requires root, to unpack files as their owner")]
    NotRoot,
    #[error("cannot create {}", path.display())]
    Create { path: PathBuf, source: io::Error },
    #[error("cannot run bash")]
    Run(#[source] io::Error),
    #[error("the packages could not be unpacked; the output above says why")]
    Failed,
    #[error("the environment has no {0}")]
    NoCommand(String),
    #[error("/{0} of the environment is not a directory")]
    NoDirectory(&'static str),
    #[error("what was built has the digest {built}, and the description says {expected}")]
    Digest { built: String, expected: String },
    #[error("cannot store the environment")]
    Store(#[source] io::Error),
}

impl Hint for EnvBuildError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotRoot => Some("run this as root"),
            Self::Failed => Some(
                "it needs mmdebstrap, pip and the package registries; set-up installs the programs",
            ),
            Self::Digest { .. } => Some(
                "a package has changed: compare `packages` of GET /environments, pin NAME=VERSION, or accept the new digest",
            ),
            Self::NoCommand(_) => Some("add the package that has it"),
            _ => None,
        }
    }
}

/// Creates the directory of environments. Commands that change it take turns, as long as they hold this.
pub(super) fn lock(dir: &Path) -> Result<File, EnvBuildError> {
    let create = |source| EnvBuildError::Create { path: dir.to_owned(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(dir).map_err(create)?;
    let file = File::create(dir.join(".lock")).map_err(create)?;
    file.lock().map_err(create)?;
    // No other command builds now: what is there was left by one that was killed, or was in use.
    remove_leftovers(dir).map_err(create)?;
    Ok(file)
}

fn remove_leftovers(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        let begins_with = |prefix: &str| name.as_encoded_bytes().starts_with(prefix.as_bytes());
        if begins_with(UNFINISHED) || (begins_with(REMOVED) && !is_in_use(&path)?) {
            std::fs::remove_dir_all(path)?;
        }
    }
    Ok(())
}

/// Whether a server has mounted an image.
fn is_in_use(image: &Path) -> io::Result<bool> {
    match File::open(image)?.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes an image, or its name if a server uses it.
fn remove_image(dir: &Path, image: &Path) -> io::Result<()> {
    if is_in_use(image)? {
        let removed = tempfile::Builder::new().prefix(REMOVED).tempdir_in(dir)?.keep();
        // Onto the empty directory.
        return std::fs::rename(image, removed);
    }
    std::fs::remove_dir_all(image)
}

/// The digest of what makes an environment beside its description: the two scripts, and the kind of processor. An
/// environment of another builder is outdated.
pub(super) fn builder() -> String {
    let parts = [SETUP, SCRIPT, std::env::consts::ARCH];
    HEXLOWER.encode(&Sha256::digest(parts.join("\0")))
}

/// Builds `name` as `definition` has it, in `dir`. Blocks, for minutes.
pub(super) fn build(
    name: &str,
    definition: &Definition,
    dir: &Path,
) -> Result<Record, EnvBuildError> {
    if !rustix::process::geteuid().is_root() {
        return Err(EnvBuildError::NotRoot);
    }
    let create = |path: &Path, mode| {
        let created = std::fs::DirBuilder::new().recursive(true).mode(mode).create(path);
        created.map_err(|source| EnvBuildError::Create { path: path.to_owned(), source })
    };
    // Absolute, because the builder binds it; and beside its final place, for a rename.
    let work = std::path::absolute(dir).map_err(EnvBuildError::Store)?;
    let work = work.join(format!("{UNFINISHED}{name}-{}", std::process::id()));
    create(&work, 0o700)?;
    let built = run(&work, definition).and_then(|()| store(name, definition, dir, &work));
    if let Err(error) = std::fs::remove_dir_all(&work) {
        tracing::warn!(%error, work = %work.display(), "cannot be removed");
    }
    built
}

fn run(work: &Path, definition: &Definition) -> Result<(), EnvBuildError> {
    let packages = definition.packages.iter().map(|package| format!("package {package}\n"));
    let requirements = definition.requirements.iter().map(|one| format!("requirement {one}\n"));
    let links = definition.links.iter().map(|(path, target)| format!("link {path} {target}\n"));
    let list: String = packages.chain(requirements).chain(links).collect();
    std::fs::write(work.join("list"), list).map_err(EnvBuildError::Store)?;
    let script = format!("set -euo pipefail\nshopt -s inherit_errexit\n{SETUP}\n{SCRIPT}");
    let mut bash = Command::new("bash");
    bash.args(["-c", &script, "build"]).arg(work).stdin(Stdio::null());
    // Standard output is for the result of the command.
    let status = bash.stdout(io::stderr()).status().map_err(EnvBuildError::Run)?;
    if status.success() { Ok(()) } else { Err(EnvBuildError::Failed) }
}

/// Checks what was built, and gives it its name.
fn store(
    name: &str,
    definition: &Definition,
    dir: &Path,
    work: &Path,
) -> Result<Record, EnvBuildError> {
    let tree = work.join("tree");
    // The engine writes there, as root: see `rootfs::create`.
    for path in ["etc", "usr", "usr/lib", "tmp", "proc", "dev"] {
        if !tree.join(path).symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(EnvBuildError::NoDirectory(path));
        }
    }
    let command = definition.command.first().map_or("", String::as_str);
    if tree.join(command.trim_start_matches('/')).symlink_metadata().is_err() {
        return Err(EnvBuildError::NoCommand(command.to_owned()));
    }
    std::fs::set_permissions(&tree, std::fs::Permissions::from_mode(0o755))
        .map_err(EnvBuildError::Store)?;
    let digest = write_manifest(&tree).map_err(EnvBuildError::Store)?;
    if let Some(expected) = definition.digest.clone().filter(|expected| *expected != digest) {
        return Err(EnvBuildError::Digest { built: digest, expected });
    }
    let stored = || -> io::Result<Record> {
        let debian = std::fs::read_to_string(work.join("debian"))?;
        let debian = debian.lines().map(str::to_owned).collect();
        let (name, definition) = (name.to_owned(), definition.clone());
        let builder = builder();
        let record = Record { name, digest, definition, debian, builder, docker_image: None };
        let image = Record::image(dir, &record.name, &record.digest);
        remove_images(dir, &record.name)?;
        std::fs::rename(&tree, &image)?;
        std::fs::rename(work.join("tree.manifest"), with_suffix(&image))?;
        record.write(dir)?;
        Ok(record)
    };
    stored().map_err(EnvBuildError::Store)
}

fn with_suffix(image: &Path) -> PathBuf {
    let mut path = image.as_os_str().to_owned();
    path.push(".manifest");
    path.into()
}

/// Removes an environment. False, if there is none.
pub(super) fn remove(dir: &Path, name: &str) -> io::Result<bool> {
    let existed = match std::fs::remove_file(Record::path(dir, name)) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(error),
    };
    remove_images(dir, name)?;
    Ok(existed)
}

/// Removes all directories of files of this name.
fn remove_images(dir: &Path, name: &str) -> io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let found = entry.file_name();
        let digest = found.to_str().and_then(|found| found.strip_prefix(name)?.strip_prefix('-'));
        let digest = digest.map(|digest| digest.strip_suffix(".manifest").unwrap_or(digest));
        let is_image = |digest: &str| {
            digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        if !digest.is_some_and(is_image) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            remove_image(dir, &entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
