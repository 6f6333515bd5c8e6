//! The flags of this stage: those of stage 09, and one struct for each part.

use std::process::ExitCode;

use shared::cli::{BuildError, Diagnosis, Exit, Isolation, Settings, StageArgs};
use shared::http::HttpServerFn;
use stage_09_frontier::FrontierArgs;

use crate::broker::BrokerArgs;
use crate::fleet::{FleetArgs, Role};

/// The number of this stage.
const STAGE: u16 = 10;

/// The flags of the event bus.
#[derive(Debug, Clone, clap::Args)]
pub struct EventArgs {}

/// The flags of this stage and of those below.
#[derive(Debug, Clone, clap::Args)]
pub struct EventsArgs {
    /// Those of stage 09.
    #[command(flatten)]
    pub frontier: FrontierArgs,
    /// The event bus, webhooks and rules.
    #[command(flatten)]
    pub events: EventArgs,
    /// The roles.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// The broker.
    #[command(flatten)]
    pub broker: BrokerArgs,
}

impl AsRef<FrontierArgs> for EventsArgs {
    fn as_ref(&self) -> &FrontierArgs {
        &self.frontier
    }
}

impl EventsArgs {
    /// The flags of stage 09, for what depends on the number of the stage that is served.
    pub fn below(&self) -> FrontierArgs {
        FrontierArgs { stage: STAGE, ..self.frontier.clone() }
    }
}

impl StageArgs for EventsArgs {
    async fn doctor(&self) -> Vec<Diagnosis> {
        self.frontier.doctor().await
    }

    fn isolation(&self) -> Option<Isolation> {
        self.frontier.isolation()
    }

    fn http_server(&self) -> HttpServerFn {
        self.frontier.http_server()
    }

    fn scheme(&self) -> &'static str {
        self.frontier.scheme()
    }

    fn configure(command: clap::Command) -> Result<clap::Command, BuildError> {
        FrontierArgs::configure(command)
    }

    fn run_one_shot(&self, settings: &Settings) -> Option<Result<(), BuildError>> {
        self.below().run_one_shot(settings)
    }

    fn before_serve(&self, settings: &Settings) -> Result<Option<ExitCode>, BuildError> {
        if let Err(error) = self.fleet.check(settings, &self.broker.queue) {
            return Ok(Some(BuildError::from(error).print(Exit::USAGE).into()));
        }
        match self.fleet.role {
            Role::All => self.frontier.before_serve(settings),
            Role::Api => self.frontier.before_serve_without_engine(settings).map(|()| None),
            Role::Worker => {
                self.fleet.read_files()?;
                match self.frontier.before_engine(settings)? {
                    Some(exit) => Ok(Some(exit)),
                    None => crate::worker::serve(settings, self).map(|exit| Some(exit.into())),
                }
            }
        }
    }
}
