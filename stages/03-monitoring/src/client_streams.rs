//! How many event streams each client has open.
//!
//! Attack: one client opens all the event streams that there are, and nobody else can follow anything → a
//! client has at most [`MAX_STREAMS_PER_CLIENT`]. Test: `one_client_leaves_streams_to_others`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stage_02_queue::client_network;

/// Event streams of one client: half of those that there are by default.
pub(crate) const MAX_STREAMS_PER_CLIENT: usize = 128;

/// The open streams of each client. A client without one is not in it.
#[derive(Default)]
pub(crate) struct ClientStreams(Mutex<HashMap<IpAddr, usize>>);

/// The place of one stream, which is free again when this is dropped.
pub(crate) struct StreamSlot {
    streams: Arc<ClientStreams>,
    /// None for a request that came over no connection.
    client: Option<IpAddr>,
}

impl ClientStreams {
    /// A place for one more stream of this peer. None when it has too many.
    pub(crate) fn acquire(self: &Arc<Self>, peer: Option<IpAddr>) -> Option<StreamSlot> {
        let client = peer.map(client_network);
        if let Some(client) = client {
            let mut open = self.open();
            let streams = open.entry(client).or_default();
            if *streams >= MAX_STREAMS_PER_CLIENT {
                return None;
            }
            *streams += 1;
        }
        Some(StreamSlot { streams: Arc::clone(self), client })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let Some(client) = self.client else { return };
        let mut open = self.streams.open();
        if let Some(streams) = open.get_mut(&client) {
            *streams -= 1;
            if *streams == 0 {
                open.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_leaves_streams_to_others() {
        let streams = Arc::new(ClientStreams::default());
        let acquire = |address: &str| streams.acquire(Some(address.parse().unwrap()));
        let mut slots: Vec<_> = (0..MAX_STREAMS_PER_CLIENT)
            .map(|at| acquire(&format!("2001:db8::{at:x}")).unwrap())
            .collect();
        assert!(acquire("2001:db8::ffff").is_none(), "a /64 is one client");
        assert!(acquire("2001:db8:0:1::").is_some() && streams.acquire(None).is_some());
        slots.pop();
        slots.push(acquire("2001:db8::ffff").unwrap());
        assert!(acquire("2001:db8::ffff").is_none());
        slots.clear();
        assert!(streams.open().is_empty(), "a client without streams is forgotten");
    }
}
