//! An engine that runs each program in a container of its own.
//!
//! The rule it keeps: one evaluation, one container, and nothing passes from one to the next. Before
//! the first program of a user, a program of the engine's own runs, and the isolation of its container
//! is verified from outside; where that fails, the engine does not start.
//!
//! What it does not protect against: the kernel is shared. An error in one of the allowed system
//! calls is a way out; the next stage answers that.

use bollard::models::ContainerCreateBody;
use shared::{
    BoxFuture, Engine, Evidence, Hint, Job, Limits, Outcome, OutputBuffer, SandboxInfo, Stream,
    Submission, Verdict, harmless,
};
use tokio_util::sync::CancellationToken;

use crate::args::DockerArgs;
use crate::cgroup::{Cgroup, CgroupLayout};
use crate::daemon::{Daemon, DaemonError};
use crate::error_chain::{BoxError, error_chain};
use crate::init_message::InitMessage;
use crate::isolation_check::{ContainerSnapshot, IsolationError};
use crate::launcher::Launcher;
use crate::outcome::{RunObservation, Stop, decide};
use crate::profile::SandboxProfile;
use crate::reaper::{Container, Reaper};
use crate::run::Ran;
use crate::runtime::Runtime;
use crate::users::{DEFAULT_FIRST_USER, Users};
use crate::{isolation_check, launcher, run, seccomp, spec_check};

/// What the operator can do about most of what is missing.
pub(crate) const SETUP_HINT: &str = "run infrastructure/setup/setup.sh";

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A call to Docker failed.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// Docker does not have the image.
    #[error("Docker has no image {image}")]
    NoImage {
        /// The image.
        image: String,
        /// Docker's error.
        source: DaemonError,
    },
    /// Docker does not have the image of an environment.
    #[error("Docker has no image of the environment {name}")]
    NoEnvironment {
        /// The environment.
        name: String,
        /// Docker's error.
        source: DaemonError,
    },
    /// Docker does not have the runtime.
    #[error("Docker has no runtime {runtime}, and the engine uses no other")]
    NoRuntime {
        /// The runtime.
        runtime: &'static str,
    },
    /// Other engines hold every user of the range.
    #[error("other servers hold every user for containers from {first} on")]
    NoUsers {
        /// The first user of the range.
        first: u32,
    },
    /// The runtime's version could not be read.
    #[error("cannot read the version of runtime {runtime}")]
    NoVersion {
        /// The runtime.
        runtime: &'static str,
        /// Why.
        source: BoxError,
    },
    /// A container is not isolated as its specification requires.
    #[error("the isolation of a container under runtime {runtime} was not verified")]
    NotVerified {
        /// The runtime.
        runtime: &'static str,
        /// What was found.
        source: IsolationError,
    },
}

impl Hint for EngineError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Daemon(error) => error.hint(),
            Self::NoImage { .. } => {
                Some("run infrastructure/setup/setup.sh, or name another image with --image")
            }
            Self::NoEnvironment { .. } => {
                Some("build it again with `env build NAME`, or remove it with `env remove NAME`")
            }
            Self::NoUsers { .. } => Some("set another range of users with --first-user"),
            Self::NoRuntime { .. } | Self::NoVersion { .. } => Some(SETUP_HINT),
            Self::NotVerified { source, .. } => source.hint(),
        }
    }
}

/// Runs each program in a container of its own.
pub struct DockerEngine {
    pub(crate) launcher: Launcher,
    sandbox: SandboxInfo,
}

impl DockerEngine {
    // ANCHOR: start
    /// An engine on `runtime`. Removes the containers of dead instances, runs a program, and verifies
    /// the isolation of its container from outside: fails closed.
    ///
    /// # Errors
    ///
    /// When Docker, the runtime or the image is missing, or the isolation was not verified.
    pub async fn start(args: &DockerArgs, runtime: Runtime) -> Result<Self, EngineError> {
        Self::open(args, runtime, true).await
    }

    /// The same; `doctor` removes no container of a dead instance.
    pub(crate) async fn open(
        args: &DockerArgs,
        runtime: Runtime,
        removes_orphans: bool,
    ) -> Result<Self, EngineError> {
        let daemon = Daemon::connect(&args.docker_host).await?;
        let info = daemon.info().await?;
        if !info.runtimes.as_ref().is_some_and(|runtimes| runtimes.contains_key(runtime.name)) {
            return Err(EngineError::NoRuntime { runtime: runtime.name });
        }
        let version = (runtime.version)(info).await;
        let version =
            version.map_err(|source| EngineError::NoVersion { runtime: runtime.name, source })?;
        let name = args.image().await;
        let image = match daemon.image(&name).await {
            // By its content, so that moving the name to another image changes nothing here.
            Ok(image) => image.id.unwrap_or_default(),
            Err(source) => return Err(EngineError::NoImage { image: name, source }),
        };
        let environments = launcher::profiles(&daemon, args).await?;
        let sandbox = SandboxInfo {
            engine: runtime.engine.to_owned(),
            runtime: Some(runtime.name.to_owned()),
            runtime_version: Some(version),
            image_digest: Some(image.clone()),
        };
        let reaper = Reaper::start(daemon.clone()).await?;
        if removes_orphans {
            let orphans = reaper.remove_orphans().await?;
            tracing::info!(orphans, "removing the containers of dead instances");
        }
        let users = if runtime.root_init {
            None
        } else {
            let users = Users::claim(args.first_user, &reaper.users_in_use().await?);
            Some(users.ok_or(EngineError::NoUsers { first: args.first_user })?)
        };
        let profile = SandboxProfile::python(image);
        let profile = if args.keeps_output_files { profile.with_output_files() } else { profile };
        let seccomp = seccomp::profile().to_string();
        let layout = None;
        let launcher =
            Launcher { daemon, runtime, reaper, users, layout, profile, environments, seccomp };
        let mut engine = Self { launcher, sandbox };
        match engine.inspect_isolation().await {
            Ok((found, layout)) => {
                engine.launcher.layout = Some(layout);
                tracing::info!(found, "isolation verified");
                Ok(engine)
            }
            Err(source) => {
                engine.close().await; // a start that fails leaves nothing
                Err(EngineError::NotVerified { runtime: runtime.name, source })
            }
        }
    }
    // ANCHOR_END: start

    /// The specification of a container for a program with these limits.
    pub fn specification(&self, limits: &Limits) -> ContainerCreateBody {
        let user = self.launcher.users.as_ref().map(|_| DEFAULT_FIRST_USER);
        self.launcher.specification(&self.launcher.profile, limits, user)
    }

    /// Verifies from outside that a new container is isolated, and reports what was found.
    ///
    /// # Errors
    ///
    /// What differs from the specification, or could not be seen.
    pub async fn verify_isolation(&self) -> Result<String, IsolationError> {
        Ok(self.inspect_isolation().await?.0)
    }

    /// Runs a small program, and verifies the isolation of its container before it is removed.
    async fn inspect_isolation(&self) -> Result<(String, CgroupLayout), IsolationError> {
        let code = "print(open('/proc/version').read().strip())";
        let (observation, buffer, container) = self.run_and_keep(code, PROBE_LIMITS).await?;
        let inspected = self.launcher.daemon.inspect(&container.id).await?;
        let host = inspected.host_config.as_ref();
        let runtime = host.and_then(|host| host.runtime.clone()).unwrap_or_default();
        if runtime != self.launcher.runtime.name {
            let found = format!("Docker reports the runtime {runtime:?} for a container");
            return Err(IsolationError::Mismatch { found, hint: None });
        }
        if observation.stop != Stop::Reported(InitMessage::Exited(0)) {
            let stderr = harmless(&buffer.output(Stream::Stderr).text);
            return Err(IsolationError::ProgramFailed { stop: observation.stop, stderr });
        }
        let id = container.id.clone();
        let pid = inspected.state.as_ref().and_then(|state| state.pid).unwrap_or(0);
        let layout = CgroupLayout::detect(pid, &id).await?;
        let kernel_inside = harmless(buffer.output(Stream::Stdout).text.trim());
        let evidence = format!("Docker reports {runtime} and the whole specification");
        let snapshot = ContainerSnapshot { id, pid, evidence, kernel_inside };
        let found = (self.launcher.runtime.verify)(snapshot).await?;
        if let Some(user) = container.user() {
            isolation_check::check_user(pid, user).await?;
        }
        if let Some(found) = spec_check::difference(&container.ordered, &inspected) {
            return Err(IsolationError::mismatch(found));
        }
        self.check_cgroup(layout.cgroup(&container.id), PROBE_LIMITS).await?;
        container.remove().await;
        Ok((found, layout))
    }

    /// Checks that the limits of a container are in force, and that its counters can be read.
    async fn check_cgroup(&self, cgroup: Cgroup, limits: Limits) -> Result<(), IsolationError> {
        let limits = self.launcher.cgroup_limits(&limits);
        let check = move || {
            cgroup.check_limits(&limits)?;
            cgroup.counters()?.read().map(drop)
        };
        let checked = tokio::task::spawn_blocking(check).await;
        Ok(checked.map_err(|panicked| IsolationError::Runtime(panicked.into()))??)
    }

    /// Runs `code` and returns its container, which exists until it is dropped.
    async fn run_and_keep(
        &self,
        code: &str,
        limits: Limits,
    ) -> Result<(RunObservation, OutputBuffer, Container), IsolationError> {
        let job = Job::first(Submission::new(code, limits));
        let buffer = OutputBuffer::new(limits.output_bytes, Box::new(|_, _, _| {}));
        let never = CancellationToken::new();
        let ran = Box::pin(run::run(&self.launcher, &job, &buffer, never)).await?;
        let Ran { observation, container, .. } = ran.ok_or(IsolationError::Cancelled)?;
        Ok((observation, buffer, container))
    }

    /// The version of the cgroup hierarchy that the containers are in: 1 or 2.
    pub(crate) fn cgroup_version(&self) -> Option<u8> {
        self.launcher.layout.as_ref().map(CgroupLayout::version)
    }

    /// The number of containers of this engine at this moment.
    ///
    /// # Errors
    ///
    /// When Docker does not answer.
    pub async fn remaining(&self) -> Result<usize, DaemonError> {
        self.launcher.reaper.remaining().await
    }
}

/// The limits of the engine's own programs.
pub const PROBE_LIMITS: Limits = Limits {
    timeout_seconds: 20.0,
    cpu_seconds: 20.0,
    memory_bytes: 128 << 20,
    pids: 32,
    output_bytes: 64 << 10,
    disk_bytes: 8 << 20,
    open_files: 64,
};

impl Engine for DockerEngine {
    fn sandbox(&self) -> SandboxInfo {
        self.sandbox.clone()
    }

    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        output: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let ran = Box::pin(run::run(&self.launcher, job, output, cancel)).await;
            let Ran { observation, container, files } = match ran {
                Ok(Some(ran)) => ran,
                Ok(None) => {
                    return Verdict::new(Outcome::Cancelled, Evidence::new("cancelled"));
                }
                Err(error) => {
                    tracing::warn!(id = %job.id, error = error_chain(&error), "no container");
                    return Verdict::engine_error(error);
                }
            };
            let verdict = decide(&observation, &job.submission.limits);
            let verdict = match files {
                Some(files) => files.add_to(verdict),
                None => verdict,
            };
            match observation.stop {
                // Nothing of the program is left: the container may be removed after the response.
                Stop::Reported(_) | Stop::SandboxDied => drop(container),
                // The program still runs, and its end is not reported before it has ended.
                _ => container.remove().await,
            }
            verdict
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.launcher.reaper.close())
    }
}
