//! The API as a Lambda function. With `CRUCIBLE_TABLE` it is that of stage 10, over DynamoDB, S3 and SQS, and its
//! workers are elsewhere. Without, it is that of stage 7, and the platform runs in the function's own process.
//!
//! Settings come from the environment (`CRUCIBLE_...`), as Lambda passes no arguments. Amazon's machines
//! have neither Docker nor runsc, so there the function reports that and ends; where there is one, as
//! on a developer's machine under `cargo lambda watch`, it serves.

use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches, Parser};
use crucible_lambda::{cloud, serve};
use shared::BuildError;
use shared::cli::{Settings, Signals, StageArgs as _};
use shared::http::{Endpoint, ServerOptions};
use stage_06_advanced::{Platform, PlatformArgs};
use stage_07_advanced_v2::RestfulApi;
use tokio_util::sync::CancellationToken;

/// With a table the evaluations are in it.
const TABLE_ENV: &str = "CRUCIBLE_TABLE";

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
    // Lambda stores text: no colours of a terminal.
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stderr).init();
    let is_cloud = std::env::var_os(TABLE_ENV).is_some();
    let served = if is_cloud { Box::pin(cloud::run()).await } else { Box::pin(run()).await };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "cannot serve");
            ExitCode::FAILURE
        }
    }
}

// ANCHOR: wiring
async fn run() -> Result<(), BuildError> {
    let command = PlatformArgs::configure(Arguments::command())?;
    let Arguments { settings, platform } =
        Arguments::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    let signals = Signals::listen()?;
    let platform = Platform::start("stage-07-advanced-v2", &settings, &platform).await?;
    let options = ServerOptions { any_host: true, ..settings.server_options() };
    let api = RestfulApi::new(&platform, platform.router(), options.clone());
    let (app, shutdown) = (platform.app(api), CancellationToken::new());
    let endpoint = Endpoint::new(app.service.clone(), options, shutdown.clone());
    let mut serving = Box::pin(serve(Arc::new(endpoint)));
    let served = tokio::select! {
        served = &mut serving => {
            shutdown.cancel();
            app.evaluations.shutdown(shutdown).await;
            if let Some(engine) = &app.engine {
                engine.close().await;
            }
            served
        }
        // Events are answered until all that runs has ended, and the last response is passed on.
        _exit = signals.drain(&app, &settings) => {
            shutdown.cancel();
            serving.await
        }
    };
    served.map_err(|error| BuildError::new(error.to_string()).context("Lambda's interface failed"))
}
// ANCHOR_END: wiring
