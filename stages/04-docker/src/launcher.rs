//! Creates the containers of one engine: everything that all of them have in common.

use std::sync::Arc;

use bollard::models::ContainerCreateBody;
use shared::Limits;
use uuid::Uuid;

use crate::cgroup::CgroupLayout;
use crate::daemon::{Daemon, DaemonError};
use crate::profile::SandboxProfile;
use crate::reaper::{Container, Reaper};
use crate::runtime::Runtime;
use crate::spec;

/// Creates the containers of one engine.
pub(crate) struct Launcher {
    pub(crate) daemon: Daemon,
    pub(crate) runtime: Runtime,
    pub(crate) reaper: Arc<Reaper>,
    /// Where the cgroups of containers are; none until it was detected from the first one.
    pub(crate) layout: Option<CgroupLayout>,
    pub(crate) profile: SandboxProfile,
    /// The seccomp profile as JSON.
    pub(crate) seccomp: String,
}

impl Launcher {
    /// The specification of a container for a program with these limits.
    pub(crate) fn specification(&self, limits: &Limits) -> ContainerCreateBody {
        let inputs = spec::SpecInputs {
            profile: &self.profile,
            runtime: self.runtime.name,
            seccomp: &self.seccomp,
            root_init: self.runtime.root_init,
            pids: (self.runtime.host_pids_limit)(limits.pids),
            labels: self.reaper.labels(),
            hostname: Uuid::new_v4().simple().to_string()[..12].to_owned(),
        };
        spec::specification(inputs, limits)
    }

    /// Creates a container for a program with these limits. It does not run yet.
    ///
    /// Cancel safe: the reaper removes a container whose future was dropped.
    pub(crate) async fn create(&self, limits: &Limits) -> Result<Container, DaemonError> {
        let mut container = self.reaper.create(self.specification(limits)).await?;
        container.cgroup = self.layout.as_ref().map(|layout| layout.cgroup(&container.id));
        Ok(container)
    }
}
