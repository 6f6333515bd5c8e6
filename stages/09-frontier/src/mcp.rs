//! `mcp`: a server of the Model Context Protocol on standard input and output, which is a client of a stage that runs.
//!
//! A process of its own, without privileges and with a key like that of any other client: a model that misuses its
//! tools can do what this key can.
//!
//! What it does not protect: two users of one key see each other's sandboxes.

mod client;
mod result;
mod tools;
mod wire;

use std::sync::Arc;

use clap::Args;
use http::Uri;
use rmcp::ServiceExt as _;
use rmcp::transport::stdio;
use shared::cli::{BuildError, Exit};

use client::ApiClient;
use tools::Tools;

/// The environment variable with the key. It is no flag: other users of the machine can read a command line.
const KEY_ENV: &str = "CRUCIBLE_API_KEY";

/// The flags of `mcp`.
#[derive(Debug, Clone, Args)]
pub struct McpArgs {
    /// Address of the stage
    #[arg(long, value_name = "URL", env = "CRUCIBLE_URL", default_value = "http://127.0.0.1:8009")]
    url: Uri,
}

impl McpArgs {
    /// Serves until standard input ends, and removes the sandboxes that were opened.
    ///
    /// # Errors
    ///
    /// When the address is none of HTTP, or what is read is no Model Context Protocol.
    pub(crate) async fn run(self) -> Result<Exit, BuildError> {
        let key = std::env::var(KEY_ENV).ok().filter(|key| !key.is_empty());
        let api = Arc::new(ApiClient::new(&self.url, key)?);
        let tools = Tools::new(api);
        let service = tools.clone().serve(stdio()).await;
        let service = service.map_err(anyhow::Error::new)?;
        let ended = service.waiting().await;
        tools.close().await;
        ended.map_err(anyhow::Error::new)?;
        Ok(Exit::SUCCESS)
    }
}
