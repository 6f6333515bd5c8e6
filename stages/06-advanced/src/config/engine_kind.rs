//! The engine that the operator selects, with no fallback.
//!
//! The rule it keeps: fail closed. An engine that cannot start is an error with a hint; no weaker one
//! takes its place. The selected engine is in every answer, as `sandbox.engine`.

use std::sync::Arc;

use clap::ValueEnum;
use shared::cli::{BuildError, Diagnosis, Isolation};
use shared::profile::PYTHON;
use shared::{Engine, Hint, Limits};
use stage_02_queue::SubprocessEngine;
use stage_04_docker::{DockerArgs, DockerEngine, RUNC};
use stage_05_gvisor::GVisorEngine;

use crate::docker::{self, HasDocker};
use crate::gvisor::{RunscEngine, RunscOptions, diagnose_runsc};
use crate::{Environment, Profiles};

/// The engines, the strongest isolation first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EngineKind {
    /// gVisor's runsc: each program on a kernel of its own
    Gvisor,
    /// The same through Docker
    GvisorDocker,
    /// A Docker container: isolated, but on the host's own kernel
    Docker,
    /// No isolation at all; needs --unsafe
    Subprocess,
}

impl EngineKind {
    /// What isolates a program from the machine.
    pub fn isolation(self) -> Isolation {
        let (summary, is_unsandboxed) = match self {
            Self::Gvisor => ("runs each program in a sandbox on a kernel of its own", false),
            Self::GvisorDocker => {
                ("runs each program in a container, on a kernel of its own", false)
            }
            Self::Docker => ("runs each program in a container, on this host's own kernel", false),
            Self::Subprocess => ("runs programs on this host, with all your rights", true),
        };
        Isolation { summary, is_unsandboxed }
    }
}

/// The selected engine, and the options of each.
#[derive(Debug, Clone, clap::Args)]
pub struct EngineArgs {
    /// What runs the programs
    #[arg(long, global = true, value_enum, value_name = "ENGINE", env = "CRUCIBLE_ENGINE",
          default_value_t = EngineKind::Gvisor)]
    pub engine: EngineKind,
    /// Allow an engine without isolation. Only here: no variable and no file can set it
    // Attack: a setting that an experiment left behind opens the host, unnoticed -> the flag has to be
    // given at each start (`file::COMMAND_LINE_ONLY`) -> test
    // `the_host_is_opened_on_the_command_line_only`.
    #[arg(long = "unsafe", global = true)]
    pub allow_unsafe: bool,
    /// For the engines through Docker.
    #[command(flatten)]
    pub docker: DockerArgs,
    /// For the engine that drives runsc itself.
    #[command(flatten)]
    pub runsc: RunscOptions,
}

/// Why no engine was started.
#[derive(Debug, thiserror::Error)]
pub enum EngineKindError {
    /// The engine isolates nothing, and `--unsafe` was not given.
    #[error("the subprocess engine has no isolation: a program sees and does whatever you can")]
    Unsandboxed,
}

impl Hint for EngineKindError {
    fn hint(&self) -> Option<&'static str> {
        Some("choose another engine, or add --unsafe if that is what you want")
    }
}

impl EngineArgs {
    // ANCHOR: choice
    /// Starts the selected engine, whose isolation is verified then. Sandboxes that are started
    /// beforehand are for programs within `limits`.
    ///
    /// # Errors
    ///
    /// When it cannot start. There is no other to fall back to.
    pub async fn start(&self, limits: Limits) -> Result<Arc<dyn Engine>, BuildError> {
        Ok(match self.engine {
            EngineKind::Gvisor => Arc::new(RunscEngine::start(&self.runsc(), limits).await?),
            EngineKind::GvisorDocker => {
                self.keeping(GVisorEngine::start(&self.docker()).await?).await?
            }
            EngineKind::Docker => {
                self.keeping(DockerEngine::start(&self.docker(), RUNC).await?).await?
            }
            EngineKind::Subprocess if self.allow_unsafe => Arc::new(SubprocessEngine::new().await?),
            EngineKind::Subprocess => return Err(EngineKindError::Unsandboxed.into()),
        })
    }
    // ANCHOR_END: choice

    /// The engine, which keeps sandboxes as well where a stage serves them.
    async fn keeping<E: HasDocker>(&self, engine: E) -> Result<Arc<dyn Engine>, BuildError> {
        let (kept, environments) = (self.runsc.kept.clone(), self.runsc.environments.clone());
        let engine = Arc::new(engine);
        let keeping = move || docker::keeping(engine, &kept, &environments);
        Ok(tokio::task::spawn_blocking(keeping).await.map_err(std::io::Error::other)??)
    }

    /// The options of runsc, with the range of users that all engines share.
    fn runsc(&self) -> RunscOptions {
        RunscOptions { first_user: self.docker.first_user, ..self.runsc.clone() }
    }

    /// The options of Docker's engines, with the environments that they can use.
    fn docker(&self) -> DockerArgs {
        let environments = &self.runsc.environments;
        let environments = environments.iter().filter_map(Environment::in_docker).collect();
        DockerArgs { environments, ..self.docker.clone() }
    }

    /// What a submission may name with the selected engine.
    pub fn profiles(&self) -> Profiles {
        let is_usable = |environment: &&Environment| match self.engine {
            EngineKind::Gvisor => environment.uses.evaluations,
            EngineKind::GvisorDocker | EngineKind::Docker => environment.in_docker().is_some(),
            EngineKind::Subprocess => false,
        };
        let environments = self.runsc.environments.iter().filter(is_usable).cloned().collect();
        Profiles { default: PYTHON, environments }
    }

    /// Checks what the selected engine lacks on this machine.
    pub async fn diagnose(&self) -> Vec<Diagnosis> {
        match self.engine {
            EngineKind::Gvisor => diagnose_runsc(&self.runsc()).await,
            EngineKind::GvisorDocker => stage_05_gvisor::diagnose(&self.docker()).await,
            EngineKind::Docker => stage_04_docker::diagnose(&self.docker(), RUNC).await,
            EngineKind::Subprocess => stage_02_queue::diagnose().await,
        }
    }
}
