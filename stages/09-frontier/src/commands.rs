//! The commands of this stage.

use clap::Subcommand;
use shared::cli::{BuildError, Exit, Settings, Stage, StageCommand};
use stage_02_queue::QueueCommand;

use crate::accounts::KeysCommand;
use crate::args::FrontierArgs;
use crate::audit::AuditCommand;

/// The commands that this stage has beside those of every stage.
#[derive(Debug, Subcommand)]
pub enum FrontierCommand {
    /// Those of the stages below.
    #[command(flatten)]
    Queue(QueueCommand),
    /// Make, list and revoke the keys of clients
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Check the audit log
    #[command(subcommand)]
    Audit(AuditCommand),
}

impl<S: Stage<Args = FrontierArgs>> StageCommand<S> for FrontierCommand {
    async fn run(self, settings: &Settings, args: &FrontierArgs) -> Result<Exit, BuildError> {
        match self {
            Self::Queue(command) => StageCommand::<S>::run(command, settings, args).await,
            Self::Keys(command) => command.run(&args.storage),
            Self::Audit(command) => command.run(&args.storage),
        }
    }
}
