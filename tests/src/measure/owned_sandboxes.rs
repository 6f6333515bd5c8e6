//! The sandboxes of a stage, found by their instance label: in Docker and in the control groups,
//! not by the stage's own report.

use anyhow::{Context as _, Result};
use bollard::Docker;
use bollard::query_parameters::ListContainersOptions;

use crate::attack::testbed::cgroup::{Cgroup, owner_pid};

/// The label with the instance id: boot, process namespace, pid and start time.
const OWNER: &str = "crucible.owner";

/// The names of all containers, running or not, and of all groups of other sandboxes that belong to
/// the process `pid`.
///
/// # Errors
///
/// When Docker does not respond.
pub async fn of_process(pid: u32) -> Result<Vec<String>> {
    let docker = Docker::connect_with_defaults().context("cannot find Docker")?;
    let filters = [("label".to_owned(), vec![OWNER.to_owned()])].into();
    let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
    let containers = docker.list_containers(Some(options)).await.context("Docker is silent")?;
    let owned = containers.into_iter().filter(|container| {
        let labels = container.labels.as_ref();
        labels.and_then(|labels| labels.get(OWNER)).and_then(|owner| owner_pid(owner)) == Some(pid)
    });
    let mut names: Vec<_> =
        owned.map(|container| container.names.unwrap_or_default().join(" ")).collect();
    let groups = Cgroup::of_sandboxes(Some(pid));
    names.extend(groups.iter().map(|group| group.dir().display().to_string()));
    Ok(names)
}
