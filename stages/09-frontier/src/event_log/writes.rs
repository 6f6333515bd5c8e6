//! The writes that empty the buffer.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;

use super::buffer::Buffer;
use super::insert_events;
use super::tail::Tail;
use crate::store::{Store, StoreError};

/// After how long a write is tried again that met a full disk. What comes meanwhile tries it as well.
const RETRY_INTERVAL: Duration = Duration::from_millis(200);

/// Writes what is in the buffer with the next group of the writer.
#[derive(Clone)]
pub(super) struct Writes {
    /// Weak, so that a retry does not keep a store open that its owner has closed.
    store: Weak<Store>,
    tail: Arc<Tail>,
    buffer: Arc<Buffer>,
    /// For the pause before a retry: the writer is a thread without a runtime.
    runtime: Handle,
}

impl Writes {
    /// In a runtime.
    pub(super) fn new(store: &Arc<Store>, tail: &Arc<Tail>, buffer: &Arc<Buffer>) -> Self {
        Self {
            store: Arc::downgrade(store),
            tail: Arc::clone(tail),
            buffer: Arc::clone(buffer),
            runtime: Handle::current(),
        }
    }

    /// A write, for a buffer that says that it needs one.
    pub(super) fn schedule(&self) {
        let Some(store) = self.store.upgrade() else { return };
        let (buffer, after) = (Arc::clone(&self.buffer), self.clone());
        store.write_behind(
            move |db| insert_events(db, &buffer.take()),
            move |written| match written {
                Ok(events) => {
                    after.tail.committed(events, false);
                    after.buffer.ended();
                }
                Err(error) => after.failed(&error),
            },
        );
    }

    /// No number was given, so that no reader has a gap in them.
    fn failed(self, error: &StoreError) {
        if !error.is_full() {
            tracing::error!(%error, "events were not written");
            return self.buffer.ended();
        }
        tracing::warn!(%error, "events wait for room on the disk");
        self.buffer.failed();
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            tokio::time::sleep(RETRY_INTERVAL).await;
            if self.buffer.retry() {
                self.schedule();
            }
        });
    }
}
