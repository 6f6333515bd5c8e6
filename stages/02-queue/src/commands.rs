//! The commands of every stage that evaluates: `run` and `test`.

mod run;
mod test;

use clap::Subcommand;
use shared::cli::{App, BuildError, Exit, Settings, Stage, StageCommand};
use tokio_util::sync::CancellationToken;

use run::RunArgs;

/// The commands that this stage adds to the command line.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// Evaluate one program with the components of this stage
    Run(RunArgs),
    /// Run the self tests of every component
    Test,
}

impl<S: Stage> StageCommand<S> for QueueCommand {
    async fn run(self, settings: &Settings, args: &S::Args) -> Result<Exit, BuildError> {
        match self {
            Self::Run(options) => Ok(run::run::<S>(settings, args, &options).await),
            Self::Test => Ok(test::test::<S>(settings, args).await),
        }
    }
}

/// Ends what runs, and closes the engine.
async fn close_now(app: &App) {
    let now = CancellationToken::new();
    now.cancel();
    app.close(now).await;
}
