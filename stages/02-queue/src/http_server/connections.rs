//! The open connections: how many there may be, in all and for each client, and which are closed.
//!
//! A client is an address of IPv4, or a /64 of IPv6, because a host there has all of its addresses.
//! When there is no place for a new connection, the one that has been waiting longest for its client is
//! closed for it, so that clients that take nothing cannot lock out others. A connection that waits
//! for the server (a long request, a silent event stream) is never closed for another.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use shared::http::ServerOptions;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, Id, JoinSet};

use super::connection::Activity;

/// A connection that has waited this long for its client may be closed for any other one.
const STALL_GRACE: Duration = Duration::from_millis(500);
/// A connection that has waited this long for its client may be closed for another one of that client.
const OWN_STALL_GRACE: Duration = Duration::from_millis(50);
/// The answer to a client that has too many connections. The service below is not called for it.
const REFUSAL: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n\
    Retry-After: 1\r\nConnection: close\r\nContent-Length: 125\r\n\r\n\
    {\"status\":503,\"title\":\"Service Unavailable\",\
    \"detail\":\"this address has all the connections it may have; close some, or wait\"}";

/// Whether there is a place for a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// There is one.
    Free,
    /// The client has too many; others may connect.
    Refused,
    /// All places are taken.
    None,
}

/// The connections that are open, each with its task.
pub(super) struct Connections {
    tasks: JoinSet<()>,
    /// By the id of the task. A connection that is closed leaves at once, its task a moment later.
    open: HashMap<Id, Open>,
    max: usize,
    max_per_client: usize,
    write_timeout: Duration,
}

struct Open {
    client: IpAddr,
    activity: Arc<Activity>,
    task: AbortHandle,
}

impl Connections {
    pub(super) fn new(options: &ServerOptions) -> Self {
        Self {
            tasks: JoinSet::new(),
            open: HashMap::new(),
            max: options.max_connections,
            max_per_client: options.max_connections_per_client,
            write_timeout: options.write_timeout,
        }
    }

    /// Finds a place for a connection of this peer, and closes a stalled one for it if need be.
    pub(super) fn place(&mut self, peer: IpAddr) -> Place {
        let client = client_network(peer);
        let own = self.open.values().filter(|one| one.client == client).count();
        let has_too_many = own >= self.max_per_client;
        let is_full = self.open.len() >= self.max;
        if !has_too_many && !is_full {
            return Place::Free;
        }
        let candidates = self.open.iter().filter(|(_, one)| !has_too_many || one.client == client);
        let longest = candidates
            .map(|(id, one)| (one.activity.stalled(), *id))
            .max_by_key(|(stalled, _)| *stalled);
        let grace = if has_too_many { OWN_STALL_GRACE } else { STALL_GRACE };
        match longest.filter(|(stalled, _)| *stalled >= grace) {
            Some((_, id)) => {
                self.close(id);
                Place::Free
            }
            None if has_too_many => Place::Refused,
            None => Place::None,
        }
    }

    /// Adds a connection, whose place was found.
    pub(super) fn spawn<E: std::fmt::Display>(
        &mut self,
        peer: IpAddr,
        activity: Arc<Activity>,
        connection: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(async move {
            // A client may disconnect at any time: that is no error of the server.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection ended");
            }
        });
        let client = client_network(peer);
        self.open.insert(task.id(), Open { client, activity, task });
    }

    /// Returns when a connection has ended.
    pub(super) async fn ended(&mut self) {
        let ended = match self.tasks.join_next_with_id().await {
            Some(ended) => ended.map_or_else(|error| error.id(), |(id, ())| id),
            None => return std::future::pending().await,
        };
        self.open.remove(&ended);
    }

    /// Closes the connections whose client has taken too little for too long.
    pub(super) fn close_stalled(&mut self) {
        let late = self.open.iter().filter(|(_, one)| one.activity.unsent() >= self.write_timeout);
        let late: Vec<_> = late.map(|(id, _)| *id).collect();
        for id in late {
            self.close(id);
        }
    }

    fn close(&mut self, id: Id) {
        if let Some(closed) = self.open.remove(&id) {
            closed.task.abort();
            tracing::debug!(client = %closed.client, "a connection was closed: its client takes nothing");
        }
    }

    /// Closes all of them.
    pub(super) async fn shutdown(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Answers a connection that has no place, as far as its socket takes it at once.
pub(super) fn refuse(socket: TcpStream) {
    if let Ok(mut socket) = socket.into_std() {
        socket.write_all(REFUSAL.as_bytes()).ok(); // the client may be gone already
    }
}

/// The network that counts as one client: an address of IPv4, a /64 of IPv6.
pub fn client_network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}
