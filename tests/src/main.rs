//! The command line of the ladder.
//!
//! Exit codes: 0 when everything is as promised, 1 when something is not or a command could not do
//! its work (standard error says which), 2 when the command line is wrong.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ladder::report::Ending;
use ladder::{humaneval, soak};

/// Hold the stages of Crucible against each other
#[derive(Parser)]
#[command(name = "ladder", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send HumanEval's programs through a stage: right programs must pass, broken ones must fail
    Humaneval(humaneval::Options),
    /// Send thousands of programs through a stage: memory stays flat, and nothing is left over
    Soak(soak::Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let ending = match Cli::parse().command {
        Command::Humaneval(options) => humaneval::run(options).await,
        Command::Soak(options) => soak::run(options).await,
    };
    match ending {
        Ok(Ending::Kept) => ExitCode::SUCCESS,
        Ok(Ending::Broken) => ExitCode::FAILURE,
        Err(fault) => {
            eprintln!("error: {fault:#}");
            ExitCode::FAILURE
        }
    }
}
