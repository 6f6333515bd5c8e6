//! The API of stage 7 as a Lambda function: the platform runs in the function's own process.
//!
//! Settings come from the environment (`CRUCIBLE_...`), as Lambda gives no arguments. On Amazon's
//! machines there is neither Docker nor runsc, so there this fails closed and says so; where there is
//! one, as on a developer's machine under `cargo lambda watch`, it serves.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches, Parser};
use lambda_http::Error;
use shared::cli::{Settings, Signals};
use shared::http::ServerOptions;
use stage_06_advanced::{Platform, PlatformArgs, configure};
use stage_07_advanced_v2::RestfulApi;
use tokio_util::sync::CancellationToken;

/// The API of stage 7 behind AWS Lambda
#[derive(Parser)]
#[command(name = "crucible-lambda", version)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    platform: PlatformArgs,
}

#[tokio::main]
async fn main() -> ExitCode {
    // Whoever keeps Lambda's logs keeps text, and not the colours of a terminal.
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cannot serve");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: wiring
async fn run() -> Result<(), Error> {
    let command = configure(Arguments::command(), std::env::args_os())?;
    let Arguments { settings, platform } =
        Arguments::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    let signals = Signals::listen()?;
    let platform = Platform::start("stage-07-advanced-v2", &settings, &platform).await?;
    let options = ServerOptions { any_host: true, ..settings.server_options() };
    let api: Arc<_> = RestfulApi::new(&platform, options);
    let app = platform.app();
    let stop = CancellationToken::new();
    let mut serving = Box::pin(crucible_lambda::serve(api, stop.clone()));
    tokio::select! {
        served = &mut serving => {
            stop.cancel();
            app.evaluations.shutdown(stop).await;
            app.engine.close().await;
            served
        }
        // Events are answered until all that runs has ended, and the last one is handed on.
        _exit = signals.drain(&app, &settings) => {
            stop.cancel();
            serving.await
        }
    }
}
// ANCHOR_END: wiring
