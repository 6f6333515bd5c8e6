//! The trait of every storage.

mod conformance;
mod in_memory;

pub use conformance::suite as storage_suite;
pub use in_memory::InMemoryStorage;

use std::sync::Arc;

use serde::Serialize;
use shared::{BoxFuture, EventSink, TestableComponent};
use stage_02_queue::{Archive, ArchiveError};
use uuid::Uuid;

// ANCHOR: storage
/// Stores evaluations that have ended.
///
/// The ledger inserts each one at its end ([`Archive::insert`]) and reads here what it no longer has.
/// An inserted evaluation is announced as `storage.saved`, a removed one as `storage.deleted`.
pub trait StorageService: Archive + TestableComponent {
    /// Deletes an evaluation. False when none of this id is stored.
    fn delete(&self, id: Uuid) -> BoxFuture<'_, Result<bool, ArchiveError>>;

    /// An empty storage of the same kind for a check, which emits to `events`. It is gone with its
    /// owner, and nothing in it is seen or counted here.
    fn scratch(
        &self,
        events: Arc<dyn EventSink>,
    ) -> BoxFuture<'_, Result<Arc<dyn StorageService>, ArchiveError>>;

    /// How much is stored, and how much may be.
    fn usage(&self) -> StorageUsage;

    /// Writes what is not written yet. Called once, after the last evaluation.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
// ANCHOR_END: storage

/// How much is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StorageUsage {
    /// Stored evaluations.
    pub entries: usize,
    /// How many may be; one more deletes the one that ended first.
    pub max_entries: usize,
    /// Bytes that they take, approximately.
    pub bytes: usize,
    /// How many they may take.
    pub max_bytes: usize,
}
