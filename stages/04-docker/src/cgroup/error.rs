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
    /// For an operation that is done when its file or directory does not exist.
    pub(super) fn ignore_not_found(self) -> Result<(), Self> {
        match &self {
            Self::Create { source, .. }
            | Self::Remove { source, .. }
            | Self::Write { source, .. }
            | Self::Read { source, .. }
                if source.kind() == io::ErrorKind::NotFound =>
            {
                Ok(())
            }
            _ => Err(self),
        }
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
            | Self::MemoryInUse { .. } => None,
        }
    }
}
