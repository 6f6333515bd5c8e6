//! The commands of this stage.

use std::path::PathBuf;

use clap::Subcommand;
use shared::cli::{BuildError, Exit, Settings, Stage, StageCommand};
use stage_02_queue::QueueCommand;
use stage_06_advanced::ApiUser;

use crate::accounts::KeysCommand;
use crate::args::FrontierArgs;
use crate::audit::AuditCommand;
use crate::environments::EnvCommand;
use crate::mcp::McpArgs;
use crate::store::{Contents, DataDir, back_up, restore};

/// The commands that this stage has beside those of every stage.
#[derive(Debug, Subcommand)]
pub enum FrontierCommand {
    /// Those of the stages below.
    #[command(flatten)]
    Queue(QueueCommand),
    /// Make, list and revoke the keys of clients
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Build, list and remove environments
    #[command(subcommand)]
    Env(EnvCommand),
    /// Check the audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Serve the Model Context Protocol on standard input and output, for a stage that runs
    ///
    /// Its tools run a program, open a sandbox, execute commands in it, and read and write its files. The key is that
    /// of the variable `CRUCIBLE_API_KEY`. Sandboxes that were opened are removed when standard input ends.
    Mcp(McpArgs),
    /// Copy the data directory, of a server that runs or not, to a new directory
    Backup {
        /// Directory to create
        to: PathBuf,
    },
    /// Make the data directory of a backup; it must not exist, or be empty
    Restore {
        /// Directory that `backup` has created
        from: PathBuf,
    },
}

impl<S: Stage<Args: AsRef<FrontierArgs>>> StageCommand<S> for FrontierCommand {
    async fn run(self, settings: &Settings, args: &S::Args) -> Result<Exit, BuildError> {
        let of_stage = args;
        let args: &FrontierArgs = args.as_ref();
        match self {
            Self::Queue(command) => StageCommand::<S>::run(command, settings, of_stage).await,
            Self::Keys(command) => {
                // Before the first start of the server, this is what creates its directory.
                args.storage.create_for_server(&args.contract.api.platform.engine_host)?;
                command.run(&args.storage)
            }
            Self::Env(command) => {
                let docker = &args.contract.api.platform.engine.docker.docker_host;
                command.run(&args.environments, docker)
            }
            Self::Audit(command) => command.run(&args.storage),
            Self::Mcp(mcp) => mcp.run().await,
            Self::Backup { to } => {
                let contents = back_up(&args.storage.path(), &to)?;
                Ok(report(&contents, "in", &to))
            }
            Self::Restore { from } => {
                let directory = args.storage.path();
                let contents = restore(&from, &directory)?;
                let host = &args.contract.api.platform.engine_host;
                if !host.single_process {
                    DataDir::give_to(&directory, ApiUser::find(host.api_user.as_deref())?)?;
                }
                Ok(report(&contents, "restored to", &directory))
            }
        }
    }
}

fn report(contents: &Contents, what: &str, directory: &std::path::Path) -> Exit {
    let Contents { evaluations, events, files } = contents;
    let directory = directory.display();
    println!("{evaluations} evaluations, {events} events and {files} files {what} {directory}");
    Exit::SUCCESS
}
