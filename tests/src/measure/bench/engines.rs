//! A stage's engine without its stage: called directly, in this process.
//!
//! Only this file knows which stage has which engine, because an engine is a type.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use shared::{Engine, Job, Limits, Outcome, OutputBuffer, Stream, Submission};
use stage_02_queue::SubprocessEngine;
use stage_04_docker::{DockerArgs, DockerEngine, RUNC};
use stage_05_gvisor::GVisorEngine;
use stage_06_advanced::{RunscEngine, RunscOptions};
use tokio_util::sync::CancellationToken;

use super::timed;

/// An engine that runs here.
pub(super) enum Direct {
    Subprocess(SubprocessEngine),
    Docker(DockerEngine),
    GVisor(GVisorEngine),
    Runsc(RunscEngine),
}

/// The first stage whose engine has warm sandboxes.
pub(super) const FIRST_WITH_WARM_SANDBOXES: u16 = 6;
/// How long a pool may take to fill.
const WARM_TIMEOUT: Duration = Duration::from_secs(30);

/// The default settings of a stage.
#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    docker: DockerArgs,
    #[command(flatten)]
    runsc: RunscOptions,
}

impl Direct {
    /// The engine of stage `number`, with its defaults, for programs within `limits`.
    pub(super) async fn start(number: u16, limits: Limits) -> Result<Self> {
        let Defaults { docker, runsc } = Defaults::try_parse_from(["bench"])?;
        Ok(match number {
            2 | 3 => Self::Subprocess(SubprocessEngine::new().await?),
            4 => Self::Docker(DockerEngine::start(&docker, RUNC).await?),
            5 => Self::GVisor(GVisorEngine::start(&docker).await?),
            FIRST_WITH_WARM_SANDBOXES.. => Self::Runsc(RunscEngine::start(&runsc, limits).await?),
            _ => bail!("no engine to compare stage {number} with; give 2 or a later one"),
        })
    }

    /// Waits until its pool of warm sandboxes is full, if it has one.
    pub(super) async fn warm(&self) -> Result<()> {
        match self {
            Self::Runsc(engine) if !engine.is_warm(WARM_TIMEOUT).await => {
                bail!("the engine, called directly, does not fill its pool: {:?}", engine.pool())
            }
            _ => Ok(()),
        }
    }

    fn engine(&self) -> &dyn Engine {
        match self {
            Self::Subprocess(engine) => engine,
            Self::Docker(engine) => engine,
            Self::GVisor(engine) => engine,
            Self::Runsc(engine) => engine,
        }
    }

    /// Runs `code` and returns how long that took.
    pub(super) async fn run(&self, code: &str, limits: Limits) -> Result<Duration> {
        let job = Job::first(Submission::new(code, limits));
        let buffer = OutputBuffer::new(limits.output_bytes, Box::new(|_, _, _| {}));
        let run = self.engine().evaluate(&job, &buffer, CancellationToken::new());
        let (verdict, took) = timed(run).await;
        let printed = buffer.output(Stream::Stdout).text;
        if (verdict.outcome, printed.as_str()) != (Outcome::Exited, "1\n") {
            bail!("the engine, called directly, ended as {verdict:?}, and printed {printed:?}");
        }
        Ok(took)
    }

    pub(super) async fn close(self) {
        self.engine().close().await;
    }
}
