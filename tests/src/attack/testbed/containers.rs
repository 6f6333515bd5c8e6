//! The counters of a stage's sandboxes: Docker containers, and sandboxes without Docker.

use anyhow::{Context as _, Result};
use bollard::Docker;
use bollard::query_parameters::{InspectContainerOptionsBuilder, ListContainersOptionsBuilder};

use super::cgroup::{Cgroup, Counters, owner_pid};

/// The label of a container with the instance id of its stage: `BOOT.NAMESPACE.PID.START`.
const OWNER: &str = "crucible.owner";

/// The element-wise maximum of the counters of the sandboxes of the stage with this pid, or of any
/// stage. None without a sandbox.
///
/// The maximum and not the sum: a stage may have idle sandboxes as well.
pub(super) async fn counters(server: Option<u32>) -> Result<Option<Counters>> {
    let mut groups = Cgroup::of_sandboxes(server);
    groups.extend(of_containers(server).await?);
    // One that has just ended is skipped.
    let counters = groups.iter().filter_map(|group| group.counters().ok());
    Ok(counters.reduce(|one, other| Counters {
        memory: one.memory.max(other.memory),
        processes: one.processes.max(other.processes),
        cpu: one.cpu.max(other.cpu),
        cpu_quota: one.cpu_quota.max(other.cpu_quota),
    }))
}

async fn of_containers(server: Option<u32>) -> Result<Vec<Cgroup>> {
    let docker = Docker::connect_with_defaults().context("cannot find Docker")?;
    let mut groups = Vec::new();
    for id in of_stage(&docker, server).await? {
        let inspected = docker.inspect_container(&id, None).await;
        let pid = inspected.ok().and_then(|container| container.state?.pid).unwrap_or(0);
        let Some(pid) = u32::try_from(pid).ok().filter(|pid| *pid > 0) else { continue };
        // The process may have ended by now, and its id may be that of another one.
        let group = Cgroup::of_process(pid).ok();
        groups.extend(group.filter(|group| group.dir().to_string_lossy().contains(&id)));
    }
    Ok(groups)
}

/// What these sandboxes together have written outside of their scratch space, in MiB. None without
/// a sandbox. Docker reports the size of a container's writable layer; for a sandbox without Docker
/// the result is `taken`, by which the free space of the host has shrunk.
pub(super) async fn written(server: Option<u32>, taken: u64) -> Result<Option<u64>> {
    let docker = Docker::connect_with_defaults().context("cannot find Docker")?;
    let mut sum = (!Cgroup::of_sandboxes(server).is_empty()).then_some(taken);
    for id in of_stage(&docker, server).await? {
        let options = InspectContainerOptionsBuilder::default().size(true).build();
        let Ok(state) = docker.inspect_container(&id, Some(options)).await else { continue };
        let bytes = state.size_rw.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        sum = Some(sum.unwrap_or(0) + (bytes >> 20));
    }
    Ok(sum)
}

/// The running containers of the stage with this pid, or of any stage.
async fn of_stage(docker: &Docker, server: Option<u32>) -> Result<Vec<String>> {
    let filters = [("label".to_owned(), vec![OWNER.to_owned()])].into();
    let options = ListContainersOptionsBuilder::default().filters(&filters).build();
    let mut ids = Vec::new();
    for container in docker.list_containers(Some(options)).await? {
        let owner = container.labels.unwrap_or_default().remove(OWNER).unwrap_or_default();
        if server.is_none() || owner_pid(&owner) == server {
            ids.extend(container.id);
        }
    }
    Ok(ids)
}
