//! The sandboxes' root folder: the image's files, and the supervisor.
//!
//! The rule it keeps: what set-up has unpacked is never written to. Our root is a folder of its own
//! made of hard links to the image's files, which takes no space and some 50 ms, and into which the
//! supervisor is put. The other way, a second mount, costs each sandbox a tenth of its start.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt,
};
use std::path::Path;

use super::options::{RunscError, no_rootfs};

/// Where the supervisor is, inside.
pub(super) const SUPERVISOR: &str = "/usr/lib/crucible-supervisor";
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/supervisor"));
/// Files of the image that Docker replaces by its own, and we by ours.
const REPLACED: [(&str, &str); 3] = [
    // Attack: learn which resolver the host asks -> there is none.
    ("etc/resolv.conf", "nameserver 127.0.0.1\n"),
    ("etc/hosts", "127.0.0.1 localhost\n"),
    ("etc/hostname", "sandbox\n"),
];

/// Checks that `image` is what set-up makes, and nobody but root can change it. Gives its content
/// hash.
pub(super) fn check(image: &Path) -> Result<String, RunscError> {
    let wrong = |reason: &str| no_rootfs(image, reason);
    let found = image.symlink_metadata().map_err(|error| no_rootfs(image, error))?;
    if !found.is_dir() || found.uid() != 0 || found.mode() & 0o022 != 0 {
        return Err(wrong("it is not a folder that only root can write to"));
    }
    if !image.join("usr/bin/python3").exists() {
        return Err(wrong("it has no usr/bin/python3"));
    }
    let name = image.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let hash = name.strip_prefix("rootfs-").unwrap_or_default();
    if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong("its name is not rootfs- and the image's hash"));
    }
    Ok(format!("sha256:{hash}"))
}

/// Makes `root` out of `image`.
pub(super) fn make(image: &Path, root: &Path) -> io::Result<()> {
    link(image, root)?;
    for (path, text) in REPLACED {
        let path = root.join(path);
        // The link goes, not the image's own file.
        std::fs::remove_file(&path).or_else(missing_is_fine)?;
        write(&path, 0o444, text.as_bytes())?;
    }
    // For root alone: a program has no business with it, not even reading it.
    write(&root.join(&SUPERVISOR[1..]), 0o500, PROGRAM)
}

/// A tree of hard links to the files of another one.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    let mode = from.metadata()?.permissions().mode();
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            link(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, target)?;
        } else if kind.is_file() {
            std::fs::hard_link(entry.path(), target)?;
        } // no device, pipe or socket comes in
    }
    // Not subject to the process's own mask.
    std::fs::set_permissions(to, PermissionsExt::from_mode(mode))
}

fn write(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(PermissionsExt::from_mode(mode))
}

pub(super) fn missing_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image");
        for path in ["etc", "usr/bin", "usr/lib"] {
            std::fs::create_dir_all(image.join(path)).unwrap();
        }
        std::fs::write(image.join("usr/bin/python3.11"), "python").unwrap();
        std::os::unix::fs::symlink("python3.11", image.join("usr/bin/python3")).unwrap();
        std::fs::write(image.join("etc/resolv.conf"), "the image's").unwrap();
        let root = folder.path().join("root");
        make(&image, &root).unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!(read(&image.join("etc/resolv.conf")), "the image's");
        assert_eq!(read(&root.join("etc/resolv.conf")), "nameserver 127.0.0.1\n");
        assert_eq!(read(&root.join("usr/bin/python3")), "python");
        assert!(!image.join(&SUPERVISOR[1..]).exists());
        let mode = root.join(&SUPERVISOR[1..]).metadata().unwrap().mode();
        assert_eq!(mode & 0o7777, 0o500);
    }

    #[test]
    fn a_folder_that_others_can_write_to_or_that_is_no_image_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join(format!("rootfs-{}", "0".repeat(64)));
        let reason = |image: &Path| check(image).unwrap_err().to_string();
        assert!(reason(&image).contains("setup.sh"), "{}", reason(&image));
        std::fs::create_dir_all(image.join("usr/bin")).unwrap();
        assert!(reason(&image).contains("no usr/bin/python3"));
        std::fs::write(image.join("usr/bin/python3"), "").unwrap();
        if rustix::process::geteuid().is_root() {
            assert_eq!(check(&image).unwrap(), format!("sha256:{}", "0".repeat(64)));
        }
        std::fs::set_permissions(&image, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(reason(&image).contains("only root"));
        let other = folder.path().join("rootfs");
        std::fs::rename(&image, &other).unwrap();
        std::fs::set_permissions(&other, PermissionsExt::from_mode(0o755)).unwrap();
        check(&other).unwrap_err();
    }
}
