//! Creates the containers of one engine: everything that all of them have in common.

use std::collections::HashMap;
use std::sync::Arc;

use bollard::models::ContainerCreateBody;
use shared::profile::PYTHON;
use shared::{Job, Limits};
use uuid::Uuid;

use crate::args::DockerArgs;
use crate::cgroup::{CgroupLayout, CgroupLimits};
use crate::daemon::{Daemon, DaemonError};
use crate::engine::EngineError;
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
    /// Those of the environments beside the default, by their names.
    pub(crate) environments: HashMap<String, SandboxProfile>,
    /// The seccomp profile as JSON.
    pub(crate) seccomp: String,
}

impl Launcher {
    /// What a program runs in.
    pub(crate) fn profile_of(&self, job: &Job) -> Result<&SandboxProfile, DaemonError> {
        let name = job.submission.profile.as_str();
        if name == PYTHON.name {
            return Ok(&self.profile);
        }
        self.environments.get(name).ok_or(DaemonError::NoEnvironment)
    }

    /// The specification of a container for a program with these limits.
    pub(crate) fn specification(
        &self,
        profile: &SandboxProfile,
        limits: &Limits,
        user: Option<u32>,
    ) -> ContainerCreateBody {
        let inputs = spec::SpecInputs {
            profile,
            runtime: self.runtime.name,
            seccomp: &self.seccomp,
            user,
            memory_bytes: (self.runtime.host_memory_limit)(limits),
            pids: (self.runtime.host_pids_limit)(limits.pids),
            labels: self.reaper.labels(user),
            hostname: host_name(Uuid::new_v4()),
        };
        spec::specification(inputs, limits)
    }

    /// Creates a container for a program of `profile` with these limits. It does not run yet.
    ///
    /// Cancel safe: the reaper removes a container whose future was dropped.
    pub(crate) async fn create(
        &self,
        profile: &SandboxProfile,
        limits: &Limits,
    ) -> Result<Container, DaemonError> {
        let lease = match &self.users {
            Some(users) => Some(users.lease().ok_or(DaemonError::NoUser)?),
            None => None,
        };
        let body = self.specification(profile, limits, lease.as_ref().map(|lease| lease.id));
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

/// The profiles of `environments`, each with the image that Docker has under its name now.
pub(crate) async fn profiles(
    daemon: &Daemon,
    args: &DockerArgs,
) -> Result<HashMap<String, SandboxProfile>, EngineError> {
    let mut profiles = HashMap::new();
    for environment in &args.environments {
        let name = environment.name.clone();
        let image = match daemon.image(&environment.image).await {
            Ok(image) => image.id.unwrap_or_default(),
            Err(source) => return Err(EngineError::NoEnvironment { name, source }),
        };
        let profile = SandboxProfile::of(environment, image);
        let takes_files = args.keeps_output_files;
        let profile = if takes_files { profile.with_output_files() } else { profile };
        profiles.insert(name, profile);
    }
    Ok(profiles)
}

/// A name like Docker's, twelve hexadecimal digits. It begins with a letter: one of decimal digits alone
/// is taken for an address, and glibc does not look it up.
pub(crate) fn host_name(id: Uuid) -> String {
    format!("c{}", &id.simple().to_string()[..11])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_no_number() {
        let name = host_name(Uuid::from_u128(0x1234_5678_9012_3456_7890_1234_5678_9012));
        assert_eq!(name, "c12345678901");
    }
}
