//! The files of a sandbox that stays, beside those of its image: the exec supervisor, a user with a home, root's own,
//! and what Debian's installation scripts would have made.
//!
//! They are a layer over the image, which is used as it is, read-only. What is written to them inside is in the
//! sandbox's memory. Nothing is written into a directory of the image, so that no link of a package leads out of it.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt, chown};
use std::path::Path;

use super::super::rootfs::{REPLACED_FILES, make_dir, read_file, write};
use crate::EXEC_SUPERVISOR;
use crate::sandboxes::{AGENT_HOME, AGENT_ID, AGENT_USER, SANDBOX_BASELINE};

/// Where the exec supervisor is, inside. Every user executes it, for the file tools; no right is in it.
pub(super) const SUPERVISOR_PATH: &str = "/usr/lib/crucible/exec_supervisor";

/// What is no part of the root file system.
const NOT_IMAGES: [&str; 3] = ["dev", "proc", "sys"];
/// Directories that an image of unpacked packages lacks, with their modes.
const DIRS: [(&str, u32); 12] = [
    ("home", 0o755),
    ("media", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("root", 0o700),
    ("srv", 0o755),
    ("usr/lib/crucible", 0o755),
    ("usr/local", 0o755),
    ("usr/local/bin", 0o755),
    ("var/cache", 0o755),
    ("var/log", 0o755),
    ("var/mail", 0o755),
];

/// What `libpam-runtime` would write. Programs that change users check the caller with it.
const PAM_FILES: [(&str, &str); 5] = [
    (
        "etc/pam.d/common-auth",
        "auth [success=1 default=ignore] pam_unix.so nullok\nauth requisite pam_deny.so\n\
         auth required pam_permit.so\n",
    ),
    (
        "etc/pam.d/common-account",
        "account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\n\
         account requisite pam_deny.so\naccount required pam_permit.so\n",
    ),
    (
        "etc/pam.d/common-password",
        "password [success=1 default=ignore] pam_unix.so obscure yescrypt\n\
         password requisite pam_deny.so\npassword required pam_permit.so\n",
    ),
    (
        "etc/pam.d/common-session",
        "session [default=1] pam_permit.so\nsession requisite pam_deny.so\n\
         session required pam_permit.so\nsession required pam_unix.so\n",
    ),
    (
        "etc/pam.d/common-session-noninteractive",
        "session [default=1] pam_permit.so\nsession requisite pam_deny.so\n\
         session required pam_permit.so\nsession required pam_unix.so\n",
    ),
];

/// Groups that Debian's programs look for by their names.
const GROUPS: [(&str, u32); 6] =
    [("tty", 5), ("mail", 8), ("utmp", 43), ("shadow", 42), ("staff", 50), ("users", 100)];

/// Writes the files to `layer`, which is over `image`. Blocks.
pub(super) fn add_files(image: &Path, layer: &Path) -> io::Result<()> {
    for path in [".", "etc", "usr", "usr/lib", "var"] {
        make_dir(image, layer, Path::new(path))?;
    }
    // What the image has in them is there as well.
    for (path, mode) in DIRS {
        create_dir(&layer.join(path), mode)?;
    }
    for (path, text) in REPLACED_FILES {
        write(&layer.join(path), 0o644, text.as_bytes())?;
    }
    if image.join("etc/pam.d").symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
        make_dir(image, layer, Path::new("etc/pam.d"))?;
        for (path, text) in PAM_FILES {
            if image.join(path).symlink_metadata().is_err() {
                write(&layer.join(path), 0o644, text.as_bytes())?;
            }
        }
    }
    add_users(image, layer)?;
    let home = layer.join(&AGENT_HOME[1..]);
    create_dir(&home, 0o755)?;
    chown(&home, Some(AGENT_ID), Some(AGENT_ID))?;
    write(&layer.join(&SUPERVISOR_PATH[1..]), 0o555, EXEC_SUPERVISOR)?;
    // Last: what has a later change time was changed in a sandbox.
    let mut paths = BTreeSet::new();
    list(image, Path::new(""), &mut paths)?;
    list(layer, Path::new(""), &mut paths)?;
    let text: Vec<u8> = paths.into_iter().flat_map(|path| [path, vec![0]].concat()).collect();
    write(&layer.join(&SANDBOX_BASELINE[1..]), 0o444, &text)
}

/// Adds the paths of all files below `dir` of `root`, as they are inside. No link is followed.
fn list(root: &Path, dir: &Path, paths: &mut BTreeSet<Vec<u8>>) -> io::Result<()> {
    for entry in std::fs::read_dir(root.join(dir))? {
        let entry = entry?;
        let path = dir.join(entry.file_name());
        paths.insert([b"/", path.as_os_str().as_bytes()].concat());
        if entry.file_type()?.is_dir() && !NOT_IMAGES.contains(&path.to_str().unwrap_or_default()) {
            list(root, &path, paths)?;
        }
    }
    Ok(())
}

/// Adds the user and its group to the image's lists, root with its own home, and the lists of passwords, which are
/// none.
fn add_users(image: &Path, layer: &Path) -> io::Result<()> {
    let has_bash = image.join("usr/bin/bash").symlink_metadata().is_ok();
    let shell = if has_bash { "/bin/bash" } else { "/bin/sh" };
    let mut users = vec![format!("root:x:0:0:root:/root:{shell}")];
    users.extend(lines(image, "etc/passwd", &["root", AGENT_USER])?);
    users.push(format!("{AGENT_USER}:x:{AGENT_ID}:{AGENT_ID}:agent:{AGENT_HOME}:{shell}"));
    let names: Vec<_> = GROUPS.iter().map(|(name, _)| *name).chain([AGENT_USER]).collect();
    let mut groups = lines(image, "etc/group", &names)?;
    groups.extend(GROUPS.iter().map(|(name, id)| format!("{name}:x:{id}:")));
    groups.push(format!("{AGENT_USER}:x:{AGENT_ID}:"));
    let name_of = |line: &String| line.split(':').next().unwrap_or_default().to_owned();
    let passwords = users.iter().map(|line| format!("{}:*:19000:0:99999:7:::", name_of(line)));
    let group_passwords = groups.iter().map(|line| format!("{}:*::", name_of(line)));
    for (path, lines, mode) in [
        ("etc/shadow", passwords.collect::<Vec<_>>(), 0o640),
        ("etc/gshadow", group_passwords.collect(), 0o640),
        ("etc/passwd", users, 0o644),
        ("etc/group", groups, 0o644),
    ] {
        write(&layer.join(path), mode, (lines.join("\n") + "\n").as_bytes())?;
    }
    Ok(())
}

/// The lines of a list of the image, without those of `names`.
fn lines(image: &Path, path: &str, names: &[&str]) -> io::Result<Vec<String>> {
    let text = String::from_utf8_lossy(&read_file(&image.join(path))?).into_owned();
    let is_other = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default();
        !name.is_empty() && !names.contains(&name)
    };
    Ok(text.lines().filter(is_other).map(str::to_owned).collect())
}

fn create_dir(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    // Not subject to the process's umask.
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_has_a_home_and_the_images_users_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (image, layer) = (dir.path().join("image"), dir.path().join("layer"));
        for path in ["etc/pam.d", "usr/lib", "usr/bin", "var/log"] {
            std::fs::create_dir_all(image.join(path)).unwrap();
        }
        std::fs::create_dir(&layer).unwrap();
        let passwd = "root:x:0:0::/:/x\nagent:x:7:7::/:/x\nweb:x:33:33::/:/x\n";
        std::fs::write(image.join("etc/passwd"), passwd).unwrap();
        add_files(&image, &layer).unwrap();
        let read = |path: &str| std::fs::read_to_string(layer.join(path)).unwrap();
        assert_eq!(
            read("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/:/x\n\
             agent:x:1000:1000:agent:/home/agent:/bin/sh\n"
        );
        assert!(read("etc/group").ends_with("users:x:100:\nagent:x:1000:\n"));
        assert!(read("etc/shadow").contains("agent:*:"), "no password is one");
        assert!(read("etc/pam.d/common-auth").contains("pam_unix"));
        assert!(layer.join("usr/local/bin").exists());
        let baseline = read(&SANDBOX_BASELINE[1..]);
        for path in ["/etc/passwd", "/home/agent", SUPERVISOR_PATH, "/usr/bin"] {
            assert!(baseline.split('\0').any(|found| found == path), "{path}");
        }
        assert_eq!(std::fs::read_to_string(image.join("etc/passwd")).unwrap(), passwd);
    }
}
