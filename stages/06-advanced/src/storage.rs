//! The trait of every storage.

use serde::Serialize;
use shared::{BoxFuture, TestableComponent};
use stage_02_queue::Archive;
use uuid::Uuid;

// ANCHOR: storage
/// Keeps evaluations that have ended, and finds them again.
///
/// The queue hands each one over at its end ([`Archive::keep`]) and asks here for what it no longer
/// has. What is kept is announced as `storage.saved`, what is gone as `storage.deleted`.
pub trait StorageService: Archive + TestableComponent {
    /// Deletes an evaluation. False when none of this id is kept.
    fn delete(&self, id: Uuid) -> bool;

    /// How much is kept, and how much may be.
    fn usage(&self) -> Usage;

    /// Finishes what is still to be written. Called once, after the last evaluation.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
// ANCHOR_END: storage

/// How much a storage holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Evaluations that are kept.
    pub entries: usize,
    /// How many may be; one more deletes the one that ended first.
    pub max_entries: usize,
    /// Bytes that they take, about.
    pub bytes: usize,
    /// How many they may take.
    pub max_bytes: usize,
}
