//! An engine that runs each program in a container of its own.
//!
//! The rule it keeps: one evaluation, one container, nothing carried from one to the next. Before the
//! first program, the walls of a real container are looked at from outside; an engine whose walls do
//! not stand does not start.
//!
//! What it does not protect against: the kernel is shared. A fault in one of its allowed calls is a
//! way out, and there the next stage begins.

use std::sync::Arc;

use bollard::models::{ContainerCreateBody, SystemInfo};
use shared::{
    BoxFuture, Engine, Evidence, Job, Limits, Outcome, OutputBuffer, SandboxInfo, Stream,
};
use shared::{Submission, Verdict};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::args::DockerArgs;
use crate::counters::CgroupLayout;
use crate::daemon::{Daemon, DaemonError};
use crate::outcome::{RunObservation, Stop, decide};
use crate::proof::{ContainerSnapshot, IsolationCheck};
use crate::reaper::{Container, Reaper};
use crate::report::InitMessage;
use crate::{proof, run, seccomp, spec};

/// What runs the containers, and what is different about it.
#[derive(Debug, Clone, Copy)]
pub struct Runtime {
    /// The engine's name in every answer.
    pub engine: &'static str,
    /// The name that Docker knows it by.
    pub name: &'static str,
    /// Its own version.
    pub version: fn(SystemInfo) -> BoxFuture<'static, Result<String, String>>,
    /// How many processes and threads of the host a program may have that may have so many itself.
    pub pids: fn(u64) -> u64,
    /// Whether those processes are the program's, one for one.
    pub counts_guest_pids: bool,
    /// Whether a program can kill the container's init.
    pub init_killable: bool,
    /// How it is proven to be in force.
    pub prove: IsolationCheck,
}

/// Docker's usual runtime: processes of the host's own kernel, behind walls.
pub const RUNC: Runtime = Runtime {
    engine: "docker",
    name: "runc",
    version: |info| {
        let version = info.runc_commit.and_then(|commit| commit.id).unwrap_or_default();
        Box::pin(async { Ok(version) })
    },
    pids: |pids| pids + 1, // init
    counts_guest_pids: true,
    init_killable: false,
    prove: proof::prove_runc,
};

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Docker did not do what was asked.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// There is no such image.
    #[error(
        "Docker has no image {image}: {source}\n  hint: run infrastructure/setup/setup.sh, or name \
         another with --image"
    )]
    NoImage {
        /// What was asked for.
        image: String,
        /// What Docker said.
        source: DaemonError,
    },
    /// Docker does not know the runtime.
    #[error(
        "Docker has no runtime {runtime}, and no other will do\n  hint: run \
         infrastructure/setup/setup.sh"
    )]
    NoRuntime {
        /// The runtime.
        runtime: &'static str,
    },
    /// A container does not have the walls it should have.
    #[error("the sandbox of runtime {runtime} is not what it should be: {reason}")]
    NotProven {
        /// The runtime.
        runtime: &'static str,
        /// What was seen.
        reason: String,
    },
}

/// Runs each program in a container of its own.
pub struct DockerEngine {
    pub(crate) daemon: Daemon,
    pub(crate) runtime: Runtime,
    pub(crate) reaper: Arc<Reaper>,
    /// Where the counters lie; none until the first container has shown it.
    pub(crate) layout: Option<CgroupLayout>,
    sandbox: SandboxInfo,
    image: String,
    seccomp: String,
}

impl DockerEngine {
    // ANCHOR: start
    /// An engine on `runtime`. Takes away what a killed one has left behind, runs a program, and
    /// looks at its container from outside: fails closed.
    ///
    /// # Errors
    ///
    /// When Docker, the runtime or the image is missing, or the walls do not stand.
    pub async fn start(args: &DockerArgs, runtime: Runtime) -> Result<Self, EngineError> {
        let daemon = Daemon::connect(&args.docker_host).await?;
        let info = daemon.info().await?;
        if !info.runtimes.as_ref().is_some_and(|known| known.contains_key(runtime.name)) {
            return Err(EngineError::NoRuntime { runtime: runtime.name });
        }
        let not_proven = |reason| EngineError::NotProven { runtime: runtime.name, reason };
        let version = (runtime.version)(info).await.map_err(not_proven)?;
        let asked = args.image();
        let image = match daemon.image(&asked).await {
            // By its content, so that a name that is moved meanwhile moves nothing here.
            Ok(image) => image.id.unwrap_or_default(),
            Err(source) => return Err(EngineError::NoImage { image: asked, source }),
        };
        let sandbox = SandboxInfo {
            engine: runtime.engine.to_owned(),
            runtime: Some(runtime.name.to_owned()),
            runtime_version: Some(version),
            image_digest: Some(image.clone()),
        };
        let reaper = Reaper::new(daemon.clone());
        let left_over = reaper.reap_leftovers().await?;
        tracing::info!(left_over, "took away what a killed stage left behind");
        let seccomp = seccomp::profile().to_string();
        let mut engine = Self { daemon, runtime, reaper, layout: None, sandbox, image, seccomp };
        let (seen, layout) = engine.examine().await.map_err(not_proven)?;
        engine.layout = Some(layout);
        tracing::info!(seen, "proven");
        Ok(engine)
    }
    // ANCHOR_END: start

    /// The specification of a container for a program with these limits.
    pub fn specification(&self, limits: &Limits) -> ContainerCreateBody {
        let parts = spec::SpecInputs {
            image: &self.image,
            runtime: self.runtime.name,
            seccomp: &self.seccomp,
            pids: (self.runtime.pids)(limits.pids),
            labels: self.reaper.labels(),
            hostname: Uuid::new_v4().simple().to_string()[..12].to_owned(),
        };
        spec::specification(parts, limits)
    }

    /// Runs a small program, and has its container proven while it still stands.
    pub(crate) async fn examine(&self) -> Result<(String, CgroupLayout), String> {
        let code = "print(open('/proc/version').read().strip())";
        let (facts, buffer, container) = self.hold(code, PROBE_LIMITS).await?;
        if facts.stop != Stop::Reported(InitMessage::Exited(0)) {
            let said = buffer.output(Stream::Stderr).text;
            return Err(format!("a first program ended as {:?}: {said}", facts.stop));
        }
        let (id, said) = (&container.id, |error: DaemonError| error.to_string());
        let inspected = self.daemon.inspect(id).await.map_err(said)?;
        let pid = inspected.state.and_then(|state| state.pid).unwrap_or(0);
        let runtime = inspected.host_config.and_then(|host| host.runtime).unwrap_or_default();
        if runtime != self.runtime.name {
            return Err(format!("Docker says that a container has the runtime {runtime:?}"));
        }
        let layout = CgroupLayout::learn(pid, id)?;
        let kernel_inside = buffer.output(Stream::Stdout).text.trim().to_owned();
        let told = format!("Docker says {runtime}");
        let witness = ContainerSnapshot { id: id.clone(), pid, told, kernel_inside };
        let seen = (self.runtime.prove)(witness).await?;
        container.end().await;
        Ok((seen, layout))
    }

    /// Runs `code` and gives its container back, which stands until it is dropped.
    pub(crate) async fn hold(
        &self,
        code: &str,
        limits: Limits,
    ) -> Result<(RunObservation, OutputBuffer, Container), String> {
        let job = Job { id: Uuid::now_v7(), submission: Submission::new(code, limits) };
        let buffer = OutputBuffer::new(limits.output_bytes, Box::new(|_, _, _| {}));
        let ran = run::run(self, &job, &buffer, CancellationToken::new()).await;
        match ran.map_err(|error| error.to_string())? {
            Some((facts, container)) => Ok((facts, buffer, container)),
            None => Err("it was cancelled, but by nobody".to_owned()),
        }
    }

    /// How many containers of this engine there are at this moment.
    ///
    /// # Errors
    ///
    /// When Docker does not answer.
    pub async fn remaining(&self) -> Result<usize, DaemonError> {
        self.reaper.remaining().await
    }
}

/// For the engine's own programs.
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
        buffer: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let (facts, container) = match run::run(self, job, buffer, cancel).await {
                Ok(Some(ran)) => ran,
                Ok(None) => {
                    return Verdict::new(Outcome::Cancelled, Evidence::new("cancelled"));
                }
                Err(error) => return Verdict::engine_error(error),
            };
            let verdict = decide(&facts, &job.submission.limits);
            match facts.stop {
                // Nothing of the program is left: its container can go behind the answer's back.
                Stop::Reported(_) | Stop::SandboxDied => container.leave().await,
                // It still runs, and nobody is told that it has ended before it has.
                _ => container.end().await,
            }
            verdict
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.reaper.close())
    }
}
