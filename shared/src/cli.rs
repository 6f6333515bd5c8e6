//! The command line that every stage from 2 on has: `serve`, `run`, `test`, `doctor`.
//!
//! A stage implements [`Stage`], which is its wiring, and its `main` is one call of [`main`].

mod report;
mod run;
mod serve;

pub use report::{Diagnosis, Severity};
pub use serve::Signals;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::http::{Router, Server, ServerOptions};
use crate::submission::MIN_MEMORY_BYTES;
use crate::{Bounds, BoxFuture, Engine, Evaluations, EventSink, Limits, TestableComponent};

/// What can go wrong while a stage is put together; the message says what to do.
pub type BuildError = Box<dyn std::error::Error + Send + Sync>;

/// The parts of a stage, wired together and ready for work.
pub struct App {
    /// All routes.
    pub router: Router,
    /// Where submissions go.
    pub evaluations: Arc<dyn Evaluations>,
    /// Who is told that the stage is ready, or shuts down.
    pub events: Arc<dyn EventSink>,
    /// What runs the programs; closed last.
    pub engine: Arc<dyn Engine>,
    /// Everything that can verify itself.
    pub components: Vec<Arc<dyn TestableComponent>>,
}

/// A server for the routes of an app: answers on the listener until the token fires.
pub type Front =
    Box<dyn FnOnce(TcpListener, ServerOptions, CancellationToken) -> BoxFuture<'static, ()> + Send>;

/// One stage: its name and its wiring.
pub trait Stage {
    /// Two digits; the default port is 8000 and this.
    const NUMBER: u16;
    /// The stage's package name.
    const NAME: &'static str;
    /// One line on what stands between a program and the machine.
    const ISOLATION: &'static str;
    /// True when nothing does: such a stage serves this machine only.
    const UNSANDBOXED: bool;
    /// Settings of this stage alone.
    type Args: Args + Send + Sync;

    /// Constructs the parts and hands them to each other.
    fn build(
        settings: &Settings,
        args: &Self::Args,
    ) -> impl Future<Output = Result<App, BuildError>> + Send;

    /// Says what is missing on this machine, and how to put it right.
    fn doctor(args: &Self::Args) -> impl Future<Output = Vec<Diagnosis>> + Send;

    /// Constructs the parts and what serves them, for a stage that brings a server of its own.
    fn open(
        settings: &Settings,
        args: &Self::Args,
    ) -> impl Future<Output = Result<(App, Front), BuildError>> + Send {
        async {
            let app = Self::build(settings, args).await?;
            let router = app.router.clone();
            let front: Front = Box::new(|listener, options, stop| {
                Box::pin(Server::new(router, options, stop).run(listener))
            });
            Ok((app, front))
        }
    }

    /// Changes the command line before it is read: a stage with a configuration file makes what is
    /// in it the default of each flag.
    ///
    /// # Errors
    ///
    /// When what is configured is wrong.
    fn configure(command: clap::Command) -> Result<clap::Command, BuildError> {
        Ok(command)
    }

    /// Does what the arguments ask for instead of any command, if they ask for such a thing.
    fn instead(_settings: &Settings, _args: &Self::Args) -> Option<Result<(), BuildError>> {
        None
    }

    /// [`Self::ISOLATION`] and [`Self::UNSANDBOXED`], for a stage where they depend on its arguments.
    fn isolation(_args: &Self::Args) -> (&'static str, bool) {
        (Self::ISOLATION, Self::UNSANDBOXED)
    }
}

/// For a stage without settings of its own.
#[derive(Debug, Clone, Copy, Args)]
pub struct NoArgs {}

/// Settings that every stage has. Each is a flag and an environment variable.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Address to listen on [default: 127.0.0.1:80NN, NN the stage]; port 0 takes any free one
    #[arg(long, global = true, value_name = "ADDRESS", env = "CRUCIBLE_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Listen on an address that other machines can reach, although anybody there may then run
    /// programs here
    #[arg(long, global = true, env = "CRUCIBLE_ALLOW_REMOTE")]
    pub allow_remote: bool,
    /// Host name that clients may call this server by (can be repeated)
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "CRUCIBLE_ALLOW_HOST",
        value_delimiter = ','
    )]
    pub allow_host: Vec<String>,
    /// Evaluations that run at the same time
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_WORKERS", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: u16,
    /// Evaluations that may wait for a worker; one more is answered 503
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_QUEUE_CAPACITY",
          default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub queue_capacity: u32,
    /// Wall-clock time of an evaluation that asks for none, in seconds
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_TIMEOUT_SECONDS",
          default_value_t = 30.0, value_parser = seconds)]
    pub timeout_seconds: f64,
    /// Longest wall-clock time an evaluation may ask for, in seconds
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_MAX_TIMEOUT_SECONDS",
          default_value_t = 300.0, value_parser = seconds)]
    pub max_timeout_seconds: f64,
    /// Processor time of an evaluation, over all its processes, in seconds
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_CPU_SECONDS",
          default_value_t = 30.0, value_parser = seconds)]
    pub cpu_seconds: f64,
    /// Memory of an evaluation that asks for none, in bytes
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_MEMORY_BYTES",
          default_value_t = 256 << 20,
          value_parser = clap::value_parser!(u64).range(MIN_MEMORY_BYTES..=1 << 40))]
    pub memory_bytes: u64,
    /// Most memory an evaluation may ask for, in bytes
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_MAX_MEMORY_BYTES",
          default_value_t = 1 << 30,
          value_parser = clap::value_parser!(u64).range(MIN_MEMORY_BYTES..=1 << 40))]
    pub max_memory_bytes: u64,
    /// Processes and threads of an evaluation
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_PIDS",
          default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=32_768))]
    pub pids: u64,
    /// Bytes kept of each output stream; a program that writes more is ended
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_OUTPUT_BYTES",
          default_value_t = 1 << 20, value_parser = clap::value_parser!(u64).range(1..=64 << 20))]
    pub output_bytes: u64,
    /// Scratch space of an evaluation, in bytes
    #[arg(long, global = true, value_name = "BYTES", env = "CRUCIBLE_DISK_BYTES",
          default_value_t = 64 << 20,
          value_parser = clap::value_parser!(u64).range(1 << 20..=1 << 40))]
    pub disk_bytes: u64,
    /// Open files of each process
    #[arg(long, global = true, value_name = "N", env = "CRUCIBLE_OPEN_FILES",
          default_value_t = 256, value_parser = clap::value_parser!(u64).range(16..=65_536))]
    pub open_files: u64,
    /// How long running evaluations may go on after Ctrl-C or SIGTERM, in seconds
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_DRAIN_SECONDS",
          default_value_t = 10.0, value_parser = seconds)]
    pub drain_seconds: f64,
}

impl Settings {
    /// The bounds that submissions are held to.
    pub fn bounds(&self) -> Bounds {
        let default = Limits {
            timeout_seconds: self.timeout_seconds,
            cpu_seconds: self.cpu_seconds,
            memory_bytes: self.memory_bytes,
            pids: self.pids,
            output_bytes: self.output_bytes,
            disk_bytes: self.disk_bytes,
            open_files: self.open_files,
        };
        Bounds {
            default,
            max_timeout_seconds: self.max_timeout_seconds.max(self.timeout_seconds),
            max_memory_bytes: self.max_memory_bytes.max(self.memory_bytes),
        }
    }

    /// What the server is held to.
    pub fn server_options(&self) -> ServerOptions {
        ServerOptions { allowed_hosts: self.allow_host.clone(), ..ServerOptions::default() }
    }

    fn drain(&self) -> Duration {
        Duration::from_secs_f64(self.drain_seconds)
    }
}

/// A number of seconds a limit can be: finite, positive, at most a day.
fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.1..=86_400.0).contains(&value) => Ok(value),
        _ => Err("give a number of seconds from 0.1 to 86400".to_owned()),
    }
}

#[derive(Parser)]
#[command(version, disable_help_subcommand = true)]
struct Cli<A: Args> {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    args: A,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the HTTP API (this is what happens without a command)
    Serve,
    /// Evaluate one program through this stage's real stack
    Run(RunArgs),
    /// Let every component verify itself
    Test,
    /// Say what is missing on this machine and how to put it right
    Doctor,
}

#[derive(Args)]
struct RunArgs {
    /// Python file to evaluate; `-` reads it from standard input
    file: PathBuf,
    /// File for the program's standard input; `-` passes our own on
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
    /// Print the final evaluation as JSON instead of streaming its output
    #[arg(long)]
    json: bool,
    /// Print nothing of our own
    #[arg(long, short)]
    quiet: bool,
}

/// What a process of ours ends with, unless `run` passes a program's own exit code on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Success = 0,
    /// A check failed, or the server could not start.
    Failure = 1,
    /// The command line or a file named on it is wrong.
    Usage = 2,
    /// `run`: the program's time was over.
    TimedOut = 124,
    /// `run`: the platform failed, not the program.
    Platform = 125,
    /// Stopped at once by a second signal, or `run` was cancelled.
    Interrupted = 130,
    /// `run`: another limit ended the program.
    Killed = 137,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Parses the command line and does what it says. The whole of a stage's `main`.
pub fn main<S: Stage>() -> ExitCode {
    let port = 8000 + S::NUMBER;
    let command = match S::configure(Cli::<S::Args>::command().name(S::NAME).about(S::ISOLATION)) {
        Ok(command) => command,
        Err(error) => return fail(error.as_ref(), Exit::Usage),
    };
    let cli = match Cli::<S::Args>::from_arg_matches(&command.get_matches()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("CRUCIBLE_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, Exit::Failure),
    };
    let Cli { settings, args, command } = cli;
    match S::instead(&settings, &args) {
        Some(Ok(())) => return Exit::Success.into(),
        Some(Err(error)) => return fail(error.as_ref(), Exit::Failure),
        None => {}
    }
    let exit = runtime.block_on(async {
        match command.unwrap_or(Command::Serve) {
            Command::Serve => serve::serve::<S>(&settings, &args, port).await,
            Command::Run(run) => run::run::<S>(&settings, &args, &run).await,
            Command::Test => report::test::<S>(&settings, &args).await,
            Command::Doctor => report::doctor(S::doctor(&args).await),
        }
    });
    // A blocking task that hangs must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit
}

/// Prints an error with its causes, and gives the exit code back.
fn fail(error: &dyn std::error::Error, exit: Exit) -> ExitCode {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}\n  caused by: {inner}");
        cause = inner.source();
    }
    say(&text);
    exit.into()
}

/// One line to the person at the terminal. A closed standard error is nobody's fault.
fn say(text: &str) {
    let _closed = writeln!(std::io::stderr(), "{text}");
}
