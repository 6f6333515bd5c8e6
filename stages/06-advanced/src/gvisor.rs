//! An engine that drives gVisor's `runsc` itself, with sandboxes that are started beforehand.
//!
//! By way of Docker, a program in gVisor waits 400 ms for its sandbox, and Docker's share of the
//! processor bounds how many there can be. Here no daemon is in the way, and the sandbox is there
//! before the program comes:
//!
//! 1. `spec`: what a sandbox is, with `root` (its files) and `groups` (its limits and counters);
//! 2. `supervisor/main.rs`: its first process, which brings the program in and tells its end;
//! 3. `sandbox`: how one is started, and `home`: how everything is taken away, whatever happens;
//! 4. `pool`: how some are kept waiting;
//! 5. `run`: one evaluation in one of them, with `output` for what it writes;
//! 6. `proof` and `suite`: how all that is seen to hold.
//!
//! The rule it keeps: one evaluation, one sandbox. That it was started beforehand changes nothing of
//! what a program finds: the interpreter is a process of its own with its own hash seed, and nobody
//! was there before.
//!
//! What it does not protect: as in stage 5. And a stage that drives runsc is root itself.

mod cgroup;
mod instance_dir;
mod isolation_check;
mod oci_spec;
mod options;
mod output;
mod pool;
mod rootfs;
mod run;
mod sandbox;
mod self_test;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::cli::Diagnosis;
use shared::component::CheckResult;
use shared::{
    BoxFuture, Engine, Evidence, Job, Limits, Outcome, OutputBuffer, SandboxInfo, Verdict,
};
use stage_04_docker::{RunObservation, Stop, decide};
use tokio_util::sync::CancellationToken;

use instance_dir::Home;
pub use options::{ROOTFS_PIN, RunscError, RunscOptions, RunscPlatform};
use pool::Pool;
pub use pool::PoolStatus;
use sandbox::{Factory, Sandbox};

/// How long `runsc` has for a question about itself.
const QUESTION: Duration = Duration::from_secs(10);
/// How long a platform may take to run its first program. `kvm` was seen to hang for ever.
const PROBE: Duration = Duration::from_secs(20);

/// Runs each program in a sandbox of gVisor's that was started beforehand.
pub struct RunscEngine {
    pool: Arc<Pool>,
    home: Arc<Home>,
    runsc: PathBuf,
    limits: Limits,
    sandbox: SandboxInfo,
}

impl RunscEngine {
    // ANCHOR: start
    /// An engine whose waiting sandboxes are made for programs within `limits`. Takes away what a
    /// killed one has left behind, and looks at a running program from outside: fails closed.
    ///
    /// # Errors
    ///
    /// When we are not root, when runsc or the image's files are missing, or when no platform gives a
    /// sandbox with the walls it should have.
    pub async fn start(options: &RunscOptions, limits: Limits) -> Result<Self, RunscError> {
        if !rustix::process::geteuid().is_root() {
            return Err(RunscError::NotRoot);
        }
        let runsc = options.runsc()?;
        let version = version(&runsc).await?;
        let image = options.rootfs()?;
        let digest = rootfs::check(&image)?;
        let home = Home::make(&image)?;
        let platform = match proven(&home, &runsc, options, &limits).await {
            Ok(platform) => platform,
            Err(reason) => {
                home.close().await;
                return Err(RunscError::NotProven { reason });
            }
        };
        let factory = Factory { runsc: runsc.clone(), platform, home: Arc::clone(&home) };
        let size = usize::from(options.warm_sandboxes);
        let pool = Pool::start(factory, limits, size, options.starts(), options.idle());
        let sandbox = SandboxInfo {
            engine: "gvisor".to_owned(),
            runtime: Some("runsc".to_owned()),
            runtime_version: Some(version),
            image_digest: Some(digest),
        };
        Ok(Self { pool, home, runsc, limits, sandbox })
    }
    // ANCHOR_END: start

    /// What the pool of waiting sandboxes is doing.
    pub fn pool(&self) -> PoolStatus {
        self.pool.status()
    }

    /// The platform that was found to work.
    pub fn platform(&self) -> RunscPlatform {
        self.pool.factory.platform
    }

    /// Sandboxes that this engine has on the machine: waiting, in use, or about to go.
    pub fn remaining(&self) -> usize {
        self.home.remaining()
    }

    /// The folder with everything that this engine has on the machine, beside the image's files.
    pub fn folder(&self) -> &Path {
        &self.home.folder
    }

    /// Waits until as many sandboxes wait for work as should, or for `at_most`. True when they do.
    pub async fn is_warm(&self, at_most: Duration) -> bool {
        let started = Instant::now();
        loop {
            let status = self.pool();
            if status.ready >= status.target {
                return true;
            }
            if started.elapsed() >= at_most {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Looks at the walls round a program from outside, in a sandbox made as those of the pool are.
    ///
    /// # Errors
    ///
    /// What is not as it should be.
    pub async fn verify_isolation(&self) -> CheckResult {
        // One of its own: a look at the walls is no reason to keep the pool full.
        let sandbox = self.pool.factory.start(&self.limits).await?;
        isolation_check::prove(sandbox, &self.runsc).await
    }

    // ANCHOR: evaluate
    /// Gives the job to a sandbox. One that dies before the program has begun is no answer, and the
    /// next one gets it, once.
    async fn evaluate_in_one(
        &self,
        job: &Job,
        buffer: &OutputBuffer,
        cancel: CancellationToken,
    ) -> Verdict {
        let started = Instant::now();
        let limits = &job.submission.limits;
        let mut tries = 0..2;
        loop {
            let last = tries.next() == Some(1);
            let taken = tokio::select! {
                taken = self.pool.take(limits) => taken,
                () = cancel.cancelled() => {
                    return Verdict::new(Outcome::Cancelled, Evidence::new("cancelled"));
                }
            };
            let (mut sandbox, was_waiting) = match taken {
                Ok(taken) => taken,
                Err(error) => return Verdict::engine_error(error),
            };
            let waited = started.elapsed();
            let facts = run::run(&mut sandbox, job, buffer, &cancel).await;
            if facts.stop == Stop::SandboxDied && facts.wall.is_none() && !last {
                tracing::warn!("a sandbox died before its program began: taking another");
                continue;
            }
            let mut verdict = decide(&facts, limits);
            let waited = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX);
            let evidence = std::mem::take(&mut verdict.evidence);
            verdict.evidence =
                evidence.with("sandbox.warm", was_waiting).with("sandbox.wait_ms", waited);
            part(sandbox, &facts).await;
            return verdict;
        }
    }
    // ANCHOR_END: evaluate
}

/// Takes a sandbox away: behind the answer's back when its program has ended, and before the answer
/// when it still runs, so that nobody is told of an end that has not come.
async fn part(sandbox: Sandbox, facts: &RunObservation) {
    match facts.stop {
        Stop::Reported(_) | Stop::SandboxDied => sandbox.leave().await,
        _ => sandbox.end().await,
    }
}

impl Engine for RunscEngine {
    fn sandbox(&self) -> SandboxInfo {
        self.sandbox.clone()
    }

    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        buffer: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict> {
        Box::pin(self.evaluate_in_one(job, buffer, cancel))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.pool.close().await;
            self.home.close().await;
        })
    }
}

// ANCHOR: proven
/// The first platform on which a program runs behind the walls that it should have.
async fn proven(
    home: &Arc<Home>,
    runsc: &Path,
    options: &RunscOptions,
    limits: &Limits,
) -> Result<RunscPlatform, String> {
    let usual = vec![RunscPlatform::Systrap, RunscPlatform::Ptrace];
    let platforms = options.runsc_platform.map_or(usual, |asked| vec![asked]);
    let mut reasons = Vec::new();
    for platform in platforms {
        let factory = Factory { runsc: runsc.to_owned(), platform, home: Arc::clone(home) };
        let tried = async { isolation_check::prove(factory.start(limits).await?, runsc).await };
        let seen = tokio::time::timeout(PROBE, tried).await;
        let seen = seen.unwrap_or_else(|_| Err(format!("no answer in {} s", PROBE.as_secs())));
        match seen {
            Ok(seen) => {
                tracing::info!(platform = platform.as_str(), seen, "proven");
                return Ok(platform);
            }
            Err(reason) => reasons.push(format!("{}: {reason}", platform.as_str())),
        }
    }
    Err(reasons.join("; "))
}
// ANCHOR_END: proven

/// The first line of what runsc says about its version.
async fn version(runsc: &Path) -> Result<String, RunscError> {
    let no_runsc = |reason: String| RunscError::NoRunsc { reason };
    let asked = tokio::process::Command::new(runsc)
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let answer = tokio::time::timeout(QUESTION, asked).await;
    let answer = answer.map_err(|_| no_runsc("no answer within 10 s".to_owned()))?;
    let answer = answer.map_err(|error| no_runsc(format!("{}: {error}", runsc.display())))?;
    let said = String::from_utf8_lossy(&answer.stdout);
    let version = said.lines().next().and_then(|line| line.strip_prefix("runsc version "));
    version
        .map(str::to_owned)
        .ok_or_else(|| no_runsc(format!("{} is no runsc: it says {said:?}", runsc.display())))
}

/// Says what the engine lacks on this machine, and starts one, which runs a program.
pub async fn diagnose_runsc(options: &RunscOptions) -> Vec<Diagnosis> {
    const SET_UP: &str = "run infrastructure/setup/setup.sh";
    let mut findings = Vec::new();
    match options.runsc() {
        Ok(path) => findings.push(Diagnosis::good("runsc", path.display().to_string())),
        Err(error) => findings.push(Diagnosis::missing("runsc", error.to_string(), SET_UP)),
    }
    match options.rootfs().and_then(|image| rootfs::check(&image)) {
        Ok(digest) => findings.push(Diagnosis::good("rootfs", digest)),
        Err(error) => findings.push(Diagnosis::missing("rootfs", error.to_string(), SET_UP)),
    }
    let cold = RunscOptions { warm_sandboxes: 0, ..options.clone() };
    findings.push(match RunscEngine::start(&cold, stage_04_docker::PROBE_LIMITS).await {
        Ok(engine) => {
            let platform = engine.platform().as_str();
            engine.close().await;
            let seen = format!("a program ran and its walls were seen, platform {platform}");
            Diagnosis::good("sandbox", seen)
        }
        Err(error) => Diagnosis::missing("sandbox", error.to_string(), SET_UP),
    });
    findings
}
