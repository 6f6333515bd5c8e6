//! Creates the containers of one engine: everything that all of them have in common.

use std::sync::Arc;

use bollard::models::ContainerCreateBody;
use shared::Limits;
use uuid::Uuid;

use crate::cgroup::{CgroupLayout, CgroupLimits};
use crate::daemon::{Daemon, DaemonError};
use crate::profile::SandboxProfile;
use crate::reaper::{Container, Reaper};
use crate::runtime::Runtime;
use crate::spec;
use crate::users::Users;

/// Creates the containers of one engine.
pub(crate) struct Launcher {
    pub(crate) daemon: Daemon,
    pub(crate) runtime: Runtime,
    pub(crate) reaper: Arc<Reaper>,
    /// The users of its containers; none where a program's user is the runtime's own.
    pub(crate) users: Option<Arc<Users>>,
    /// Where the cgroups of containers are; none until it was detected from the first one.
    pub(crate) layout: Option<CgroupLayout>,
    pub(crate) profile: SandboxProfile,
    /// The seccomp profile as JSON.
    pub(crate) seccomp: String,
}

impl Launcher {
    /// The specification of a container for a program with these limits.
    pub(crate) fn specification(&self, limits: &Limits, user: Option<u32>) -> ContainerCreateBody {
        let inputs = spec::SpecInputs {
            profile: &self.profile,
            runtime: self.runtime.name,
            seccomp: &self.seccomp,
            user,
            memory_bytes: (self.runtime.host_memory_limit)(limits),
            pids: (self.runtime.host_pids_limit)(limits.pids),
            labels: self.reaper.labels(user),
            hostname: Uuid::new_v4().simple().to_string()[..12].to_owned(),
        };
        spec::specification(inputs, limits)
    }

    /// Creates a container for a program with these limits. It does not run yet.
    ///
    /// Cancel safe: the reaper removes a container whose future was dropped.
    pub(crate) async fn create(&self, limits: &Limits) -> Result<Container, DaemonError> {
        let lease = match &self.users {
            Some(users) => Some(users.lease().ok_or(DaemonError::NoUser)?),
            None => None,
        };
        let body = self.specification(limits, lease.as_ref().map(|lease| lease.id));
        let mut container = self.reaper.create(body, lease).await?;
        container.cgroup = self.layout.as_ref().map(|layout| layout.cgroup(&container.id));
        Ok(container)
    }

    /// The limits that the kernel has to have for the container of such a program.
    pub(crate) fn cgroup_limits(&self, limits: &Limits) -> CgroupLimits {
        CgroupLimits {
            cpus: spec::CPUS,
            memory_bytes: (self.runtime.host_memory_limit)(limits),
            pids: (self.runtime.host_pids_limit)(limits.pids),
        }
    }
}
