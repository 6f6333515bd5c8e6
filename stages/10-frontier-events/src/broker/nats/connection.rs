//! The connection to a NATS server.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::Context;
use async_nats::jetstream::consumer::{Consumer, pull};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, ServerAddr, jetstream};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::super::credentials::Credentials;
use super::NatsBroker;
use super::error::unavailable;
use crate::broker::{BrokerError, BrokerOptions};

/// The longest wait for an answer of a server.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How often the client asks whether the server still answers.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// Between two attempts to connect for the first time.
const CONNECT_INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait between two attempts to connect again.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(2);

/// Where, and as whom, a server is connected to.
pub(super) struct Login {
    servers: Vec<ServerAddr>,
    tls: bool,
    credentials: Option<Credentials>,
    certificates: Option<std::path::PathBuf>,
}

/// A connection, and what is known of the streams behind it.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) jetstream: Context,
    pub(super) known: Arc<Known>,
}

/// The connection, once there is one.
#[derive(Default)]
pub(super) struct Slot {
    // Invariant: None until a server has accepted a connection; the client then connects again by itself.
    session: Option<Session>,
    // When the last attempt failed.
    failed: Option<Instant>,
}

/// What was created or found, until a call shows that the server has lost it.
#[derive(Default)]
pub(super) struct Known {
    pub(super) streams: AtomicBool,
    pub(super) consumers: Mutex<HashMap<String, Consumer<pull::Config>>>,
}

impl Login {
    /// Reads the files of the options.
    pub(super) fn new(
        servers: &[String],
        tls: bool,
        options: &BrokerOptions,
    ) -> Result<Self, BrokerError> {
        let credentials = options.credentials.as_deref().map(Credentials::read).transpose()?;
        // Attack: the password of the broker goes over a network in clear text -> test
        // `a_password_is_not_sent_in_clear_text`.
        let is_password = matches!(credentials, Some(Credentials::Pair(..)));
        if let Some(server) = servers.iter().find(|server| !tls && !is_loopback(server))
            && is_password
        {
            let what = format!("a password would go to {server} in clear text: use tls://");
            return Err(BrokerError::Refused(what.into()));
        }
        let scheme = if tls { "tls" } else { "nats" };
        let servers = servers.iter().map(|server| format!("{scheme}://{server}").parse());
        if let Some(path) = &options.certificates {
            std::fs::metadata(path).map_err(|error| {
                BrokerError::Refused(format!("certificates {}: {error}", path.display()).into())
            })?;
        }
        Ok(Self {
            servers: servers
                .collect::<std::io::Result<_>>()
                .map_err(|error| BrokerError::Refused(error.into()))?,
            tls,
            credentials,
            certificates: options.certificates.clone(),
        })
    }

    async fn connect(&self) -> Result<Client, BrokerError> {
        let mut options = ConnectOptions::new()
            .name("crucible")
            .require_tls(self.tls)
            .ping_interval(PING_INTERVAL)
            .request_timeout(Some(REQUEST_TIMEOUT))
            .reconnect_delay_callback(reconnect_delay);
        match &self.credentials {
            Some(Credentials::Creds(text)) => {
                options = options.credentials(text).map_err(|e| BrokerError::Refused(e.into()))?;
            }
            Some(Credentials::Pair(user, password)) => {
                options = options.user_and_password(user.clone(), password.clone());
            }
            None => {}
        }
        if let Some(path) = &self.certificates {
            options = options.add_root_certificates(path.clone());
        }
        options.connect(&self.servers[..]).await.map_err(|error| match error.kind() {
            ConnectErrorKind::Authentication
            | ConnectErrorKind::AuthorizationViolation
            | ConnectErrorKind::Tls
            | ConnectErrorKind::ServerParse => BrokerError::Refused(error.into()),
            _ => unavailable(error),
        })
    }
}

/// Grows to its maximum within six attempts; the client adds no delay of its own.
fn reconnect_delay(attempts: usize) -> Duration {
    let exponent = u32::try_from(attempts.min(6)).unwrap_or(6);
    (Duration::from_millis(50) * 2_u32.pow(exponent)).min(MAX_RECONNECT_DELAY)
}

impl NatsBroker {
    /// The connection. While the server is away every call fails at once, and does not wait in a buffer.
    pub(super) async fn session(&self) -> Result<Session, BrokerError> {
        let mut slot = self.session.lock().await;
        if let Some(session) = &slot.session {
            if session.client.connection_state() == State::Disconnected {
                return Err(unavailable("the connection is lost"));
            }
            return Ok(session.clone());
        }
        // Those who have waited for another's attempt do not each make one more.
        if slot.failed.is_some_and(|failed| failed.elapsed() < CONNECT_INTERVAL) {
            return Err(unavailable("the last attempt to connect has failed"));
        }
        let connected = self.login.connect().await;
        if let Err(BrokerError::Unavailable(_)) = connected {
            slot.failed = Some(Instant::now());
        }
        let client = connected?;
        let mut jetstream = jetstream::new(client.clone());
        jetstream.set_timeout(REQUEST_TIMEOUT);
        let fresh = Session { client, jetstream, known: Arc::default() };
        slot.session = Some(fresh.clone());
        Ok(fresh)
    }

    /// Looks for the streams and consumers again: the server may have lost them.
    pub(super) async fn forget(&self) {
        if let Some(session) = &mut self.session.lock().await.session {
            session.known = Arc::default();
        }
    }
}

/// Whether a server, as `HOST:PORT`, is on this machine.
fn is_loopback(server: &str) -> bool {
    let host = server.rsplit_once(':').map_or(server, |(host, _)| host).trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_sent_in_clear_text() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "worker:secret\n").unwrap();
        let with =
            BrokerOptions { credentials: Some(file.path().to_owned()), ..BrokerOptions::default() };
        let login = |server: &str, tls, options: &BrokerOptions| {
            Login::new(&["127.0.0.1:4222".to_owned(), server.to_owned()], tls, options).err()
        };
        for server in ["10.0.0.5:4222", "[2001:db8::1]:4222", "nats.example.org:4222"] {
            let error = login(server, false, &with).unwrap();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains(server) && cause.contains("tls://"), "{cause}");
            assert!(login(server, true, &with).is_none(), "{server}");
            assert!(login(server, false, &BrokerOptions::default()).is_none(), "{server}");
        }
        for server in ["localhost:4222", "[::1]:4222"] {
            assert!(login(server, false, &with).is_none(), "{server}");
        }
    }
}
