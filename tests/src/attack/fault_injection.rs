//! A stage with one of its security controls disabled.
//!
//! A matrix that stays the same without a control would prove nothing. So the ladder can run a
//! proxy between a stage and Docker, which removes one control from every request to create a
//! container. The stage is the real one, unchanged. A control that the stage verifies at its start
//! has to be disabled afterwards ([`DockerProxy::disable`]); with one that is disabled before
//! ([`DockerProxy::start_without`]), the stage must refuse to start. For the engine that needs no
//! Docker, [`runsc`] does the same.

mod relay;
pub mod runsc;

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::task::JoinSet;

use crate::support::server::Launch;

/// The socket of Docker, by default.
const DOCKER: &str = "/var/run/docker.sock";

// ANCHOR: controls
/// A security control of a container that can be disabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Control {
    /// The network is Docker's default bridge
    Network,
    /// The root file system is writable
    ReadOnlyRoot,
    /// There is no seccomp filter
    Seccomp,
    /// The number of processes is not limited
    Pids,
    /// Memory is not limited
    Memory,
    /// All processors may be used
    Processors,
    /// Neither the scratch space nor a file is limited
    Disk,
    /// No path of /proc and /sys is masked
    Masks,
    /// The runtime is runc, whichever was requested
    Runtime,
}

impl Control {
    /// Removes this control from a request to create a container.
    fn leave_out(self, request: &mut Value) {
        let host = &mut request["HostConfig"];
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
                let options = "rw,noexec,nosuid,nodev,mode=1777";
                host["Tmpfs"] = json!({ "/tmp": options, "/dev/shm": options });
                if let Some(ulimits) = host["Ulimits"].as_array_mut() {
                    ulimits.retain(|ulimit| ulimit["Name"] != "fsize");
                }
            }
            Self::Masks => host["MaskedPaths"] = json!([]),
            Self::Runtime => {
                host["Runtime"] = json!("runc");
                // With the filter, the init of stage 5 does not start on the host's kernel.
                host["SecurityOpt"] = json!(["no-new-privileges", "seccomp=unconfined"]);
            }
        }
    }
}
// ANCHOR_END: controls

/// The control that is disabled now, if any, and how many requests were changed. One lock, so that
/// a count always belongs to its control.
#[derive(Debug, Clone, Default)]
struct Disabled(Arc<Mutex<(Option<Control>, usize)>>);

impl Disabled {
    /// Changes a request to create a container into the one that Docker receives.
    fn alter(&self, request: &mut Value) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(control), changed) = &mut *state {
            control.leave_out(request);
            *changed += 1;
        }
    }

    fn set(&self, control: Control) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(control);
    }
}

/// A proxy between a stage and Docker. Dropping it ends it.
#[derive(Debug)]
pub struct DockerProxy {
    dir: tempfile::TempDir,
    disabled: Disabled,
    _tasks: JoinSet<()>,
}

impl DockerProxy {
    /// A proxy that forwards everything unchanged until a control is disabled.
    ///
    /// # Errors
    ///
    /// When its socket cannot be created.
    pub fn start() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("crucible-ladder-").tempdir()?;
        let listener = UnixListener::bind(dir.path().join("docker.sock"))
            .context("cannot listen on the socket of the proxy")?;
        let (disabled, mut tasks) = (Disabled::default(), JoinSet::new());
        tasks.spawn(relay::serve(listener, disabled.clone()));
        Ok(Self { dir, disabled, _tasks: tasks })
    }

    /// A proxy with `control` disabled from the start.
    ///
    /// # Errors
    ///
    /// When its socket cannot be created.
    pub fn start_without(control: Control) -> Result<Self> {
        let proxy = Self::start()?;
        proxy.disable(control);
        Ok(proxy)
    }

    /// Lets the stage connect to the proxy in place of Docker.
    #[must_use]
    pub fn between(&self, launch: Launch) -> Launch {
        let mut host = OsString::from("unix://");
        host.push(self.dir.path().join("docker.sock"));
        launch.env("DOCKER_HOST", host)
    }

    /// Removes `control`, and no other, from every container that is created from now on.
    pub fn disable(&self, control: Control) {
        self.disabled.set(control);
    }

    /// How many containers were created without a control.
    pub fn changed(&self) -> usize {
        self.disabled.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_disabled_control_changes_the_request() {
        let request = json!({ "HostConfig": {
            "NetworkMode": "none", "ReadonlyRootfs": true, "PidsLimit": 64, "Memory": 1,
            "SecurityOpt": ["no-new-privileges", "seccomp={}"], "NanoCpus": 1,
            "Tmpfs": { "/tmp": "size=1" }, "MaskedPaths": ["/sys"], "Runtime": "runsc",
            "Ulimits": [{ "Name": "fsize", "Soft": 1 }, { "Name": "core", "Soft": 0 }],
        }});
        let disabled = Disabled::default();
        let mut same = request.clone();
        disabled.alter(&mut same);
        assert_eq!(same, request);
        for control in Control::value_variants() {
            disabled.set(*control);
            let mut other = request.clone();
            disabled.alter(&mut other);
            assert_ne!(other, request, "{control:?}");
        }
        disabled.set(Control::Disk);
        let mut other = request.clone();
        disabled.alter(&mut other);
        assert_eq!(other["HostConfig"]["Ulimits"], json!([{ "Name": "core", "Soft": 0 }]));
    }
}
