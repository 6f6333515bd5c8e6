//! The command line of the ladder.
//!
//! Exit codes: 0 when everything passed, 1 when something failed or a command could not run
//! (standard error shows which), 2 when the command line is wrong.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use ladder::attack::testbed::jail;
use ladder::attack::{command, matrix};
use ladder::deltas;
use ladder::exercises;
use ladder::measure::{bench, cpython, hostile, humaneval, programs, soak, storage};
use ladder::support::report::Status;

/// Compare the stages of Crucible with each other
#[derive(Parser)]
#[command(name = "ladder", version, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run hostile programs against a stage, and see which of them escape
    Attack(command::Options),
    /// Run all probes against all stages, and see what each of them contains
    Matrix(matrix::Options),
    /// Run all probes against two stages, and see where they differ
    Compare(matrix::Compare),
    /// Write what changes from each stage to the next, for the book to include
    Deltas(deltas::Options),
    /// List the exercises of the book, or check your answer to one of them
    Exercise(exercises::Options),
    /// Send HumanEval's programs through a stage: correct programs must pass, broken ones must fail
    Humaneval(humaneval::Options),
    /// Run the table of ordinary programs on a stage, and compare how each of them ends and what it
    /// prints with the right values
    Programs(programs::Options),
    /// Measure the overhead of each stage over its engine and over the bare program
    Bench(bench::Options),
    /// Run CPython's own tests in a sandbox and on the host, and compare their verdicts
    Cpython(cpython::Options),
    /// Occupy a stage by clients that do not read, do not finish or want everything at once, and see what
    /// an honest client notices
    HostileClients(hostile::Options),
    /// Send thousands of programs through a stage: memory stays constant, and nothing is left over
    Soak(soak::Options),
    /// Measure what durable storage costs: submissions beside a flush to the disk, reads, and pages of a list
    /// that is long
    Storage(storage::Options),
    /// A part of the jail around a stage that has no sandbox
    #[command(hide = true, subcommand)]
    Jail(jail::JailCommand),
    /// A process with a secret on its command line, which does nothing
    #[command(hide = true)]
    Decoy {
        /// The secret
        secret: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let ending = match Cli::parse().command {
        Command::Attack(options) => command::run(options).await,
        Command::Matrix(options) => matrix::run(options).await,
        Command::Compare(options) => matrix::compare(options).await,
        Command::Deltas(options) => deltas::run(options).await,
        Command::Exercise(options) => exercises::run(options).await,
        Command::Humaneval(options) => humaneval::run(options).await,
        Command::Programs(options) => programs::run(options).await,
        Command::Bench(options) => Box::pin(bench::run(options)).await,
        Command::Cpython(options) => cpython::run(options).await,
        Command::HostileClients(options) => Box::pin(hostile::run(options)).await,
        Command::Soak(options) => soak::run(options).await,
        Command::Storage(options) => Box::pin(storage::run(options)).await,
        Command::Jail(part) => return part.run(),
        Command::Decoy { secret: _ } => std::future::pending().await,
    };
    match ending {
        Ok(Status::Pass) => ExitCode::SUCCESS,
        Ok(Status::Fail) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
