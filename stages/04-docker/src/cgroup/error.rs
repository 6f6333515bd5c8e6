//! Why a cgroup operation failed.

use std::io;
use std::path::PathBuf;

use super::Controller;
use shared::Hint;

/// Why a cgroup operation failed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// No hierarchy is mounted.
    #[error("no cgroup hierarchy is mounted")]
    NotMounted,
    /// A controller is missing in cgroup version 1.
    #[error("the cgroup controller {} is not mounted", controller.as_str())]
    ControllerNotMounted {
        /// The controller.
        controller: Controller,
    },
    /// A table of the kernel cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// The cgroup of a container was not found below the mounts.
    #[error(
        "the cgroup of container {id} was not found for the controller {controller}, in:\n{table}"
    )]
    ContainerNotFound {
        /// The container.
        id: String,
        /// The controller.
        controller: &'static str,
        /// `/proc/PID/cgroup` of its first process.
        table: String,
    },
    /// A cgroup cannot be created.
    #[error("cannot create the cgroup {}", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A cgroup cannot be removed.
    #[error("cannot remove the cgroup {}", path.display())]
    Remove {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A memory limit is below what is in use already.
    #[error("{in_use} bytes of memory are in use, more than the limit of {bytes}")]
    MemoryInUse {
        /// What is in use.
        in_use: u64,
        /// The limit that was refused.
        bytes: u64,
    },
    /// A limit is not in force.
    #[error("{} is {found:?}, not {expected:?}", path.display())]
    Limit {
        /// The file.
        path: PathBuf,
        /// The kernel's value.
        found: String,
        /// The value that was ordered.
        expected: String,
    },
    /// A reading of counters did not finish.
    #[error("a reading of the counters did not finish within {} s", after.as_secs())]
    Unfinished {
        /// The timeout; zero when the reading panicked.
        after: std::time::Duration,
    },
    /// A limit or a setting cannot be written.
    #[error("cannot write {value:?} to {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The value.
        value: String,
        /// The system's error.
        source: io::Error,
    },
}

impl CgroupError {
    /// Whether the file or the directory does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        match self {
            Self::Create { source, .. }
            | Self::Remove { source, .. }
            | Self::Write { source, .. }
            | Self::Read { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }

    /// For an operation that is done when its file or directory does not exist.
    pub(super) fn ignore_not_found(self) -> Result<(), Self> {
        if self.is_not_found() { Ok(()) } else { Err(self) }
    }
}

impl Hint for CgroupError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotMounted | Self::ControllerNotMounted { .. } => Some(
                "mount cgroups under /sys/fs/cgroup, with the controllers cpu, cpuacct, memory and \
                 pids",
            ),
            Self::Read { .. } | Self::ContainerNotFound { .. } => Some(
                "run this on Docker's own machine, outside of any container: the counters of a \
                 container can only be read there",
            ),
            Self::Create { .. }
            | Self::Remove { .. }
            | Self::Write { .. }
            | Self::MemoryInUse { .. }
            | Self::Limit { .. }
            | Self::Unfinished { .. } => None,
        }
    }
}
