//! What an image's files are: a list of all of them, and the digest of that list.
//!
//! The rule it keeps: the digest that an answer names comes from the files that were read, and not from
//! a name. Set-up writes the list beside the directory, with `find` and `sha256sum`
//! (`infrastructure/setup/rootfs.sh`); the engine makes it anew from the files. Names, kinds, modes,
//! owners, targets of links and contents are in it, and no time, so that every machine that unpacks
//! the same archive has the same list. Tests: `set_up_and_the_engine_make_the_same_list`,
//! `a_change_of_any_kind_is_named`.
//!
//! A list is records that end with a zero byte, in two parts, each sorted by its bytes:
//!
//! ```text
//! KIND MODE USER GROUP ./PATH -> TARGET      KIND f, d or l; MODE in octal
//! SHA-256  ./PATH                            of each file
//! ```

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::options::RootfsError;
use super::rootfs::REPLACED_FILES;

/// How much of a file is read at once.
const CHUNK_BYTES: usize = 256 << 10;
/// How many files are read at once.
const MAX_READERS: usize = 4;

/// Compares the image's files with the list that set-up has made of them. Returns the digest of the
/// list. Blocks.
pub(super) fn check(image: &Path) -> Result<String, RootfsError> {
    let path = path_of(image);
    let expected = std::fs::read(&path);
    let expected = expected.map_err(|source| RootfsError::NoManifest { path, source })?;
    let found = manifest(image).map_err(RootfsError::Read)?;
    if found == expected {
        return Ok(format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(&found))));
    }
    Err(RootfsError::Changed { path: first_difference(&expected, &found) })
}

/// Writes the list of the files of an image that was just built, beside it. Returns the digest of the list, by
/// which a sandbox names them. Blocks.
///
/// # Errors
///
/// When a file cannot be read, or the list not be written.
pub fn write_manifest(image: &Path) -> io::Result<String> {
    let found = manifest(image)?;
    std::fs::write(path_of(image), &found)?;
    Ok(format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(&found))))
}

/// The list of an image is beside it.
fn path_of(image: &Path) -> PathBuf {
    let mut path = OsString::from(image);
    path.push(".manifest");
    path.into()
}

/// The list of the files below `image` that a sandbox gets.
fn manifest(image: &Path) -> io::Result<Vec<u8>> {
    let (mut attributes, mut files) = (Vec::new(), Vec::new());
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(image.join(&dir))? {
            let path = dir.join(entry?.file_name());
            if REPLACED_FILES.iter().any(|(replaced, _)| path == Path::new(replaced)) {
                continue;
            }
            let whole = image.join(&path);
            let metadata = whole.symlink_metadata()?;
            let Some(kind) = kind(&metadata) else { continue };
            let target = if kind == 'l' { std::fs::read_link(&whole)? } else { PathBuf::new() };
            let (user, group) = (metadata.uid(), metadata.gid());
            let words = format!("{kind} {:o} {user} {group} ./", metadata.mode() & 0o7777);
            let (name, target) = (path.as_os_str().as_bytes(), target.as_os_str().as_bytes());
            attributes.push([words.as_bytes(), name, b" -> ", target, b"\0"].concat());
            match kind {
                'f' => files.push(path),
                'd' => dirs.push(path),
                _ => {}
            }
        }
    }
    let mut contents = contents(image, &files)?;
    attributes.sort_unstable();
    contents.sort_unstable();
    Ok([attributes.concat(), contents.concat()].concat())
}

/// The records of the contents of `files`. Several are read at once: an image of half a gigabyte is read before the
/// first program runs.
fn contents(image: &Path, files: &[PathBuf]) -> io::Result<Vec<Vec<u8>>> {
    let read = |first: usize| -> io::Result<Vec<Vec<u8>>> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut record = |path: &PathBuf| {
            let digest = HEXLOWER.encode(&digest(&image.join(path), &mut buffer)?);
            Ok([digest.as_bytes(), b"  ./", path.as_os_str().as_bytes(), b"\0"].concat())
        };
        files.iter().skip(first).step_by(MAX_READERS).map(&mut record).collect()
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> =
            (0..MAX_READERS).map(|first| scope.spawn(move || read(first))).collect();
        let mut records = Vec::new();
        for reader in readers {
            let read = reader.join().map_err(|_| io::Error::other("reading the image panicked"))?;
            records.extend(read?);
        }
        Ok(records)
    })
}

/// None for what a sandbox does not get: devices, pipes, sockets.
fn kind(metadata: &Metadata) -> Option<char> {
    let kind = metadata.file_type();
    match (kind.is_file(), kind.is_dir(), kind.is_symlink()) {
        (true, ..) => Some('f'),
        (_, true, _) => Some('d'),
        (.., true) => Some('l'),
        _ => None,
    }
}

fn digest(path: &Path, buffer: &mut [u8]) -> io::Result<Vec<u8>> {
    let (mut file, mut digest) = (File::open(path)?, Sha256::new());
    loop {
        match file.read(buffer)? {
            0 => return Ok(digest.finalize().to_vec()),
            length => digest.update(&buffer[..length]),
        }
    }
}

/// The path of a record that one of the lists lacks.
fn first_difference(expected: &[u8], found: &[u8]) -> String {
    let records =
        |list: &[u8]| list.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect::<BTreeSet<_>>();
    let (expected, found) = (records(expected), records(found));
    let mut paths = expected.symmetric_difference(&found).map(|record| {
        let record = String::from_utf8_lossy(record).into_owned();
        let path = record.split_once(" ./").map_or(record.as_str(), |(_, path)| path);
        path.split(" -> ").next().unwrap_or_default().to_owned()
    });
    paths.next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::Command;

    use super::*;

    fn image() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("rootfs");
        std::fs::create_dir_all(image.join("usr/bin")).unwrap();
        std::fs::create_dir_all(image.join("etc")).unwrap();
        std::fs::write(image.join("usr/bin/python3.11"), vec![b'x'; 700_000]).unwrap();
        std::fs::write(image.join("etc/a name\nof two lines \u{e4}"), "").unwrap();
        std::fs::write(image.join("etc/hosts"), "another file takes its place").unwrap();
        symlink("python3.11", image.join("usr/bin/python3")).unwrap();
        (dir, image)
    }

    fn make_manifest(image: &Path) {
        let setup = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infrastructure/setup");
        let script = "set -eu; PINS=/none; source \"$1/rootfs.sh\"; rootfs_manifest \"$2\"";
        let mut bash = Command::new("bash");
        let output = bash.args(["-c", script, "-", setup]).arg(image).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        std::fs::write(path_of(image), output.stdout).unwrap();
    }

    #[test]
    fn set_up_and_the_engine_make_the_same_list() {
        let (_dir, image) = image();
        let error = check(&image).unwrap_err();
        assert!(matches!(error, RootfsError::NoManifest { .. }), "{error}");
        make_manifest(&image);
        let digest = check(&image).unwrap();
        assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");
        // Neither a time nor a file that no sandbox gets is in it.
        File::open(image.join("usr/bin/python3.11"))
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
        std::fs::write(image.join("etc/hosts"), "").unwrap();
        assert_eq!(check(&image).unwrap(), digest);
    }

    #[test]
    fn a_change_of_any_kind_is_named() {
        let (_dir, image) = image();
        let file = image.join("usr/bin/python3.11");
        let mode = |mode| std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o644);
        make_manifest(&image);
        let changed = |path: &str| {
            let error = check(&image).unwrap_err();
            assert!(
                matches!(&error, RootfsError::Changed { path: found } if found == path),
                "{error}"
            );
        };
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, [&bytes[1..], b"y"].concat()).unwrap();
        changed("usr/bin/python3.11");
        std::fs::write(&file, &bytes).unwrap();
        mode(0o4755);
        changed("usr/bin/python3.11");
        mode(0o644);
        std::fs::write(image.join("etc/more"), "").unwrap();
        changed("etc/more");
        std::fs::remove_file(image.join("etc/more")).unwrap();
        std::fs::remove_file(image.join("usr/bin/python3")).unwrap();
        changed("usr/bin/python3");
        symlink("/bin/sh", image.join("usr/bin/python3")).unwrap();
        changed("usr/bin/python3");
        std::fs::remove_file(image.join("usr/bin/python3")).unwrap();
        symlink("python3.11", image.join("usr/bin/python3")).unwrap();
        check(&image).unwrap();
    }
}
