//! The settings of the engine, and why it could not start. No request can choose any of these.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ValueEnum, value_parser};

/// Where the set-up writes which folder holds the image's files.
pub const ROOTFS_PIN: &str = "/etc/crucible/rootfs";

/// How gVisor takes a program's system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RunscPlatform {
    /// By a trap that the program's own code is patched with; newer releases only
    Systrap,
    /// As a debugger does; works everywhere
    Ptrace,
    /// As a virtual machine; was seen to hang for ever inside other virtual machines
    Kvm,
}

impl RunscPlatform {
    /// The name that runsc knows it by.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Systrap => "systrap",
            Self::Ptrace => "ptrace",
            Self::Kvm => "kvm",
        }
    }
}

/// Which runsc, which files, and how many sandboxes wait for work.
#[derive(Debug, Clone, clap::Args)]
pub struct RunscOptions {
    /// gVisor's program [default: runsc, found on PATH]
    #[arg(long, global = true, value_name = "FILE", env = "CRUCIBLE_RUNSC")]
    pub runsc: Option<PathBuf>,
    /// How gVisor takes a program's system calls [default: the first of systrap and ptrace that
    /// works]
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "PLATFORM",
        env = "CRUCIBLE_RUNSC_PLATFORM"
    )]
    pub runsc_platform: Option<RunscPlatform>,
    /// Folder with the sandbox image's files [default: the one named in /etc/crucible/rootfs]
    #[arg(long, global = true, value_name = "FOLDER", env = "CRUCIBLE_SANDBOX_ROOTFS")]
    pub rootfs: Option<PathBuf>,
    /// Sandboxes that are kept started and waiting, some 20 MB each; 0 starts each when it is needed
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_WARM_SANDBOXES",
          default_value_t = 6, value_parser = value_parser!(u16).range(0..=256))]
    pub warm_sandboxes: u16,
    /// Sandboxes that are started at the same time [default: two for each processor]
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_WARM_STARTS",
          value_parser = value_parser!(u16).range(1..=256))]
    pub warm_starts: Option<u16>,
    /// After so long without an evaluation one waiting sandbox is kept and the others go, in seconds
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_WARM_IDLE_SECONDS",
          default_value_t = 300, value_parser = value_parser!(u32).range(1..=86_400))]
    pub warm_idle_seconds: u32,
}

impl Default for RunscOptions {
    fn default() -> Self {
        Self {
            runsc: None,
            runsc_platform: None,
            rootfs: None,
            warm_sandboxes: 6,
            warm_starts: None,
            warm_idle_seconds: 300,
        }
    }
}

impl RunscOptions {
    pub(super) fn idle(&self) -> Duration {
        Duration::from_secs(self.warm_idle_seconds.into())
    }

    /// How many sandboxes are started at once. Half of the time of a start is waiting, so that as
    /// many as there are processors would leave them idle.
    pub(super) fn starts(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.warm_starts.map_or(processors * 2, usize::from)
    }

    /// The folder with the image's files.
    pub(super) fn rootfs(&self) -> Result<PathBuf, RunscError> {
        if let Some(folder) = &self.rootfs {
            return Ok(folder.clone());
        }
        match std::fs::read_to_string(ROOTFS_PIN) {
            Ok(pin) if !pin.trim().is_empty() => Ok(PathBuf::from(pin.trim())),
            Ok(_) => Err(no_rootfs(Path::new(ROOTFS_PIN), "it is empty")),
            Err(error) => Err(no_rootfs(Path::new(ROOTFS_PIN), error)),
        }
    }

    /// The program, by its real path.
    pub(super) fn runsc(&self) -> Result<PathBuf, RunscError> {
        let found = match &self.runsc {
            Some(path) => Some(path.clone()),
            None => std::env::var_os("PATH").and_then(|folders| {
                let mut paths = std::env::split_paths(&folders).map(|folder| folder.join("runsc"));
                paths.find(|path| path.is_file())
            }),
        };
        let path = found.ok_or(RunscError::NoRunsc { reason: "it is not on PATH".to_owned() })?;
        path.canonicalize()
            .map_err(|error| RunscError::NoRunsc { reason: format!("{}: {error}", path.display()) })
    }
}

pub(super) fn no_rootfs(path: &Path, reason: impl std::fmt::Display) -> RunscError {
    RunscError::NoRootfs { path: path.to_owned(), reason: reason.to_string() }
}

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunscError {
    /// Namespaces and control groups are root's to make.
    #[error(
        "driving runsc takes root, to make namespaces and control groups\n  hint: run this as root, \
         or choose --engine gvisor-docker, with which Docker's daemon does it"
    )]
    NotRoot,
    /// There is no gVisor.
    #[error("cannot find runsc: {reason}\n  hint: run infrastructure/setup/setup.sh")]
    NoRunsc {
        /// What was tried.
        reason: String,
    },
    /// There are no files for the sandboxes.
    #[error(
        "cannot use the sandbox image's files, {}: {reason}\n  hint: run \
         infrastructure/setup/setup.sh, which unpacks them", path.display()
    )]
    NoRootfs {
        /// The folder, or the pin that should name it.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The kernel's counters are not to be had.
    #[error(
        "cannot use control groups: {reason}\n  hint: mount them under /sys/fs/cgroup, with the \
         controllers cpu, memory and pids"
    )]
    NoControlGroups {
        /// What is wrong.
        reason: String,
    },
    /// A folder or a file of ours could not be made.
    #[error("cannot make {}", path.display())]
    Home {
        /// What was to be made.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No sandbox came up, or it does not have the walls it should have.
    #[error("gVisor's sandbox is not what it should be: {reason}\n  hint: run `doctor`")]
    NotProven {
        /// What was seen, for each platform that was tried.
        reason: String,
    },
}
