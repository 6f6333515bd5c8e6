//! The exec supervisor as a file of the host, which Docker mounts into containers.
//!
//! Its name is the digest of what is in it, so that all servers of one build share a file, and none replaces that of
//! another. It stays, as an image does.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt,
};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::EXEC_SUPERVISOR;

/// Where it is, inside.
pub(super) const PROGRAM_PATH: &str = "/usr/lib/exec_supervisor";
/// Where root keeps it.
const ROOT_DIR: &str = "/var/lib/crucible/programs";

/// The file, which is written if it is not there. Blocks, for a moment.
pub(super) fn install() -> io::Result<PathBuf> {
    let user = rustix::process::geteuid();
    let dir = if user.is_root() {
        PathBuf::from(ROOT_DIR)
    } else {
        std::env::temp_dir().join(format!("crucible-programs-{}", user.as_raw()))
    };
    install_in(&dir, user.as_raw())
}

/// Attack: another user of the machine has made the directory, and replaces the file -> it is this user's, and no other
/// can write to it.
fn install_in(dir: &Path, user: u32) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    let metadata = dir.symlink_metadata()?;
    if !metadata.is_dir() || metadata.uid() != user || metadata.mode() & 0o022 != 0 {
        return Err(io::Error::other(format!("others can write to {}", dir.display())));
    }
    let digest = HEXLOWER.encode(&Sha256::digest(EXEC_SUPERVISOR));
    let path = dir.join(format!("exec_supervisor-{digest}"));
    if std::fs::read(&path).is_ok_and(|found| found == EXEC_SUPERVISOR) {
        return Ok(path);
    }
    let new = dir.join(format!(".new-{}", Uuid::new_v4().simple()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o555).open(&new)?;
    file.write_all(EXEC_SUPERVISOR)?;
    // Not subject to the process's umask.
    file.set_permissions(PermissionsExt::from_mode(0o555))?;
    drop(file);
    std::fs::rename(&new, &path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_written_once_and_into_a_directory_of_ones_own() {
        let dir = tempfile::tempdir().unwrap();
        let user = rustix::process::geteuid().as_raw();
        let programs = dir.path().join("programs");
        let first = install_in(&programs, user).unwrap();
        let inode = |path: &Path| path.metadata().unwrap().ino();
        let found = inode(&first);
        assert_eq!(inode(&install_in(&programs, user).unwrap()), found);
        assert_eq!(first.metadata().unwrap().mode() & 0o777, 0o555);
        std::fs::write(&first, "changed").ok();
        assert_eq!(std::fs::read(install_in(&programs, user).unwrap()).unwrap(), EXEC_SUPERVISOR);
        assert_eq!(std::fs::read_dir(&programs).unwrap().count(), 1);
        std::fs::set_permissions(&programs, PermissionsExt::from_mode(0o777)).unwrap();
        install_in(&programs, user).unwrap_err();
    }
}
