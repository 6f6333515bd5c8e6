//! The inside of a jail: its loopback network and its temporary root.
//!
//! Everything here runs as pid 1 in the jail's namespaces, which `jail enter` has created.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, unmount};
use rustix::process::{chdir, pivot_root};

/// The link-local address of metadata services in clouds, which the jail's loopback has.
pub const METADATA: &str = "169.254.169.254";
/// A dummy network interface of the jail, with a random hardware address.
const INTERFACE: &str = "ladder0";
/// Size of the jail's own file system.
const ROOT_SIZE: &str = "size=1g";
/// The directory of the two binaries, inside.
pub(super) const BINARIES: &str = "run/crucible-ladder";
/// The available device nodes.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Brings the loopback up, with the address of a metadata service on it.
pub(super) fn network() -> Result<()> {
    for words in [
        "link set lo up".to_owned(),
        format!("address add {METADATA}/32 dev lo"),
        format!("link add {INTERFACE} type veth peer name {INTERFACE}-peer"),
    ] {
        let output = Command::new("ip").args(words.split(' ')).output();
        let output = output.context("cannot run ip, which is in iproute2")?;
        if !output.status.success() {
            bail!("ip {words}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
    }
    Ok(())
}

/// Builds a root below `directory`, and makes it the root of this process.
pub(super) fn root(dir: &Path, stage: &Path, hostname: &str) -> Result<()> {
    let none = MountFlags::empty();
    let tmpfs = |target: &Path, options: &str| {
        let options = std::ffi::CString::new(options).unwrap_or_default();
        fs::create_dir_all(target)?;
        mount("tmpfs", target, "tmpfs", none, options.as_c_str())
            .with_context(|| format!("cannot mount a tmpfs on {}", target.display()))
    };
    tmpfs(dir, ROOT_SIZE)?;
    let [upper, work, root] = ["upper", "work", "root"].map(|name| dir.join(name));
    for dir in [&upper, &work, &root] {
        fs::create_dir(dir)?;
    }
    let layers = format!("lowerdir=/,upperdir={},workdir={}", upper.display(), work.display());
    let layers = std::ffi::CString::new(layers)?;
    mount("overlay", &root, "overlay", none, layers.as_c_str())
        .context("cannot mount an overlay over the root")?;
    mount("proc", root.join("proc"), "proc", none, None)?;
    mount("sysfs", root.join("sys"), "sysfs", MountFlags::RDONLY, None)?;
    tmpfs(&root.join("dev"), "size=64k,mode=755")?;
    for name in DEVICES {
        fs::write(root.join("dev").join(name), "")?;
        mount_bind(Path::new("/dev").join(name), root.join("dev").join(name))?;
    }
    for (name, options) in [
        ("dev/shm", "size=512m,mode=1777"),
        ("run", "size=16m,mode=755"),
        ("root", "size=64m,mode=700"),
        ("home", "size=64m,mode=755"),
        ("tmp", "size=512m,mode=1777"),
    ] {
        tmpfs(&root.join(name), options)?;
    }
    // Debian's /var/run is a link to /run.
    fs::write(root.join("etc/machine-id"), format!("{hostname}\n"))?;
    fs::write(root.join("etc/resolv.conf"), format!("# {hostname}\nnameserver 127.0.0.1\n"))?;
    let binaries = root.join(BINARIES);
    fs::create_dir_all(&binaries)?;
    for (name, binary) in [("stage", stage), ("ladder", &std::env::current_exe()?)] {
        fs::write(binaries.join(name), "")?;
        mount_bind(binary, binaries.join(name))
            .with_context(|| format!("cannot bind-mount {} inside", binary.display()))?;
    }
    chdir(&root)?;
    // In one step: the old root is mounted on top of the new one, and unmounted.
    pivot_root(".", ".").context("cannot change the root")?;
    unmount(".", UnmountFlags::DETACH).context("cannot unmount the old root")?;
    chdir("/").context("cannot change to the new root")
}
