//! Tenants: clients of one server that must not reach each other's evaluations.
//!
//! Up to stage 8 no client says who it is, so that all of them are the same one. From stage 9 on each has
//! a key. The server of the other probes is open, so the ladder starts another one, with keys; or it is
//! given the keys of a server that runs.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::{Testbed, address_of};
use crate::support::client::Client;
use crate::support::server::{DATA_DIR_ENV, FIRST_DURABLE, Launch, Server, ServerData};
use crate::support::stages::{self, Stage};

/// The first stage whose clients have keys.
pub const FIRST_WITH_KEYS: u16 = FIRST_DURABLE;
/// The environment variable with the keys of a server that already runs: those of [`Keys`] in their order,
/// separated by commas. Not an option: other users can read a command line.
pub const KEYS_ENV: &str = "CRUCIBLE_LADDER_KEYS";

/// The keys of four clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Submits and reads.
    pub owner: String,
    /// The same, for another client: the attacker.
    pub stranger: String,
    /// Reads only.
    pub reader: String,
    /// Submits only.
    pub submitter: String,
}

impl Keys {
    /// The keys in [`KEYS_ENV`], if it is set.
    ///
    /// # Errors
    ///
    /// When there are more or fewer than four.
    pub fn from_env() -> Result<Option<Self>> {
        let Ok(text) = std::env::var(KEYS_ENV) else { return Ok(None) };
        Self::parse(&text).map(Some)
    }

    /// Keys from their text, as in [`KEYS_ENV`].
    ///
    /// # Errors
    ///
    /// When there are more or fewer than four.
    pub fn parse(text: &str) -> Result<Self> {
        let keys: Vec<_> = text.split(',').map(str::to_owned).collect();
        let [owner, stranger, reader, submitter] = keys.try_into().ok().with_context(|| {
            format!("{KEYS_ENV} takes four keys: owner, stranger, reader, submitter")
        })?;
        Ok(Self { owner, stranger, reader, submitter })
    }

    /// Their text, as in [`KEYS_ENV`].
    pub fn text(&self) -> String {
        let Self { owner, stranger, reader, submitter } = self;
        [owner, stranger, reader, submitter].map(String::as_str).join(",")
    }

    /// Makes them in the data directory of a server that has not started yet.
    async fn create(stage: &Stage, data: &ServerData) -> Result<Self> {
        let key = async |scopes: &[&str]| {
            let mut command = Command::new(stage.binary()?);
            command.args(["keys", "create", "--name", "ladder"]).env(DATA_DIR_ENV, data.path());
            for scope in scopes {
                command.args(["--scope", scope]);
            }
            let output = command.output().await.context("cannot run `keys create`")?;
            let error = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "`keys create` failed: {error}");
            Ok(String::from_utf8(output.stdout)?.trim().to_owned())
        };
        Ok(Self {
            owner: key(&["submit", "read"]).await?,
            stranger: key(&["submit", "read"]).await?,
            reader: key(&["read"]).await?,
            submitter: key(&["submit"]).await?,
        })
    }
}

/// Clients of one server.
#[derive(Debug)]
pub struct Tenants {
    /// Submits and reads.
    pub owner: Client,
    /// The attacker, who may do the same with evaluations of its own.
    pub stranger: Client,
    /// May only read.
    pub reader: Client,
    /// May only submit.
    pub submitter: Client,
    /// Has no key.
    pub anonymous: Client,
    /// The keys, where there are any.
    pub keys: Option<Keys>,
    /// Where the server listens.
    pub address: SocketAddr,
    server: Option<Server>,
}

impl Tenants {
    /// Clients with these keys of the server at `url`.
    ///
    /// # Errors
    ///
    /// When the URL is invalid.
    pub fn of(stage: u16, url: &str, keys: Option<Keys>) -> Result<Self> {
        let client =
            |key: Option<&String>| anyhow::Ok(Client::new(stage, url)?.with_key(key.cloned()));
        let of = keys.as_ref();
        Ok(Self {
            owner: client(of.map(|keys| &keys.owner))?,
            stranger: client(of.map(|keys| &keys.stranger))?,
            reader: client(of.map(|keys| &keys.reader))?,
            submitter: client(of.map(|keys| &keys.submitter))?,
            anonymous: client(None)?,
            address: address_of(url)?,
            server: None,
            keys,
        })
    }

    /// Starts a server with keys, and these arguments.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start(stage: &Stage, arguments: &[&str]) -> Result<Self> {
        let data = ServerData::new()?;
        let keys = Keys::create(stage, &data).await?;
        let launch = Launch::new(stage).on_data(&data);
        let server =
            arguments.iter().fold(launch, |launch, word| launch.arg(*word)).start().await?;
        let mut tenants = Self::of(stage.number, server.url(), Some(keys))?;
        tenants.server = Some(server);
        Ok(tenants)
    }

    /// The directory in which the server stores evaluations, if the ladder started it.
    pub fn data_dir(&self) -> Option<PathBuf> {
        self.server.as_ref()?.data_dir()
    }

    /// Stops the server, if it was started for this.
    ///
    /// # Errors
    ///
    /// When it does not stop in order.
    pub async fn close(self) -> Result<()> {
        let Self { owner, stranger, reader, submitter, anonymous, server, .. } = self;
        // Idle connections would keep the server waiting.
        drop((owner, stranger, reader, submitter, anonymous));
        match server {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }
}

impl Testbed {
    /// Makes this a testbed of a server whose clients have these keys.
    pub fn set_keys(&mut self, keys: Option<Keys>) {
        let owner = keys.as_ref().map(|keys| keys.owner.clone());
        self.client = self.client.clone().with_key(owner);
        self.keys = keys;
    }

    /// The header line of a request of a well-behaved client: its key, if it needs one.
    pub fn authorization(&self) -> String {
        let owner = self.keys.as_ref().map(|keys| &keys.owner);
        owner.map_or_else(String::new, |key| format!("Authorization: Bearer {key}\r\n"))
    }

    /// Clients of the stage that must not reach each other. None for a server that already runs
    /// and whose keys are not known: it may be open.
    ///
    /// # Errors
    ///
    /// When a server with keys does not start.
    pub async fn tenants(&self) -> Result<Option<Tenants>> {
        let url = format!("http://{}", self.client_address);
        if self.stage < FIRST_WITH_KEYS || self.keys.is_some() {
            return Tenants::of(self.stage, &url, self.keys.clone()).map(Some);
        }
        if self.secrets.is_none() {
            return Ok(None);
        }
        Tenants::start(&stages::find(self.stage)?, &[]).await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_keys_are_needed() {
        let keys = Keys::parse("a,b,c,d").unwrap();
        assert_eq!((keys.owner.as_str(), keys.submitter.as_str()), ("a", "d"));
        assert_eq!(keys.text(), "a,b,c,d");
        for text in ["", "a,b,c", "a,b,c,d,e"] {
            assert!(Keys::parse(text).unwrap_err().to_string().contains("four keys"), "{text}");
        }
    }
}
