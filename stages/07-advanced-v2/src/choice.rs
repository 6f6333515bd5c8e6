//! Which web server hosts the API. The answers are the same.

use std::sync::Arc;

use clap::ValueEnum;
use shared::cli::Front;
use shared::http::Server;
use stage_06_advanced::PlatformArgs;

use crate::axum_host::serve_axum;
use crate::hyper_host::hyper_service;
use crate::service::ApiService;

/// The web servers that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ServerChoice {
    /// hyper alone, with the accept loop of the stages below
    Hyper,
    /// axum, on the same accept loop
    Axum,
}

/// What can be set about a platform and its API.
#[derive(Debug, Clone, clap::Args)]
pub struct ApiArgs {
    /// The platform.
    #[command(flatten)]
    pub platform: PlatformArgs,
    /// Web server that hosts the API
    #[arg(long, global = true, value_enum, value_name = "SERVER", env = "CRUCIBLE_SERVER",
          default_value_t = ServerChoice::Hyper)]
    pub server: ServerChoice,
}

impl ServerChoice {
    // ANCHOR: front
    /// This server, in front of `api`.
    pub fn front(self, api: Arc<dyn ApiService>) -> Front {
        match self {
            Self::Hyper => Box::new(|listener, options, stop| {
                Box::pin(Server::new(hyper_service(api), options, stop).run(listener))
            }),
            Self::Axum => Box::new(|listener, options, stop| {
                Box::pin(serve_axum(api, listener, options, stop))
            }),
        }
    }
    // ANCHOR_END: front
}
