//! The host environment of a stage: files, processes, network and counters, seen from outside.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::jail::{Jail, METADATA, own_binary};
use super::network::Network;
use crate::attack::probe::program::canary;

/// What the attacks on a stage target.
#[derive(Debug)]
pub struct HostEnvironment {
    place: Place,
    /// A secret in the command line and environment of a process that does not belong to the stage.
    pub decoy: String,
}

#[derive(Debug)]
enum Place {
    Jail(Jail),
    Host { dir: tempfile::TempDir, decoy: Decoy },
}

/// A process of the host, for a stage that is not in a jail.
#[derive(Debug)]
struct Decoy(std::process::Child);

impl Drop for Decoy {
    fn drop(&mut self) {
        // A probe may have killed it; it is reaped in any case.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// One process of the host environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its pid, in the ladder's namespace.
    pub pid: u32,
    /// Its name (`comm`), of at most 15 bytes.
    pub name: String,
}

impl HostEnvironment {
    /// The inside of a jail.
    pub fn jail(jail: Jail, decoy: String) -> Self {
        Self { place: Place::Jail(jail), decoy }
    }

    /// This host. Starts a decoy process, and creates a world-writable directory.
    ///
    /// # Errors
    ///
    /// When either fails.
    pub fn host() -> Result<Self> {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::Builder::new().prefix("crucible-ladder-").tempdir()?;
        // World-writable, so that file ownership is not what stops the probe.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777))?;
        let secret = canary();
        let decoy = Command::new(own_binary()?)
            .args(["decoy", &secret])
            .env("LADDER_DECOY", &secret)
            .stdin(Stdio::null())
            .spawn()
            .context("cannot start a decoy process")?;
        Ok(Self { place: Place::Host { dir, decoy: Decoy(decoy) }, decoy: secret })
    }

    /// Whether it is a jail.
    pub fn is_jail(&self) -> bool {
        matches!(self.place, Place::Jail(_))
    }

    /// Its network.
    pub fn network(&self) -> Network {
        match &self.place {
            Place::Jail(jail) => Network::Of(jail.init),
            Place::Host { .. } => Network::Own,
        }
    }

    /// A directory of the host environment, by its path there.
    pub fn dir(&self) -> &Path {
        match &self.place {
            Place::Jail(_) => Path::new("/tmp"),
            Place::Host { dir, .. } => dir.path(),
        }
    }

    /// The path from here of a path in the host environment.
    pub fn outside(&self, path: &Path) -> PathBuf {
        match &self.place {
            Place::Jail(jail) => {
                let root = PathBuf::from(format!("/proc/{}/root", jail.init));
                root.join(path.strip_prefix("/").unwrap_or(path))
            }
            Place::Host { .. } => path.to_owned(),
        }
    }

    /// The addresses at which an unsandboxed program reaches services of the host environment. On
    /// the host, one is Docker's bridge: a container has its own loopback, so that 127.0.0.1 alone
    /// would look contained on any network.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        if !self.is_jail() {
            addresses.extend(bridge_address());
        }
        addresses
    }

    /// The addresses of the metadata service: in a jail the link-local address of clouds, which its
    /// loopback has; on the host its own addresses. Nothing is ever sent to a real one.
    pub fn metadata_addresses(&self) -> Vec<IpAddr> {
        if self.is_jail() { METADATA.parse().into_iter().collect() } else { self.addresses() }
    }

    /// All processes of the host environment.
    pub fn processes(&self) -> Vec<Process> {
        let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let jail = match &self.place {
            Place::Jail(jail) => Some(namespace(jail.init)),
            Place::Host { .. } => None,
        };
        let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| jail.as_ref().is_none_or(|jail| namespace(*pid) == *jail))
            .filter_map(alive)
            .collect()
    }

    /// Kills the processes of this name, and returns whether there were any. They belong to a
    /// probe, which named itself: the name is random.
    pub fn kill(&self, name: &str) -> bool {
        let mut found = false;
        for process in self.processes().into_iter().filter(|process| process.name == name) {
            found = true;
            if let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) {
                // It may have ended by itself.
                kill_process(pid, Signal::KILL).ok();
            }
        }
        found
    }

    /// The decoy's pid, unless it runs in a jail.
    pub fn decoy_pid(&self) -> Option<u32> {
        match &self.place {
            Place::Jail(_) => None,
            Place::Host { decoy, .. } => Some(decoy.0.id()),
        }
    }

    /// The jail, if it is one.
    pub fn as_jail(&self) -> Option<&Jail> {
        match &self.place {
            Place::Jail(jail) => Some(jail),
            Place::Host { .. } => None,
        }
    }
}

/// The process with this pid, unless it is a zombie.
fn alive(pid: u32) -> Option<Process> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (before, after) = stat.rsplit_once(") ")?;
    let (_, name) = before.split_once('(')?;
    (!after.starts_with(['Z', 'X'])).then(|| Process { pid, name: name.to_owned() })
}

/// The address of Docker's default bridge, where a container with a network reaches the host.
fn bridge_address() -> Option<IpAddr> {
    let output = Command::new("ip").args(["-4", "-oneline", "address", "show", "docker0"]).output();
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    let mut words = text.split_ascii_whitespace().skip_while(|word| *word != "inet").skip(1);
    words.next()?.split('/').next()?.parse().ok()
}
