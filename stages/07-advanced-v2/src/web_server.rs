//! Which web server serves the API. The responses are the same.

use std::process::ExitCode;
use std::sync::Arc;

use clap::ValueEnum;
use shared::cli::{BuildError, Diagnosis, Isolation, Settings, StageArgs};
use shared::http::HttpServerFn;
use stage_06_advanced::PlatformArgs;

use crate::axum_adapter::serve_axum;

/// A web server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WebServer {
    /// hyper alone, with the accept loop of the stages below
    Hyper,
    /// axum, on the same accept loop
    Axum,
}

/// The flags of a platform and its API.
#[derive(Debug, Clone, clap::Args)]
pub struct ApiArgs {
    /// The platform.
    #[command(flatten)]
    pub platform: PlatformArgs,
    /// Web server that serves the API
    #[arg(long, global = true, value_enum, value_name = "SERVER", env = "CRUCIBLE_SERVER",
          default_value_t = WebServer::Hyper)]
    pub server: WebServer,
}

impl WebServer {
    // ANCHOR: serve
    /// What serves an endpoint with this server.
    pub fn serve(self) -> HttpServerFn {
        match self {
            Self::Hyper => Arc::new(stage_02_queue::serve),
            Self::Axum => Arc::new(serve_axum),
        }
    }
    // ANCHOR_END: serve
}

impl StageArgs for ApiArgs {
    async fn doctor(&self) -> Vec<Diagnosis> {
        self.platform.doctor().await
    }

    fn isolation(&self) -> Option<Isolation> {
        self.platform.isolation()
    }

    fn http_server(&self) -> HttpServerFn {
        self.server.serve()
    }

    fn configure(command: clap::Command) -> Result<clap::Command, BuildError> {
        PlatformArgs::configure(command)
    }

    fn before_serve(&self, settings: &Settings) -> Result<Option<ExitCode>, BuildError> {
        self.platform.before_serve(settings)
    }
}
