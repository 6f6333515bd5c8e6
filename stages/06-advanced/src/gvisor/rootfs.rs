//! The sandboxes' root file system: the image's files, and the supervisor.
//!
//! Guarantee: what was unpacked is never written to. There are two ways, and each is done once for all
//! sandboxes of a profile: a second mount in each costs it a tenth of its start.
//!
//! * The default's root is a directory of hard links to the image's files, into which the supervisor
//!   is written. It takes no space and some 50 ms, and set-up may replace the image meanwhile.
//! * An environment's has ten times as many files. Its root is a read-only mount of two layers
//!   ([`super::root_mount`]): a directory with the files that differ, over the image's own. Its image
//!   is locked as long. Where the kernel mounts none, it is a directory of links as well.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt,
};
use std::path::{Path, PathBuf};

use stage_04_docker::OUTPUT_DIR;

use super::options::{RootfsError, RunscError};
use super::profile::{ProfileFile, SandboxProfile};
use super::{manifest, root_mount};

/// Where the supervisor is, inside.
pub(super) const SUPERVISOR_PATH: &str = "/usr/lib/crucible/supervisor";
/// The supervisor's directory, in which the profile's command is started. No user but root can enter
/// it: a process whose working directory this is was started by the supervisor.
pub(super) const PRESTART_DIR: &str = "/usr/lib/crucible";
/// Where the same program is for those who run it as a loader. No right is in it.
pub(super) const LOADER_PATH: &str = "/usr/lib/crucible-loader";
const SUPERVISOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/supervisor"));
/// Files of the image that Docker replaces in its containers, and this engine as well.
pub(super) const REPLACED_FILES: [(&str, &str); 3] = [
    // Attack: learn which resolver the host uses -> there is none.
    ("etc/resolv.conf", "nameserver 127.0.0.1\n"),
    ("etc/hosts", "127.0.0.1 localhost sandbox\n"),
    ("etc/hostname", "sandbox\n"),
];

/// Checks that a profile's image is what set-up has unpacked, file by file, and that only root can
/// change it. Returns the digest of its files. Blocks.
pub(super) fn check(profile: &SandboxProfile) -> Result<String, RunscError> {
    let image = profile.image.as_path();
    let wrong = |reason| RunscError::NoRootfs { path: image.to_owned(), reason };
    let metadata = image.symlink_metadata().map_err(|error| wrong(RootfsError::Read(error)))?;
    if !metadata.is_dir() || metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
        return Err(wrong(RootfsError::Writable));
    }
    let interpreter = profile.interpreter();
    if !image.join(interpreter.trim_start_matches('/')).exists() {
        return Err(wrong(RootfsError::NoInterpreter { path: interpreter.to_owned() }));
    }
    manifest::check(image).map_err(wrong)
}

/// Creates `root` out of the image of `profile`, with a name for each of `users`. Blocks.
pub(super) fn create(profile: &SandboxProfile, root: &Path, users: Range<u32>) -> io::Result<()> {
    check_dirs(&profile.image)?;
    DirBuilder::new().mode(0o700).create(root)?;
    link(&profile.image, root)?;
    add_files(profile, root, users)
}

/// The same as a mount, if that is possible. Blocks.
pub(super) fn mount(profile: &SandboxProfile, root: &Path, users: Range<u32>) -> io::Result<()> {
    check_dirs(&profile.image)?;
    let layer = layer_of(root);
    DirBuilder::new().mode(0o700).create(&layer)?;
    add_files(profile, &layer, users.clone())?;
    DirBuilder::new().mode(0o700).create(root)?;
    let Err(error) = root_mount::mount_layers(&layer, &profile.image, root) else { return Ok(()) };
    tracing::info!(%error, "no mount: a root file system of links takes longer");
    remove(root)?;
    create(profile, root, users)
}

/// Mounts the files that `add` writes over those of `image`. Blocks.
pub(super) fn mount_layer(
    image: &Path,
    root: &Path,
    add: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let layer = layer_of(root);
    DirBuilder::new().mode(0o700).create(&layer)?;
    add(&layer)?;
    DirBuilder::new().mode(0o700).create(root)?;
    root_mount::mount_layers(&layer, image, root)
}

/// Removes what [`create`], [`mount`] or [`mount_layer`] has made, or a part of it. Blocks.
pub(super) fn remove(root: &Path) -> io::Result<()> {
    root_mount::unmount_below(root)?;
    std::fs::remove_dir_all(root).or_else(ignore_not_found)?;
    std::fs::remove_dir_all(layer_of(root)).or_else(ignore_not_found)
}

/// The directory with the files that differ from the image's.
fn layer_of(root: &Path) -> PathBuf {
    root.with_extension("layer")
}

/// Writes the files that a root has beside the image's, or in their place, to `dir`: a layer, or a tree of links.
fn add_files(profile: &SandboxProfile, dir: &Path, users: Range<u32>) -> io::Result<()> {
    let image = profile.image.as_path();
    for path in [".", "etc", "usr", "usr/lib"] {
        make_dir(image, dir, Path::new(path))?;
    }
    for (path, text) in REPLACED_FILES {
        replace(&dir.join(path), text.as_bytes())?;
    }
    name_users(image, dir, users)?;
    for file in &profile.files {
        for path in file.dirs(image)? {
            make_dir(image, dir, &path)?;
            // The image's own file of this name is hidden, if it has one.
            replace(&dir.join(path).join(file.name), file.text.as_bytes())?;
        }
    }
    if profile.has_loader {
        write(&dir.join(&LOADER_PATH[1..]), 0o555, SUPERVISOR)?;
    }
    if profile.keeps_output_files {
        // A file system of the sandbox is mounted there.
        DirBuilder::new().mode(0o755).create(dir.join(&OUTPUT_DIR[1..]))?;
    }
    // For root alone: a program has no use for it, not even to read it.
    DirBuilder::new().mode(0o700).create(dir.join(&PRESTART_DIR[1..]))?;
    write(&dir.join(&SUPERVISOR_PATH[1..]), 0o500, SUPERVISOR)
}

/// A directory with the mode of the image's: that of the upper one counts.
pub(super) fn make_dir(image: &Path, dir: &Path, path: &Path) -> io::Result<()> {
    let mode = image.join(path).symlink_metadata()?.permissions().mode();
    let created = DirBuilder::new().mode(0o700).create(dir.join(path));
    created.or_else(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
    })?;
    // Not subject to the process's umask.
    std::fs::set_permissions(dir.join(path), PermissionsExt::from_mode(mode))
}

/// Checks the directories that are written to.
///
/// Attack: a package has a link `usr/lib -> /etc`, through which this engine, as root, writes into the host ->
/// none of them is a link.
fn check_dirs(image: &Path) -> io::Result<()> {
    for dir in ["etc", "usr", "usr/lib"] {
        if !image.join(dir).symlink_metadata()?.is_dir() {
            return Err(io::Error::other(format!("/{dir} of the image is not a directory")));
        }
    }
    Ok(())
}

/// Adds the users and their groups to the image's lists. Programs look their own name up, and some end
/// when there is none (`getpass.getuser()`).
fn name_users(image: &Path, dir: &Path, users: Range<u32>) -> io::Result<()> {
    let user = |id| format!("program{id}:x:{id}:{id}:program:/tmp:/nonexistent\n");
    let group = |id| format!("program{id}:x:{id}:\n");
    let append = |path: &str, text: String| {
        let images = read_file(&image.join(path))?;
        replace(&dir.join(path), &[&images, text.as_bytes()].concat())
    };
    append("etc/passwd", users.clone().map(user).collect())?;
    append("etc/group", users.map(group).collect())
}

/// What is in a file of the image; nothing if there is none.
///
/// Attack: an image has a link `etc/passwd -> /etc/shadow`, so that programs read that of the host -> a link is
/// not followed.
pub(super) fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    match path.symlink_metadata() {
        Ok(metadata) if metadata.is_file() => std::fs::read(path),
        Ok(_) => Err(io::Error::other(format!("{} is not a file", path.display()))),
        Err(error) => ignore_not_found(error).map(|()| Vec::new()),
    }
}

/// Writes a file in the place of another one, or of a link to the image's, which stays as it is.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    std::fs::remove_file(path).or_else(ignore_not_found)?;
    write(path, 0o444, bytes)
}

impl ProfileFile {
    /// The directories of the image that get it.
    fn dirs(&self, image: &Path) -> io::Result<Vec<PathBuf>> {
        let dir = PathBuf::from(self.dir);
        let Some(beside) = self.beside else { return Ok(vec![dir]) };
        let mut dirs = Vec::new();
        for entry in std::fs::read_dir(image.join(&dir))? {
            let entry = entry?;
            // Not a link, which may lead out of the image.
            if entry.file_type()?.is_dir() && entry.path().join(beside).is_file() {
                dirs.push(dir.join(entry.file_name()));
            }
        }
        Ok(dirs)
    }
}

/// Fills a directory with hard links to the files of another one.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    let mode = from.metadata()?.permissions().mode();
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            DirBuilder::new().mode(0o700).create(&target)?;
            link(&entry.path(), &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(entry.path())?, target)?;
        } else if kind.is_file() {
            std::fs::hard_link(entry.path(), target)?;
        } // devices, pipes and sockets are left out
    }
    // Not subject to the process's umask.
    std::fs::set_permissions(to, PermissionsExt::from_mode(mode))
}

pub(super) fn write(path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.set_permissions(PermissionsExt::from_mode(mode))
}

pub(super) fn ignore_not_found(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_stays_as_it_is() {
        stays_as_it_is(create);
        stays_as_it_is(mount);
    }

    fn stays_as_it_is(make: fn(&SandboxProfile, &Path, Range<u32>) -> io::Result<()>) {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        for path in ["etc", "usr/bin", "usr/lib"] {
            std::fs::create_dir_all(image.join(path)).unwrap();
        }
        std::fs::write(image.join("usr/bin/python3.11"), "python").unwrap();
        std::os::unix::fs::symlink("python3.11", image.join("usr/bin/python3")).unwrap();
        std::fs::write(image.join("etc/resolv.conf"), "the image's").unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir(image.join("usr/lib/python3.11")).unwrap();
        std::fs::write(image.join("usr/lib/python3.11/os.py"), "os").unwrap();
        let profile = SandboxProfile::python(image.clone(), 0);
        make(&profile, &root, 1000..1002).unwrap();
        assert!(root.join("usr/lib/python3.11/usercustomize.py").exists());
        assert!(!root.join("usr/lib/usercustomize.py").exists());
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!(read(&image.join("etc/resolv.conf")), "the image's");
        assert_eq!(read(&root.join("etc/resolv.conf")), "nameserver 127.0.0.1\n");
        assert_eq!(read(&root.join("usr/bin/python3")), "python");
        let user = "program1001:x:1001:1001:program:/tmp:/nonexistent\n";
        assert!(read(&root.join("etc/passwd")).ends_with(user));
        assert!(read(&root.join("etc/group")).ends_with("program1001:x:1001:\n"));
        assert!(!image.join(&SUPERVISOR_PATH[1..]).exists());
        let mode = root.join(&SUPERVISOR_PATH[1..]).metadata().unwrap().mode();
        assert_eq!(mode & 0o7777, 0o500);
        let mode = root.join("usr/lib").metadata().unwrap().mode();
        assert_eq!(mode, image.join("usr/lib").metadata().unwrap().mode());
        remove(&root).unwrap();
        assert!(!root.exists() && !layer_of(&root).exists());
        assert_eq!(read(&image.join("usr/bin/python3.11")), "python");
        remove(&root).unwrap();
    }

    /// A path that cannot be a layer is linked, with the same files.
    #[test]
    fn without_a_mount_the_root_has_the_same_files() {
        let dir = tempfile::Builder::new().prefix("a,b").tempdir().unwrap();
        let [image, root] = ["image", "root"].map(|name| dir.path().join(name));
        std::fs::create_dir_all(image.join("usr/lib/python3.11")).unwrap();
        std::fs::create_dir_all(image.join("etc")).unwrap();
        std::fs::write(image.join("usr/lib/python3.11/os.py"), "os").unwrap();
        std::fs::write(image.join("etc/hosts"), "the image's").unwrap();
        mount(&SandboxProfile::python(image.clone(), 0), &root, 1000..1001).unwrap();
        let links = |path: &str| root.join(path).metadata().unwrap().nlink();
        assert_eq!((links("usr/lib/python3.11/os.py"), links("etc/hosts")), (2, 1));
        assert!(root.join("usr/lib/python3.11/usercustomize.py").exists());
        assert_eq!(std::fs::read_to_string(image.join("etc/hosts")).unwrap(), "the image's");
        remove(&root).unwrap();
        assert!(!root.exists() && image.join("usr/lib/python3.11/os.py").exists());
    }

    #[test]
    fn a_link_in_the_place_of_a_list_of_users_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        std::fs::create_dir_all(image.join("usr/lib")).unwrap();
        std::fs::create_dir(image.join("etc")).unwrap();
        std::os::unix::fs::symlink("/etc/shadow", image.join("etc/passwd")).unwrap();
        let profile = SandboxProfile { files: Vec::new(), ..SandboxProfile::python(image, 0) };
        let error = create(&profile, &dir.path().join("root"), 0..1).unwrap_err();
        assert!(error.to_string().contains("not a file"), "{error}");
    }

    #[test]
    fn nothing_is_written_through_a_link_of_an_image() {
        let dir = tempfile::tempdir().unwrap();
        let host = dir.path().join("host");
        std::fs::create_dir(&host).unwrap();
        for link in ["etc", "usr", "usr/lib"] {
            let image = dir.path().join(format!("image-{}", link.replace('/', "-")));
            for path in ["etc", "usr/lib"].into_iter().filter(|path| !path.starts_with(link)) {
                std::fs::create_dir_all(image.join(path)).unwrap();
            }
            std::fs::create_dir_all(image.join(link).parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(&host, image.join(link)).unwrap();
            let profile = SandboxProfile { files: Vec::new(), ..SandboxProfile::python(image, 0) };
            let error =
                create(&profile, &dir.path().join(link.replace('/', "-")), 0..1).unwrap_err();
            assert!(error.to_string().contains("not a directory"), "{link}: {error}");
            assert_eq!(std::fs::read_dir(&host).unwrap().count(), 0, "{link}");
        }
    }

    #[test]
    fn a_directory_that_others_can_write_to_or_that_is_no_image_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("rootfs");
        let profile = |image: &Path| SandboxProfile::python(image.to_owned(), 0);
        let refused = |image: &Path| match check(&profile(image)) {
            Err(RunscError::NoRootfs { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        assert!(matches!(refused(&image), RootfsError::Read(_)));
        std::fs::create_dir_all(image.join("usr/bin")).unwrap();
        assert!(matches!(refused(&image), RootfsError::NoInterpreter { .. }));
        std::fs::write(image.join("usr/bin/python3"), "").unwrap();
        if rustix::process::geteuid().is_root() {
            assert!(matches!(refused(&image), RootfsError::NoManifest { .. }));
        }
        std::fs::set_permissions(&image, PermissionsExt::from_mode(0o777)).unwrap();
        assert!(matches!(refused(&image), RootfsError::Writable));
    }
}
