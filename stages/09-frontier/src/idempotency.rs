//! `Idempotency-Key`: a request that is sent again does nothing again (draft-ietf-httpapi-idempotency-key-header-07).
//!
//! The id of the evaluation is chosen before it is accepted, and recorded beside the key. So a crash
//! between the two leaves a record that says which evaluation to look for, and not a doubt.
//!
//! | request | answer |
//! |---|---|
//! | a new key | what the request is answered |
//! | the same key and the same submission | the evaluation that the first one made, as it is now |
//! | the same key while the first is being accepted | 409, with `Retry-After` |
//! | the same key and another submission | 422 |
//! | a key that is no string in quotes | 400 |
//!
//! A request that was refused leaves no record: it did nothing. When that, or the opposite, cannot be written, because the
//! disk is full, it is written before the next request with the key is decided: the key is not pending until a restart.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | a client sends the key of another client, to read its evaluation | keys are counted for each API key | `an_idempotency_key_belongs_to_its_api_key` |
//! | endless keys, to fill the disk | the rate of each API key, and the lifetime of a record | `old_records_are_removed` |

mod key;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use shared::{EvaluationsError, Refusal};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use key::parse;
use table::Found;
pub(crate) use table::Kind;

use crate::store::{Store, StoreError};

/// How often old records are removed.
const PURGE_INTERVAL: Duration = Duration::from_mins(10);
/// Records that are removed in one transaction.
const PURGE_STEP: u32 = 1_000;
/// When a client may ask again for what is still being accepted, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The records of idempotency keys.
pub struct Idempotency {
    store: Arc<Store>,
    lifetime: SignedDuration,
    /// Records of which the end could not be written, and whether something was made.
    unwritten: Mutex<HashMap<Record, bool>>,
}

/// What a request with an idempotency key has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// Make what it asks for, under the planned id, and then complete the record.
    New(Record),
    /// Return what the first request made.
    Replay(Uuid),
}

/// A record that is neither completed nor forgotten yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    owner: String,
    key: [u8; 32],
}

impl Idempotency {
    /// The records in `store`, each of which is remembered for `hours`.
    pub fn new(store: Arc<Store>, hours: u32) -> Arc<Self> {
        let lifetime = SignedDuration::from_hours(hours.into());
        Arc::new(Self { store, lifetime, unwritten: Mutex::default() })
    }

    /// Decides what a request of `owner` with `key` has to do. `planned` is the id of what it makes.
    ///
    /// # Errors
    ///
    /// 409 or 422 as in the table above, or internal when the database fails.
    pub async fn begin(
        &self,
        owner: Option<&str>,
        key: &str,
        request: &impl Serialize,
        (kind, planned): (Kind, Uuid),
    ) -> Result<Begin, EvaluationsError> {
        let owner = owner.unwrap_or_default().to_owned();
        let key = <[u8; 32]>::from(Sha256::digest(key));
        let request = serde_json::to_vec(request).map_err(internal)?;
        let row = table::Row {
            record: Record { owner, key },
            fingerprint: Sha256::digest(request).into(),
            kind,
            resource: planned,
            created_at: Timestamp::now(),
        };
        let (record, lifetime) = (row.record.clone(), self.lifetime);
        let unwritten = self.unwritten().remove(&record);
        let found = self.store.write(move |database| {
            unwritten.map(|is_made| table::end(database, &row.record, is_made)).transpose()?;
            table::begin(database, &row, lifetime)
        });
        let found = found.await.inspect_err(|_| {
            self.unwritten().extend(unwritten.map(|is_made| (record.clone(), is_made)));
        });
        match found.map_err(internal)? {
            Found::Inserted => Ok(Begin::New(record)),
            Found::Done(id) => Ok(Begin::Replay(id)),
            Found::Pending => {
                let detail = "the first request with this Idempotency-Key is still being accepted";
                Err(Refusal::new(StatusCode::CONFLICT, detail)
                    .retry_after(RETRY_AFTER_SECONDS)
                    .into())
            }
            Found::Other => {
                let detail = "this Idempotency-Key was used with another request; make a new one";
                Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, detail).into())
            }
        }
    }

    /// What the record plans was made.
    pub async fn complete(&self, record: Record) {
        self.end(record, true).await;
    }

    /// Nothing was made: the key can be used again.
    pub async fn forget(&self, record: Record) {
        self.end(record, false).await;
    }

    async fn end(&self, record: Record, is_made: bool) {
        let ended = record.clone();
        let write = self.store.write(move |database| table::end(database, &ended, is_made));
        if let Err(error) = write.await {
            tracing::warn!(%error, is_made, "the end of an idempotency key waits to be written");
            self.unwritten().insert(record, is_made);
        }
    }

    fn unwritten(&self) -> MutexGuard<'_, HashMap<Record, bool>> {
        // No code panics while it holds the lock.
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides about records that a crash has left: what they plan was either accepted or not.
    ///
    /// # Errors
    ///
    /// When the database cannot be written.
    pub async fn recover(&self) -> Result<(), StoreError> {
        self.store.write(table::recover).await
    }

    /// Removes old records in the background, until `stop` is cancelled.
    pub async fn purge_in_background(self: Arc<Self>, stop: CancellationToken) {
        loop {
            if let Err(error) = self.purge().await {
                tracing::warn!(%error, "old idempotency keys were not removed");
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PURGE_INTERVAL) => {}
            }
        }
    }

    /// Removes old records in small steps, so that no other write waits for long. Ends that wait are written first.
    async fn purge(&self) -> Result<(), StoreError> {
        let unwritten = std::mem::take(&mut *self.unwritten());
        for (record, is_made) in unwritten {
            self.end(record, is_made).await;
        }
        let oldest = Timestamp::now() - self.lifetime;
        loop {
            let step = move |database: &_| table::purge(database, oldest, PURGE_STEP);
            if self.store.write(step).await? < PURGE_STEP as usize {
                return Ok(());
            }
        }
    }
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> EvaluationsError {
    EvaluationsError::Internal(Box::new(error))
}

#[cfg(test)]
mod tests;
