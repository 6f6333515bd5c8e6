//! Where Docker puts the cgroup of a container.
//!
//! It depends on the machine: Docker puts it elsewhere under systemd. So it is detected once, from
//! one container at the start of the engine, and from then on known before a container starts.

use std::path::PathBuf;

use super::{Cgroup, CgroupError, CgroupHierarchy, Controller};

/// Stands for a container's id in the template.
const ID_PLACEHOLDER: &str = "{id}";

/// Where the cgroups of this machine's containers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgroupLayout {
    hierarchy: CgroupHierarchy,
    /// A container's cgroup below the mounts, with [`ID_PLACEHOLDER`] for its id.
    template: String,
}

impl CgroupLayout {
    /// Detects the layout from a running container and its first process, `pid` on the host.
    ///
    /// # Errors
    ///
    /// When the tables of the kernel cannot be read, or do not contain the container.
    pub async fn detect(pid: i64, id: &str) -> Result<Self, CgroupError> {
        let hierarchy = CgroupHierarchy::detect().await?;
        let path = PathBuf::from(format!("/proc/{pid}/cgroup"));
        let table = tokio::fs::read_to_string(&path).await;
        let table = table.map_err(|source| CgroupError::Read { path, source })?;
        Self::from_table(hierarchy, &table, id)
    }

    /// The layout from the text of `/proc/PID/cgroup`.
    pub(super) fn from_table(
        hierarchy: CgroupHierarchy,
        table: &str,
        id: &str,
    ) -> Result<Self, CgroupError> {
        let template_of = |controller: Controller| {
            // Version 2 is the line without a controller's name.
            let name = if hierarchy.version() == 1 { controller.as_str() } else { "" };
            let cgroup = table.lines().find_map(|line| {
                let (names, path) = line.split_once(':')?.1.split_once(':')?;
                names.split(',').any(|found| found == name).then_some(path)
            })?;
            let root = hierarchy.mount(controller).root.trim_end_matches('/');
            let below = cgroup.strip_prefix(root)?;
            // A path without the id would be read for every container alike.
            below.contains(id).then(|| below.replace(id, ID_PLACEHOLDER))
        };
        let template = template_of(Controller::Memory);
        let differs = |controller: &Controller| template_of(*controller) != template;
        match (Controller::ALL.into_iter().find(differs), template) {
            (None, Some(template)) => Ok(Self { hierarchy, template }),
            (differing, _) => Err(CgroupError::ContainerNotFound {
                id: id.to_owned(),
                controller: differing.unwrap_or(Controller::Memory).as_str(),
                table: table.to_owned(),
            }),
        }
    }

    /// The cgroup of the container `id`.
    pub fn cgroup(&self, id: &str) -> Cgroup {
        self.hierarchy.cgroup(&self.template.replace(ID_PLACEHOLDER, id))
    }

    /// The version of the hierarchy: 1 or 2.
    pub fn version(&self) -> u8 {
        self.hierarchy.version()
    }
}
