//! Which walls stand round a program: a person's choice, and no fallback.
//!
//! The rule it keeps: fail closed. An engine that cannot start is an error that says what to do; no
//! weaker one takes its place. The choice is in every answer, as `sandbox.engine`.

use std::sync::Arc;

use clap::ValueEnum;
use shared::cli::{BuildError, Diagnosis};
use shared::{Engine, Limits};
use stage_02_queue::SubprocessEngine;
use stage_04_docker::{DockerArgs, DockerEngine, RUNC};
use stage_05_gvisor::GVisorEngine;

use crate::gvisor::{RunscEngine, RunscOptions, diagnose_runsc};

/// The engines that there are, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineChoice {
    /// gVisor's runsc: each program on a kernel of its own
    Gvisor,
    /// The same by way of Docker
    GvisorDocker,
    /// A Docker container: walls, but the host's own kernel
    Docker,
    /// No wall at all; needs --unsafe
    Subprocess,
}

impl EngineChoice {
    /// One line on what stands between a program and the machine, and whether that is nothing.
    pub fn isolation(self) -> (&'static str, bool) {
        match self {
            Self::Gvisor => ("runs each program in a sandbox on a kernel of its own", false),
            Self::GvisorDocker => {
                ("runs each program in a container, on a kernel of its own", false)
            }
            Self::Docker => ("runs each program in a container, on this host's own kernel", false),
            Self::Subprocess => ("runs programs on this host, with all your rights", true),
        }
    }
}

/// Which engine, and what each needs.
#[derive(Debug, Clone, clap::Args)]
pub struct EngineArgs {
    /// What runs the programs
    #[arg(long, global = true, value_enum, value_name = "ENGINE", env = "CRUCIBLE_ENGINE",
          default_value_t = EngineChoice::Gvisor)]
    pub engine: EngineChoice,
    /// Allow an engine without walls. Only here: no variable and no file can say it
    // Attack: a setting left over from an experiment opens the host to strangers, and nobody notices
    // -> it has to be said at each start (`config_file::NOT_IN_A_FILE`) -> test
    // `the_host_is_opened_on_the_command_line_only`.
    #[arg(long = "unsafe", global = true)]
    pub allow_unsafe: bool,
    /// For the engines by way of Docker.
    #[command(flatten)]
    pub docker: DockerArgs,
    /// For the engine that drives runsc itself.
    #[command(flatten)]
    pub runsc: RunscOptions,
}

/// Why no engine was started.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// The engine has no walls, and nobody said that this is what they want.
    #[error(
        "the subprocess engine has no isolation: a program sees and does whatever you can\n  hint: \
         choose another engine, or say --unsafe if that is what you want"
    )]
    NoWalls,
}

impl EngineArgs {
    // ANCHOR: choice
    /// The chosen engine, proven, or an error. Sandboxes that are started beforehand are made for
    /// programs within `limits`.
    ///
    /// # Errors
    ///
    /// When it cannot start. There is no other to fall back to.
    pub async fn start(&self, limits: Limits) -> Result<Arc<dyn Engine>, BuildError> {
        Ok(match self.engine {
            EngineChoice::Gvisor => Arc::new(RunscEngine::start(&self.runsc, limits).await?),
            EngineChoice::GvisorDocker => Arc::new(GVisorEngine::start(&self.docker).await?),
            EngineChoice::Docker => Arc::new(DockerEngine::start(&self.docker, RUNC).await?),
            EngineChoice::Subprocess if self.allow_unsafe => {
                Arc::new(SubprocessEngine::new().await?)
            }
            EngineChoice::Subprocess => return Err(ChoiceError::NoWalls.into()),
        })
    }
    // ANCHOR_END: choice

    /// Says what the chosen engine lacks on this machine.
    pub async fn diagnose(&self) -> Vec<Diagnosis> {
        match self.engine {
            EngineChoice::Gvisor => diagnose_runsc(&self.runsc).await,
            EngineChoice::GvisorDocker => stage_05_gvisor::diagnose(&self.docker).await,
            EngineChoice::Docker => stage_04_docker::diagnose(&self.docker, RUNC).await,
            EngineChoice::Subprocess => stage_02_queue::diagnose().await,
        }
    }
}
