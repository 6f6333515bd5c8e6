//! The command line that every stage from 2 on has: `serve`, `doctor`, and its own commands.
//!
//! A stage implements [`Stage`], which is its wiring, and its `main` is one call of [`main`].

mod descriptors;
mod log;
mod report;
mod serve;
mod settings;

pub use log::LogFormat;
pub use report::{Diagnosis, Severity};
pub use serve::Signals;
pub use settings::Settings;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio_util::sync::CancellationToken;

pub use crate::error::BuildError;
use crate::http::{ApiService, HttpServerFn};
use crate::{Engine, Evaluations, EventSink, TestableComponent};

/// The components of a stage, constructed and ready for work.
pub struct App {
    /// What answers requests.
    pub service: Arc<dyn ApiService>,
    /// What accepts submissions.
    pub evaluations: Arc<dyn Evaluations>,
    /// What receives the event that the stage is ready, or shuts down.
    pub events: Arc<dyn EventSink>,
    /// What runs the programs, closed last. None if workers elsewhere run them.
    pub engine: Option<Arc<dyn Engine>>,
    /// Everything that can verify itself.
    pub components: Vec<Arc<dyn TestableComponent>>,
}

/// What isolates a program from the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Isolation {
    /// One line for people.
    pub summary: &'static str,
    /// True if nothing isolates it: such a stage binds loopback addresses only.
    pub is_unsandboxed: bool,
}

// ANCHOR: stage
/// One stage: its name and its wiring.
pub trait Stage {
    /// Two digits; the default port is 8000 plus this.
    const NUMBER: u16;
    /// The package name of the stage.
    const NAME: &'static str;
    /// What isolates a program from the machine, unless the arguments decide it.
    const ISOLATION: Isolation;
    /// The settings of this stage alone.
    type Args: StageArgs;
    /// The commands of this stage beside those of every stage.
    type Command: StageCommand<Self>;

    /// Constructs the components.
    fn build(
        settings: &Settings,
        args: &Self::Args,
    ) -> impl Future<Output = Result<App, BuildError>> + Send;
}
// ANCHOR_END: stage

/// The settings of one stage, and what depends on them alone.
pub trait StageArgs: Args + Send + Sync {
    /// Checks what the stage needs on this machine.
    fn doctor(&self) -> impl Future<Output = Vec<Diagnosis>> + Send;

    /// What isolates a program, where the arguments decide it.
    fn isolation(&self) -> Option<Isolation> {
        None
    }

    /// The web server.
    fn http_server(&self) -> HttpServerFn;

    /// The scheme of the server's addresses.
    fn scheme(&self) -> &'static str {
        "http"
    }

    /// Changes the command line before it is parsed: a stage with a configuration file makes its
    /// values the defaults of the flags.
    ///
    /// # Errors
    ///
    /// When the configuration is wrong.
    fn configure(command: clap::Command) -> Result<clap::Command, BuildError> {
        Ok(command)
    }

    /// Handles flags that do one thing and exit, such as `--generate-client`. None if none is given.
    fn run_one_shot(&self, _settings: &Settings) -> Option<Result<(), BuildError>> {
        None
    }

    /// Called before `serve`, while the process has a single thread and no listener. A stage that
    /// runs in two processes starts the other one here; the exit code is that of a process with
    /// nothing left to do.
    ///
    /// # Errors
    ///
    /// When the process cannot become what it has to be.
    fn before_serve(&self, _settings: &Settings) -> Result<Option<ExitCode>, BuildError> {
        Ok(None)
    }
}

/// The commands of one stage beside those of every stage.
pub trait StageCommand<S: Stage + ?Sized>: Subcommand + Send {
    /// Carries the command out.
    ///
    /// # Errors
    ///
    /// What went wrong, for the operator.
    fn run(
        self,
        settings: &Settings,
        args: &S::Args,
    ) -> impl Future<Output = Result<Exit, BuildError>> + Send;
}

#[derive(Parser)]
#[command(version, disable_help_subcommand = true)]
struct Cli<A: Args, C: Subcommand> {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    args: A,
    #[command(subcommand)]
    command: Option<Command<C>>,
}

#[derive(Subcommand)]
enum Command<C: Subcommand> {
    /// Serve the HTTP API (the default command)
    Serve,
    /// Check what this machine lacks and how to put it right
    Doctor,
    /// The commands of this stage.
    #[command(flatten)]
    Own(C),
}

/// An exit code of a stage: one of these, or the program's own, which `run` passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit(pub u8);

impl Exit {
    /// Success.
    pub const SUCCESS: Self = Self(0);
    /// A check failed, or the server could not start.
    pub const FAILURE: Self = Self(1);
    /// The command line or a file named on it is wrong.
    pub const USAGE: Self = Self(2);
    /// The program's time was over.
    pub const TIMED_OUT: Self = Self(124);
    /// The platform failed, not the program.
    pub const PLATFORM: Self = Self(125);
    /// Stopped at once by a second signal, or cancelled.
    pub const INTERRUPTED: Self = Self(130);
    /// Another limit ended the program.
    pub const KILLED: Self = Self(137);
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.0)
    }
}

/// Parses the command line and carries it out. The whole of a stage's `main`.
pub fn main<S: Stage>() -> ExitCode {
    type Parsed<S> = Cli<<S as Stage>::Args, <S as Stage>::Command>;
    let command = Parsed::<S>::command().name(S::NAME).about(S::ISOLATION.summary);
    let command = match S::Args::configure(command) {
        Ok(command) => command,
        Err(error) => return error.print(Exit::USAGE).into(),
    };
    let cli = match Parsed::<S>::from_arg_matches(&command.get_matches()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    descriptors::raise_limit();
    let command = cli.command.unwrap_or(Command::Serve);
    let is_serve = matches!(command, Command::Serve);
    // A server reports what it does; a command reports what went wrong beside its own output.
    log::start(cli.settings.log_format, if is_serve { "info" } else { "warn" });
    execute::<S>(command, &cli.settings, &cli.args)
        .unwrap_or_else(|error| error.print(Exit::FAILURE).into())
}

fn execute<S: Stage>(
    command: Command<S::Command>,
    settings: &Settings,
    args: &S::Args,
) -> Result<ExitCode, BuildError> {
    if let Some(done) = args.run_one_shot(settings) {
        return done.map(|()| Exit::SUCCESS.into());
    }
    if matches!(command, Command::Serve)
        && let Some(exit) = args.before_serve(settings)?
    {
        return Ok(exit);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exit = runtime.block_on(async {
        match command {
            Command::Serve => serve::serve::<S>(settings, args).await,
            Command::Doctor => Ok(report::doctor(args.doctor().await)),
            Command::Own(command) => command.run(settings, args).await,
        }
    });
    // A blocking task that hangs must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit.map(ExitCode::from)
}

/// Prints one line on standard error, and ignores that standard error may be closed.
pub fn eprint_line(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}

impl BuildError {
    /// Prints the error on standard error, with its causes and its hint.
    pub fn print(&self, exit: Exit) -> Exit {
        eprint_line(&format!("error: {self}"));
        exit
    }
}

impl App {
    /// Shuts the queue down and then the engine: running programs continue until `now` is cancelled.
    pub async fn close(&self, now: CancellationToken) {
        self.evaluations.shutdown(now).await;
        if let Some(engine) = &self.engine {
            engine.close().await;
        }
    }
}
