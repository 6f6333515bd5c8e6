//! The counters of a stage's containers.

use anyhow::{Context as _, Result};
use bollard::Docker;
use bollard::query_parameters::{InspectContainerOptionsBuilder, ListContainersOptionsBuilder};

use super::cgroup::{Cgroup, Counters};

/// The label that names the stage's process in each of its containers: `BOOT.NAMESPACE.PID.START`.
const OWNER: &str = "crucible.owner";

/// What the containers of the stage with this process use together, or those of any stage. None
/// while there are none.
pub(super) async fn counters(server: Option<u32>) -> Result<Option<Counters>> {
    let docker = Docker::connect_with_defaults().context("cannot find Docker")?;
    let mut sum: Option<Counters> = None;
    for id in of_stage(&docker, server).await? {
        // One that has just ended counts for nothing.
        let Ok(state) = docker.inspect_container(&id, None).await else { continue };
        let pid = state.state.and_then(|state| state.pid).unwrap_or(0);
        let Some(pid) = u32::try_from(pid).ok().filter(|pid| *pid > 0) else { continue };
        let Ok(one) = Cgroup::of_process(pid).and_then(|group| group.counters()) else { continue };
        let before = sum.unwrap_or_default();
        sum = Some(Counters {
            memory: before.memory + one.memory,
            processes: before.processes + one.processes,
            cpu: before.cpu + one.cpu,
        });
    }
    Ok(sum)
}

/// What these containers have written to their roots, together, in MiB. None while there are none.
pub(super) async fn written(server: Option<u32>) -> Result<Option<u64>> {
    let docker = Docker::connect_with_defaults().context("cannot find Docker")?;
    let mut sum = None;
    for id in of_stage(&docker, server).await? {
        let options = InspectContainerOptionsBuilder::default().size(true).build();
        let Ok(state) = docker.inspect_container(&id, Some(options)).await else { continue };
        let bytes = state.size_rw.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
        sum = Some(sum.unwrap_or(0) + (bytes >> 20));
    }
    Ok(sum)
}

/// The containers that run for the stage with this process, or for any.
async fn of_stage(docker: &Docker, server: Option<u32>) -> Result<Vec<String>> {
    let filters = [("label".to_owned(), vec![OWNER.to_owned()])].into();
    let options = ListContainersOptionsBuilder::default().filters(&filters).build();
    let mut ids = Vec::new();
    for container in docker.list_containers(Some(options)).await? {
        let owner = container.labels.unwrap_or_default().remove(OWNER).unwrap_or_default();
        let owner = owner.split(['.', '/']).nth(2).and_then(|pid| pid.parse().ok());
        if server.is_none() || owner == server {
            ids.extend(container.id);
        }
    }
    Ok(ids)
}
