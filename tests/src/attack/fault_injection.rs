//! A stage with one of its walls taken down.
//!
//! A matrix that stays green with the walls down would be the worst defect of this project. So the
//! ladder can stand between a stage and Docker and leave one wall out of every container that the
//! stage orders. The stage itself is the real one, and does not know. A wall that it looks at when it
//! starts has to be taken down afterwards ([`DockerProxy::disable`]); one that is down before
//! ([`DockerProxy::start_without`]) must keep it from starting.

mod relay;

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use crate::support::server::Launch;

/// Where Docker listens, when nobody says otherwise.
const DOCKER: &str = "/var/run/docker.sock";

// ANCHOR: walls
/// A wall of a container that can be taken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Control {
    /// The container gets Docker's usual network
    Network,
    /// Its root takes writes
    ReadOnlyRoot,
    /// No system call is filtered
    Seccomp,
    /// It may have any number of processes
    Pids,
    /// It may have any amount of memory
    Memory,
    /// It may use all processors
    Processors,
    /// Its scratch space has no bound, nor has a file
    Disk,
    /// Nothing of /proc and /sys is hidden
    Masks,
    /// runc runs it, whatever runtime was ordered
    Runtime,
}

impl Control {
    /// Takes this wall out of an order for a container.
    fn leave_out(self, order: &mut Value) {
        let host = &mut order["HostConfig"];
        match self {
            Self::Network => {
                host["NetworkMode"] = json!("bridge");
                host["Dns"] = Value::Null;
                host["DnsSearch"] = Value::Null;
            }
            Self::ReadOnlyRoot => host["ReadonlyRootfs"] = json!(false),
            Self::Seccomp => {
                host["SecurityOpt"] = json!(["no-new-privileges", "seccomp=unconfined"]);
            }
            Self::Pids => host["PidsLimit"] = json!(-1),
            Self::Memory => {
                host["Memory"] = json!(0);
                host["MemorySwap"] = json!(0);
            }
            Self::Processors => host["NanoCpus"] = json!(0),
            Self::Disk => {
                host["Tmpfs"] = json!({ "/tmp": "rw,noexec,nosuid,nodev,mode=1777" });
                if let Some(ulimits) = host["Ulimits"].as_array_mut() {
                    ulimits.retain(|ulimit| ulimit["Name"] != "fsize");
                }
            }
            Self::Masks => host["MaskedPaths"] = json!([]),
            Self::Runtime => host["Runtime"] = json!("runc"),
        }
    }
}
// ANCHOR_END: walls

/// The wall that is down at this moment, if one is, and how many orders were altered by that.
#[derive(Debug, Clone, Default)]
struct Down(Arc<Mutex<(Option<Control>, usize)>>);

impl Down {
    /// Makes an order for a container what Docker gets to see.
    fn alter(&self, order: &mut Value) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(wall), altered) = &mut *state {
            wall.leave_out(order);
            *altered += 1;
        }
    }

    fn set(&self, wall: Control) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(wall);
    }
}

/// Stands between a stage and Docker. Gone when it is dropped.
#[derive(Debug)]
pub struct DockerProxy {
    dir: tempfile::TempDir,
    down: Down,
    _tasks: JoinSet<()>,
}

impl DockerProxy {
    /// One that passes everything on as it is, until a wall is to be taken down.
    ///
    /// # Errors
    ///
    /// When there is no place for its socket.
    pub fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("crucible-ladder-").tempdir()?;
        let listener = UnixListener::bind(dir.path().join("docker.sock"))
            .context("cannot listen in Docker's place")?;
        let (down, mut tasks) = (Down::default(), JoinSet::new());
        tasks.spawn(relay::serve(listener, down.clone()));
        Ok(Self { dir, down, _tasks: tasks })
    }

    /// One with `wall` down from the beginning.
    ///
    /// # Errors
    ///
    /// When there is no place for its socket.
    pub fn start_without(wall: Control) -> Result<Self> {
        let proxy = Self::start()?;
        proxy.disable(wall);
        Ok(proxy)
    }

    /// Has the stage order its containers here.
    #[must_use]
    pub fn between(&self, launch: Launch) -> Launch {
        let mut host = OsString::from("unix://");
        host.push(self.dir.path().join("docker.sock"));
        launch.env("DOCKER_HOST", host)
    }

    /// Leaves `wall`, and no other, out of every container that is ordered from now on.
    pub fn disable(&self, wall: Control) {
        self.down.set(wall);
    }

    /// How many containers were ordered with a wall down.
    pub fn altered(&self) -> usize {
        self.down.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wall_that_is_taken_down_changes_the_order() {
        let order = json!({ "HostConfig": {
            "NetworkMode": "none", "ReadonlyRootfs": true, "PidsLimit": 64, "Memory": 1,
            "SecurityOpt": ["no-new-privileges", "seccomp={}"], "NanoCpus": 1,
            "Tmpfs": { "/tmp": "size=1" }, "MaskedPaths": ["/sys"], "Runtime": "runsc",
            "Ulimits": [{ "Name": "fsize", "Soft": 1 }, { "Name": "core", "Soft": 0 }],
        }});
        let down = Down::default();
        let mut same = order.clone();
        down.alter(&mut same);
        assert_eq!(same, order);
        for wall in Control::value_variants() {
            down.set(*wall);
            let mut other = order.clone();
            down.alter(&mut other);
            assert_ne!(other, order, "{wall:?}");
        }
        down.set(Control::Disk);
        let mut other = order.clone();
        down.alter(&mut other);
        assert_eq!(other["HostConfig"]["Ulimits"], json!([{ "Name": "core", "Soft": 0 }]));
    }
}
