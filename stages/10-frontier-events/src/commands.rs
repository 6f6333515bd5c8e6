//! The commands of this stage.

use clap::Subcommand;
use shared::cli::{BuildError, Exit, Settings, Stage, StageCommand};
use stage_09_frontier::FrontierCommand;

use crate::args::EventsArgs;
use crate::broker::DeadCommand;

/// The commands that this stage has beside those of every stage.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Those of the stages below.
    #[command(flatten)]
    Frontier(FrontierCommand),
    /// List the dead letters of the broker, publish them again, or remove them
    #[command(subcommand)]
    Dead(DeadCommand),
}

impl<S: Stage<Args = EventsArgs>> StageCommand<S> for EventsCommand {
    async fn run(self, settings: &Settings, args: &EventsArgs) -> Result<Exit, BuildError> {
        match self {
            Self::Frontier(command) => StageCommand::<S>::run(command, settings, args).await,
            Self::Dead(command) => command.run(&args.broker).await,
        }
    }
}
