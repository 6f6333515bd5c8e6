//! The options of the engine, and why it could not start. No request can choose any of these.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ValueEnum, value_parser};
use shared::error::Hint;
use stage_04_docker::{CgroupError, DEFAULT_FIRST_USER, PinError, read_pin};
use stage_05_gvisor::RunscCommandError;

use super::profile::SandboxProfile;
use crate::engine_host::WarmSandboxes;
use crate::{Environment, KeptSandboxes};

/// The file in which set-up writes the directory with the image's files.
pub const ROOTFS_PIN: &str = "/etc/crucible/rootfs";

/// How gVisor takes a program's system calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RunscPlatform {
    /// By traps that are patched into the program's code; newer releases only
    Systrap,
    /// As a debugger does; works everywhere
    Ptrace,
    /// As a virtual machine; was seen to hang inside other virtual machines
    Kvm,
}

impl RunscPlatform {
    /// Its name on runsc's command line.
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
    /// How gVisor takes a program's system calls [default: the first of ptrace and systrap that
    /// works]
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "PLATFORM",
        env = "CRUCIBLE_RUNSC_PLATFORM"
    )]
    pub runsc_platform: Option<RunscPlatform>,
    /// Directory with the sandbox image's files [default: the one named in /etc/crucible/rootfs]
    #[arg(long, global = true, value_name = "DIR", env = "CRUCIBLE_SANDBOX_ROOTFS")]
    pub rootfs: Option<PathBuf>,
    /// Sandboxes that are started ahead and wait for programs, some 20 MB each; 0 starts each for
    /// its program
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_WARM_SANDBOXES",
          default_value_t = 6, value_parser = value_parser!(u16).range(0..=256))]
    pub warm_sandboxes: u16,
    /// Sandboxes that are started at the same time [default: two for each processor]
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_WARM_STARTS",
          value_parser = value_parser!(u16).range(1..=256))]
    pub warm_starts: Option<u16>,
    /// After so many seconds without an evaluation all waiting sandboxes but one are removed
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_WARM_IDLE_SECONDS",
          default_value_t = 300, value_parser = value_parser!(u32).range(1..=86_400))]
    pub warm_idle_seconds: u32,
    /// Sandboxes of other environments than the default that wait for programs, altogether; an environment
    /// has some once it is used
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_WARM_ENVIRONMENTS",
          default_value_t = 4, value_parser = value_parser!(u16).range(0..=256))]
    pub warm_environments: u16,
    /// The environments beside the default, for a stage that has some.
    #[arg(skip)]
    pub environments: Vec<Environment>,
    /// How many sandboxes of the engine wait, once it has started.
    #[arg(skip)]
    pub warm: WarmSandboxes,
    /// Sandboxes that stay, for a stage that serves them.
    #[arg(skip)]
    pub kept: KeptSandboxes,
    /// The first user of the range of users that programs run as; the flag is that of the engines
    /// through Docker, which share the range.
    #[arg(skip = DEFAULT_FIRST_USER)]
    pub first_user: u32,
    /// Whether programs have a directory `/output`, whose files are taken at their end: for a stage
    /// that stores them.
    #[arg(skip)]
    pub keeps_output_files: bool,
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
            warm_environments: 4,
            environments: Vec::new(),
            warm: WarmSandboxes::default(),
            kept: KeptSandboxes::default(),
            first_user: DEFAULT_FIRST_USER,
            keeps_output_files: false,
        }
    }
}

impl RunscOptions {
    pub(super) fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.warm_idle_seconds.into())
    }

    /// How many sandboxes are started at the same time. Half of the time of a start is waiting, so
    /// that as many as there are processors would leave them idle.
    pub(super) fn concurrent_starts(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.warm_starts.map_or(processors * 2, usize::from)
    }

    /// The profile of Python, the default.
    pub(super) async fn python_profile(&self) -> Result<SandboxProfile, RunscError> {
        let python = SandboxProfile::python(self.rootfs().await?, self.warm_sandboxes.into());
        Ok(SandboxProfile { keeps_output_files: self.keeps_output_files, ..python })
    }

    /// The directory with the image's files.
    async fn rootfs(&self) -> Result<PathBuf, RunscError> {
        match &self.rootfs {
            Some(dir) => Ok(dir.clone()),
            None => Ok(PathBuf::from(read_pin(Path::new(ROOTFS_PIN)).await?)),
        }
    }

    /// The executable, by its real path. Blocks.
    pub(super) fn runsc(&self) -> Result<PathBuf, RunscError> {
        let found = match &self.runsc {
            Some(path) => Some(path.clone()),
            None => std::env::var_os("PATH").and_then(|path| {
                let mut paths = std::env::split_paths(&path).map(|dir| dir.join("runsc"));
                paths.find(|path| path.is_file())
            }),
        };
        let path = found.ok_or(RunscError::RunscNotOnPath)?;
        path.canonicalize().map_err(|source| RunscError::RunscNotFound { path, source })
    }
}

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum RunscError {
    /// Only root can create namespaces and cgroups.
    #[error("driving runsc requires root, to create namespaces and cgroups")]
    NotRoot,
    /// There is no `runsc`.
    #[error("runsc is not on PATH")]
    RunscNotOnPath,
    /// There is no `runsc` at this path.
    #[error("cannot find {}", path.display())]
    RunscNotFound {
        /// The path.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The program at this path is not `runsc`, or cannot be run.
    #[error("cannot use {} as runsc", path.display())]
    NotRunsc {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: RunscCommandError,
    },
    /// The file that names the directory with the image's files has no value.
    #[error("cannot find the sandbox image's files")]
    NoPin(#[from] PinError),
    /// The directory with the image's files is not what set-up unpacks.
    #[error("cannot use the sandbox image's files, {}", path.display())]
    NoRootfs {
        /// The directory.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        reason: RootfsError,
    },
    /// Other engines hold every user of the range.
    #[error("other servers hold every user for programs from {first} on")]
    NoUsers {
        /// The first user of the range.
        first: u32,
    },
    /// The kernel's cgroups cannot be used.
    #[error("cannot use cgroups")]
    NoCgroups(#[from] CgroupError),
    /// A directory of the engine could not be created.
    #[error("cannot create {}", path.display())]
    CreateDir {
        /// The directory.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The task that prepares the engine panicked.
    #[error("the engine could not be prepared")]
    Panicked {
        /// The panic.
        source: tokio::task::JoinError,
    },
    /// No sandbox started, or its isolation could not be verified.
    #[error("gVisor's isolation could not be verified: {reason}")]
    NotVerified {
        /// What was seen, for each platform that was tried.
        reason: String,
    },
}

impl Hint for RunscError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotRoot => Some(
                "run this as root, or choose --engine gvisor-docker, with which Docker's daemon \
                 creates them",
            ),
            Self::NoRootfs { reason: RootfsError::Changed { .. }, .. } => Some(
                "find out what changed it, and run infrastructure/setup/setup.sh, which unpacks the \
                 image again",
            ),
            Self::RunscNotOnPath
            | Self::RunscNotFound { .. }
            | Self::NotRunsc { .. }
            | Self::NoPin(_)
            | Self::NoRootfs { .. } => Some("run infrastructure/setup/setup.sh"),
            Self::NoUsers { .. } => Some("set another range of users with --first-user"),
            Self::NoCgroups(error) => error.hint(),
            Self::NotVerified { .. } => Some("run `doctor`"),
            Self::CreateDir { .. } | Self::Panicked { .. } => None,
        }
    }
}

/// Why a directory cannot be a sandbox's root file system.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[source] std::io::Error),
    /// It is no directory, or other users can write to it.
    #[error("it is not a directory that only root can write to")]
    Writable,
    /// The profile's interpreter is missing.
    #[error("it has no {path}")]
    NoInterpreter {
        /// The path in the image.
        path: String,
    },
    /// The list of its files is missing.
    #[error("there is no list of its files, {}", path.display())]
    NoManifest {
        /// The list.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A file is not what set-up has unpacked.
    #[error("{path} is not what set-up has unpacked")]
    Changed {
        /// One of the paths that differ, below the directory.
        path: String,
    },
}
