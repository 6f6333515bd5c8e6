//! Deletes what is beyond the limits of the storage when something was stored, and what is too old.
//!
//! Stage 09 looks into the database every second. Here an idle server does not.

use std::sync::Arc;
use std::time::Duration;

use shared::EventType;
use stage_03_monitoring::SubscribeError;
use stage_09_frontier::{SqliteStorage, StoreError};
use tokio::sync::Notify;

use crate::bus::{EventBus, Lag, Subscribe, Topic};

/// Between two deletions: what has just ended stays for a moment, however many follow it.
const MIN_INTERVAL: Duration = Duration::from_secs(1);
/// Between two looks at what has become too old. No event says so.
const AGE_INTERVAL: Duration = Duration::from_mins(1);

/// Deletes from `storage` as long as the bus is there.
///
/// # Errors
///
/// When the event log cannot be read.
pub(crate) async fn attach(
    bus: &EventBus,
    storage: Arc<SqliteStorage>,
) -> Result<(), SubscribeError> {
    let topic = Topic::Type(EventType::StorageSaved);
    let how = Subscribe { lag: Lag::Wait, ..Subscribe::to("retention", topic) };
    let mut reader = bus.subscribe(how).await?;
    // Stores one permit, however many events there were: one look is enough for all of them.
    let saved = Arc::new(Notify::new());
    saved.notify_one(); // what the last start has left
    let deleting = tokio::spawn(delete(storage, Arc::clone(&saved)));
    tokio::spawn(async move {
        while reader.next().await.is_ok() {
            saved.notify_one();
        }
        deleting.abort();
    });
    Ok(())
}

async fn delete(storage: Arc<SqliteStorage>, saved: Arc<Notify>) {
    loop {
        tokio::select! {
            () = saved.notified() => {}
            () = tokio::time::sleep(AGE_INTERVAL), if storage.deletes_by_age() => {}
        }
        match storage.retain().await {
            Ok(()) => {}
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::error!(%error, "what is too old was not deleted; it is tried again");
                saved.notify_one();
            }
        }
        tokio::time::sleep(MIN_INTERVAL).await;
    }
}
