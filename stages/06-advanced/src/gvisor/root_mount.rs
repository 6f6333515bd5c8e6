//! The root file system of a profile's sandboxes as one mount: a layer with the files that this engine adds, over the
//! image's directory, which is used as it is.
//!
//! It is made and removed in milliseconds, whatever the number of files. The mount is read-only and has no upper
//! layer, so that nothing writes to the image through it, not even this process: a directory that is removed while it
//! is still mounted keeps its files. A killed server leaves its mounts, and the next start removes them.
//!
//! Attack: a device in an image is a device of the host -> `nodev`; a setuid file -> `nosuid`. Pipes and sockets of a
//! file system of the host cannot be opened in gVisor. Test: `a_mount_has_both_layers_and_takes_no_writes`.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Mounts `layer` over `image`, on the existing directory `root`.
pub(super) fn mount_layers(layer: &Path, image: &Path, root: &Path) -> io::Result<()> {
    let is_plain = |path: &Path| {
        // These have a meaning in the options of an overlay.
        !path.as_os_str().as_bytes().iter().any(|byte| b":,\\\"".contains(byte))
    };
    if !is_plain(layer) || !is_plain(image) {
        return Err(io::Error::other("a path with : , \" or \\ cannot be a layer"));
    }
    let (layer, image) = (layer.as_os_str().as_bytes(), image.as_os_str().as_bytes());
    let options = CString::new([b"lowerdir=", layer, b":", image].concat())?;
    let flags = MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID;
    Ok(mount("overlay", root, "overlay", flags, options.as_c_str())?)
}

/// Unmounts everything below `dir`. What is in use ends with its last user.
pub(super) fn unmount_below(dir: &Path) -> io::Result<()> {
    let dir = match dir.canonicalize() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        dir => dir?,
    };
    let mounts = std::fs::read("/proc/self/mountinfo")?;
    let points = mounts.split(|byte| *byte == b'\n').filter_map(mount_point);
    let below: Vec<_> = points.filter(|point| point.starts_with(&dir)).collect();
    // The last one is on top.
    for point in below.iter().rev() {
        unmount(point, UnmountFlags::DETACH)?;
    }
    Ok(())
}

/// Where a line of `mountinfo` is mounted. Some characters are there as a backslash and three octal digits.
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|byte| *byte == b' ').nth(4)?;
    let (mut path, mut rest) = (Vec::new(), field);
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|_| *first == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        path.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { tail.get(3..)? } else { tail };
    }
    Some(OsStr::from_bytes(&path).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_read_with_its_spaces() {
        let line = b"36 35 98:0 /mnt1 /a\\040b\\134c rw,noatime - ext3 /dev/root rw";
        assert_eq!(mount_point(line), Some("/a b\\c".into()));
        assert_eq!(mount_point(b""), None);
    }

    #[test]
    fn a_mount_has_both_layers_and_takes_no_writes() {
        assert!(rustix::process::geteuid().is_root(), "run this test as root");
        let dir = tempfile::tempdir().unwrap();
        let [layer, image, root] = ["layer", "image", "root"].map(|name| dir.path().join(name));
        for made in [&layer, &image, &root] {
            std::fs::create_dir(made).unwrap();
        }
        std::fs::write(image.join("a"), "image").unwrap();
        std::fs::write(image.join("b"), "image").unwrap();
        std::fs::write(layer.join("b"), "layer").unwrap();
        mount_layers(&layer, &image, &root).unwrap();
        let read = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
        let found = (read("a"), read("b"));
        let written = std::fs::write(root.join("c"), "").unwrap_err().kind();
        // As a clean-up that has forgotten to unmount would.
        let removed = std::fs::remove_dir_all(&root).unwrap_err().kind();
        unmount_below(dir.path()).unwrap();
        assert_eq!(found, ("image".to_owned(), "layer".to_owned()));
        assert_eq!(
            (written, removed),
            (io::ErrorKind::ReadOnlyFilesystem, io::ErrorKind::ReadOnlyFilesystem)
        );
        assert!(image.join("a").exists() && !root.join("a").exists());
        unmount_below(&dir.path().join("none")).unwrap();
    }
}
