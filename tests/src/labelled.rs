//! The containers of a stage, by the label that it gives to each: seen by Docker, not by the stage.

use anyhow::{Context as _, Result};
use bollard::Docker;
use bollard::query_parameters::ListContainersOptions;

/// The label whose value names the boot, the process namespace, the process and its start, with
/// slashes in between.
const OWNER: &str = "crucible.owner";

/// The names of all containers, running or not, that belong to the process `pid`.
///
/// # Errors
///
/// When Docker does not answer.
pub async fn of_process(pid: u32) -> Result<Vec<String>> {
    let docker = Docker::connect_with_defaults().context("cannot find Docker")?;
    let filters = [("label".to_owned(), vec![OWNER.to_owned()])].into();
    let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
    let containers = docker.list_containers(Some(options)).await.context("Docker is silent")?;
    let owned = containers.into_iter().filter(|container| {
        let labels = container.labels.as_ref();
        labels.and_then(|labels| labels.get(OWNER)).and_then(|owner| owner_pid(owner)) == Some(pid)
    });
    Ok(owned.map(|container| container.names.unwrap_or_default().join(" ")).collect())
}

fn owner_pid(owner: &str) -> Option<u32> {
    owner.split('/').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_the_third_part() {
        assert_eq!(owner_pid("b007-1d/4026531836/4711/99"), Some(4711));
        assert_eq!(owner_pid("4711"), None);
    }
}
