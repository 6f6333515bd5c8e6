//! An engine that drives gVisor's `runsc` itself, with sandboxes that are started ahead.
//!
//! Through Docker, a program in gVisor waits 400 ms for its sandbox, and Docker's use of the
//! processor bounds how many there can be. Here no daemon is involved, and the sandbox exists
//! before the program arrives. One sandbox, as a process tree:
//!
//! ```text
//! stage-06-advanced (root)               one task for each sandbox owns all below it (`process`)
//! └─ runsc run                           ends when the sandbox ends; reaped by that task
//!    ├─ runsc-gofer    (root, filtered)  opens the image's files for the sandbox; ended by runsc
//!    └─ runsc-sandbox  (nobody)          gVisor's kernel, the sentry; all below is inside it
//!       └─ PID 1 supervisor (root inside)   starts, feeds and reports the program; ends the
//!          │                                sandbox when the host is gone or the lifetime is over
//!          └─ PID 2 interpreter (its user)  waits for a program, and becomes it
//!             └─ the program's children
//! ```
//!
//! Every process on the host is in the sandbox's cgroup, and SIGKILL to all of them is how the
//! owning task ends a sandbox. Who ends what otherwise: the server's death closes the supervisor's
//! socket, the supervisor's exit ends the sentry, the sentry's exit ends runsc.
//!
//! 1. `profile`: the language that a sandbox is prepared for;
//! 2. `oci_spec`: the sandbox's specification, with `rootfs` (its files), `manifest` (how a change in
//!    them is noticed) and `instance_dir` (where
//!    all of it is on the host, with `leftovers` of killed servers);
//! 3. `supervisor/main.rs`: its first process, and `protocol`, which the host's `connection` speaks
//!    with it;
//! 4. `sandbox`: how one is started, and `process`: how one is removed, whatever happens;
//! 5. `pool`: how some wait for programs;
//! 6. `run`: one evaluation in one of them, with `output` for what it writes and `artifacts` for the
//!    files it leaves;
//! 7. `kept`: sandboxes that stay, which share all of it but the specification and the root;
//! 8. `isolation_check`, `self_test` and `doctor`: how all that is verified.
//!
//! Guarantee: one evaluation, one sandbox. That it was started ahead changes nothing of what a
//! program finds: the interpreter is a process of its own with its own hash seed, and no program
//! was there before.
//!
//! What it does not protect: as in stage 5. And a stage that drives runsc is root itself.

mod artifacts;
mod connection;
mod doctor;
mod environments;
mod error;
mod instance_dir;
mod isolation_check;
mod kept;
mod leftovers;
mod live_check;
mod manifest;
mod memory;
mod oci_spec;
mod options;
mod output;
mod pool;
mod process;
mod profile;
mod root_mount;
mod rootfs;
mod run;
mod sandbox;
mod self_test;
mod status;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::component::{SelfTestError, SelfTestResult};
use shared::{
    BoxFuture, Engine, Evidence, Job, Limits, Outcome, OutputBuffer, SandboxInfo, Verdict,
};
use stage_04_docker::{RunObservation, Stop, Users, decide, error_chain};
use stage_05_gvisor::{runsc_version, sandbox_arguments};
use tokio_util::sync::CancellationToken;

pub use doctor::diagnose_runsc;
use environments::{EnvironmentError, Environments};
use instance_dir::InstanceDir;
pub use manifest::write_manifest;
pub use options::{ROOTFS_PIN, RootfsError, RunscError, RunscOptions, RunscPlatform};
use pool::Pool;
pub use pool::PoolStatus;
use sandbox::{Sandbox, SandboxFactory};
use status::count_warm;

use crate::sandboxes::Registry;

/// How long a platform may take to run its first program. `kvm` was seen to hang without limit.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs each program in a sandbox of gVisor that was started ahead.
pub struct RunscEngine {
    pool: Arc<Pool>,
    environments: Arc<Environments>,
    dir: Arc<InstanceDir>,
    limits: Limits,
    sandbox: SandboxInfo,
    /// Sandboxes that stay, where a stage serves them.
    kept: Option<Arc<Registry>>,
}

impl RunscEngine {
    // ANCHOR: start
    /// An engine whose waiting sandboxes are created for programs within `limits`. Removes what a
    /// killed one has left behind, and verifies the isolation of a running program from outside:
    /// fails closed.
    ///
    /// # Errors
    ///
    /// When this is not root, when runsc or the image's files are missing, or when no platform runs
    /// a sandbox with the isolation that it should have.
    pub async fn start(options: &RunscOptions, limits: Limits) -> Result<Self, RunscError> {
        if !rustix::process::geteuid().is_root() {
            return Err(RunscError::NotRoot);
        }
        let found = options.clone();
        let runsc = blocking(move || found.runsc()).await?;
        let not_runsc = |source| RunscError::NotRunsc { path: runsc.clone(), source };
        let version = runsc_version(&runsc).await.map_err(not_runsc)?;
        let arguments = sandbox_arguments(&runsc).await.map_err(not_runsc)?;
        let profile = Arc::new(options.python_profile().await?);
        let checked = Arc::clone(&profile);
        let digest = blocking(move || rootfs::check(&checked)).await?;
        let first = options.first_user;
        let users = Users::claim(first, &BTreeSet::new()).ok_or(RunscError::NoUsers { first })?;
        let dir = InstanceDir::create(&profile, users).await?;
        let factory = |platform| SandboxFactory {
            runsc: runsc.clone(),
            arguments: arguments.clone(),
            platform,
            profile: Arc::clone(&profile),
            dir: Arc::clone(&dir),
        };
        let platform = match verified_platform(factory, options, &limits).await {
            Ok(platform) => platform,
            Err(reason) => {
                dir.close().await;
                return Err(RunscError::NotVerified { reason });
            }
        };
        let (starts, idle_timeout) = (options.concurrent_starts(), options.idle_timeout());
        let pool = Pool::start(factory(platform), limits, starts, idle_timeout);
        let environments = Arc::new(Environments::new(
            &options.environments,
            pool.factory.clone(),
            limits,
            idle_timeout,
            options.warm_environments.into(),
        ));
        let sandbox = SandboxInfo {
            engine: "gvisor".to_owned(),
            runtime: Some("runsc".to_owned()),
            runtime_version: Some(version),
            image_digest: Some(digest),
        };
        let kept = kept::start(options, pool.factory.clone(), &sandbox);
        count_warm(options, &pool, &environments, kept.as_ref());
        Ok(Self { pool, environments, dir, limits, sandbox, kept })
    }
    // ANCHOR_END: start

    /// Verifies the image's files, and the isolation of a program from outside, in a sandbox created
    /// as those of the pool are.
    ///
    /// # Errors
    ///
    /// What is not as it should be.
    pub async fn verify_isolation(&self) -> SelfTestResult {
        // Not one of the pool's: a check is no reason to keep the pool full.
        let profile = Arc::clone(&self.pool.factory.profile);
        if let Err(error) = blocking(move || rootfs::check(&profile)).await {
            let details = error_chain(&error);
            tracing::warn!(details, "the sandbox image's files have changed");
            return Err(SelfTestError::Broken("the sandbox image's files have changed".to_owned()));
        }
        let verified = isolation_check::verify(&self.pool.factory, &self.limits).await;
        verified.map_err(|error| {
            let details = error_chain(&error);
            tracing::warn!(details, "the isolation could not be verified");
            SelfTestError::from(error)
        })
    }

    /// The pool of an environment.
    async fn pool_of(&self, name: &str) -> Result<Arc<Pool>, EnvironmentError> {
        if self.pool.factory.profile.language.name == name {
            return Ok(Arc::clone(&self.pool));
        }
        self.environments.pool(name).await
    }

    // ANCHOR: evaluate
    /// Runs the job in a sandbox. One that dies before the program has started is no result: the
    /// job then gets a new one, once. Not another waiting one, which may have died of the same
    /// cause.
    async fn run_in_sandbox(
        &self,
        job: &Job,
        buffer: &OutputBuffer,
        cancel: CancellationToken,
    ) -> Verdict {
        let submitted = Instant::now();
        let limits = &job.submission.limits;
        let name = &job.submission.profile;
        // Checking the files of an environment takes seconds at its first use.
        let pool = match cancel.run_until_cancelled(self.pool_of(name)).await {
            Some(Ok(pool)) => pool,
            Some(Err(error)) => return Verdict::engine_error(error),
            None => return Verdict::new(Outcome::Cancelled, Evidence::new("cancelled")),
        };
        let mut is_first = true;
        loop {
            let take = async {
                if is_first {
                    return pool.take(limits).await;
                }
                Ok((pool.factory.start(limits).await?, false))
            };
            let taken = tokio::select! {
                taken = take => taken,
                () = cancel.cancelled() => {
                    return Verdict::new(Outcome::Cancelled, Evidence::new("cancelled"));
                }
            };
            let (mut sandbox, was_waiting) = match taken {
                Ok(taken) => taken,
                Err(error) => {
                    tracing::error!(id = %job.id, error = error_chain(&error), "no sandbox");
                    return Verdict::engine_error(error);
                }
            };
            let waited = submitted.elapsed();
            tracing::debug!(id = %job.id, sandbox = sandbox.process.paths.id, "sandbox taken");
            let observation = run::run(&mut sandbox, job, buffer, &cancel).await;
            let has_started = observation.wall.is_some();
            if observation.stop == Stop::SandboxDied && !has_started && is_first {
                tracing::warn!(id = %job.id, "a sandbox died before its program started");
                is_first = false;
                continue;
            }
            let mut verdict = decide(&observation, limits);
            let wait_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            let evidence = std::mem::take(&mut verdict.evidence);
            verdict.evidence =
                evidence.with("sandbox.warm", was_waiting).with("sandbox.wait_ms", wait_ms);
            if pool.factory.profile.keeps_output_files && has_started {
                let (connection, stop) = (&mut sandbox.connection, &observation.stop);
                verdict = artifacts::collect(connection, stop, verdict, &cancel).await;
            }
            dispose(sandbox, &observation).await;
            return verdict;
        }
    }
    // ANCHOR_END: evaluate
}

/// Removes a sandbox: after the response if its program has ended, and before the response if the
/// program still runs, so that no end is reported before it has happened.
async fn dispose(sandbox: Sandbox, observation: &RunObservation) {
    match observation.stop {
        Stop::Reported(_) | Stop::SandboxDied => sandbox.remove_in_background().await,
        _ => sandbox.remove().await,
    }
}

impl Engine for RunscEngine {
    fn sandbox(&self) -> SandboxInfo {
        self.sandbox.clone()
    }

    fn sandbox_for(&self, job: &Job) -> SandboxInfo {
        let digest = self.environments.digest(&job.submission.profile);
        SandboxInfo {
            image_digest: digest.or_else(|| self.sandbox.image_digest.clone()),
            ..self.sandbox.clone()
        }
    }

    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        buffer: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict> {
        Box::pin(self.run_in_sandbox(job, buffer, cancel))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if let Some(kept) = &self.kept {
                kept.close().await;
            }
            self.pool.close().await;
            self.environments.close().await;
            self.dir.close().await;
        })
    }
}

/// Runs what blocks on a thread for that.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RunscError> + Send + 'static,
) -> Result<T, RunscError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|source| RunscError::Panicked { source })?
}

// ANCHOR: verified
/// The first platform on which a program runs with the isolation that it should have.
async fn verified_platform(
    factory: impl Fn(RunscPlatform) -> SandboxFactory,
    options: &RunscOptions,
    limits: &Limits,
) -> Result<RunscPlatform, String> {
    let default = vec![RunscPlatform::Ptrace, RunscPlatform::Systrap];
    let platforms = options.runsc_platform.map_or(default, |platform| vec![platform]);
    let mut reasons = Vec::new();
    for platform in platforms {
        let factory = factory(platform);
        let verified = isolation_check::verify(&factory, limits);
        let reason = match tokio::time::timeout(VERIFY_TIMEOUT, verified).await {
            Ok(Ok(seen)) => {
                tracing::info!(platform = platform.as_str(), seen, "isolation verified");
                return Ok(platform);
            }
            Ok(Err(error)) => error_chain(&error),
            Err(_) => format!("no result within {} s", VERIFY_TIMEOUT.as_secs()),
        };
        reasons.push(format!("{}: {reason}", platform.as_str()));
    }
    Err(reasons.join("; "))
}
// ANCHOR_END: verified
