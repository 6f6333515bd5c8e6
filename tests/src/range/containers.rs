//! The counters of a stage's sandboxes: containers of Docker's, and those it makes itself.

use anyhow::{Context as _, Result};
use bollard::Docker;
use bollard::query_parameters::ListContainersOptionsBuilder;

use super::cgroup::{Cgroup, Counters, owner_pid};

/// The label that names the stage's process in each of its containers: `BOOT.NAMESPACE.PID.START`.
const OWNER: &str = "crucible.owner";

/// What that sandbox of the stage with this process uses that uses most, or that of any stage. None
/// while there are none.
///
/// Each counter by itself, and not their sum: a stage may have others that only wait.
pub(super) async fn counters(server: Option<u32>) -> Result<Option<Counters>> {
    let mut groups = Cgroup::of_sandboxes(server);
    groups.extend(of_containers(server).await?);
    // One that has just ended counts for nothing.
    let counters = groups.iter().filter_map(|group| group.counters().ok());
    Ok(counters.reduce(|one, other| Counters {
        memory: one.memory.max(other.memory),
        processes: one.processes.max(other.processes),
        cpu: one.cpu.max(other.cpu),
    }))
}

async fn of_containers(server: Option<u32>) -> Result<Vec<Cgroup>> {
    let docker = Docker::connect_with_defaults().context("cannot find Docker")?;
    let filters = [("label".to_owned(), vec![OWNER.to_owned()])].into();
    let options = ListContainersOptionsBuilder::default().filters(&filters).build();
    let mut groups = Vec::new();
    for container in docker.list_containers(Some(options)).await? {
        let owner = container.labels.unwrap_or_default().remove(OWNER).unwrap_or_default();
        if server.is_some() && owner_pid(&owner) != server {
            continue;
        }
        let inspected = docker.inspect_container(&container.id.unwrap_or_default(), None).await;
        let pid = inspected.ok().and_then(|it| it.state?.pid).unwrap_or(0);
        let Some(pid) = u32::try_from(pid).ok().filter(|pid| *pid > 0) else { continue };
        groups.extend(Cgroup::of_process(pid));
    }
    Ok(groups)
}
