//! Which server a command talks to: a stage that it starts itself, or one that already runs.

use anyhow::Result;
use clap::Args;

use crate::support::client::Client;
use crate::support::server::{Launch, Server};
use crate::support::stages;

/// The options that name a stage.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// Number of the stage
    #[arg(long, value_name = "N")]
    pub stage: u16,
    /// Use this server, which must be that stage, instead of starting one
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
}

/// A running stage, and a client for it.
#[derive(Debug)]
pub struct Session {
    /// A client of its API.
    pub client: Client,
    /// The package's name.
    pub name: String,
    /// The server, if this command started it.
    pub server: Option<Server>,
}

impl Target {
    /// Starts the stage, with these arguments, unless there is a URL.
    ///
    /// # Errors
    ///
    /// When there is no such stage, or it does not start.
    pub async fn open(&self, arguments: &[&str]) -> Result<Session> {
        let stage = stages::find(self.stage)?;
        let name = stage.name.clone();
        if let Some(url) = &self.url {
            return Ok(Session { client: Client::new(self.stage, url)?, name, server: None });
        }
        let launch = arguments.iter().fold(Launch::new(&stage), Launch::arg);
        let server = launch.start().await?;
        let client = Client::new(self.stage, server.url())?;
        Ok(Session { client, name, server: Some(server) })
    }
}

impl Session {
    /// Stops the server if this command started it.
    ///
    /// # Errors
    ///
    /// When it does not stop in order.
    pub async fn close(self) -> Result<()> {
        // Idle connections are closed first, so that the server does not wait for them.
        drop(self.client);
        match self.server {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }
}
