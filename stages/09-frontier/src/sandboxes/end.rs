//! The end of a sandbox: the first of a request, a deadline, and its own end.

use std::sync::Arc;
use std::time::Duration;

use stage_06_advanced::{EndReason as Reported, SandboxChannel};

use super::lease::Lease;
use super::state::{EndReason, Ended, now};
use super::{Sandboxes, table};

/// How long the engine may take to know why a sandbox has ended.
const REASON_TIMEOUT: Duration = Duration::from_secs(10);

impl Sandboxes {
    // ANCHOR: watch
    /// Waits for the end of a sandbox, in a task of its own.
    pub(super) async fn watch(self: Arc<Self>, lease: Arc<Lease>, channel: Arc<SandboxChannel>) {
        let reason = tokio::select! {
            reason = lease.deadline() => reason,
            error = channel.closed() => {
                tracing::info!(id = %lease.id, %error, "the channel of a sandbox is closed");
                self.reported(&lease).await
            }
        };
        drop(channel);
        self.end(&lease, reason).await;
    }
    // ANCHOR_END: watch

    /// Why a sandbox has ended whose channel is closed. One that only broke its channel still runs.
    async fn reported(&self, lease: &Lease) -> EndReason {
        let Some(engine) = &self.engine else { return EndReason::EngineError };
        match tokio::time::timeout(REASON_TIMEOUT, engine.ended(lease.id)).await {
            Ok(Reported::Removed) => EndReason::Removed,
            Ok(Reported::MemoryExceeded) => EndReason::MemoryExceeded,
            Ok(Reported::LifetimeExceeded) => EndReason::LifetimeExceeded,
            // The server stops; should its row not be written any more, the next start writes the same.
            Ok(Reported::EngineClosed) => EndReason::ServerRestarted,
            Ok(Reported::SandboxEnded) | Err(_) => EndReason::SandboxEnded,
        }
    }

    /// Removes a sandbox from the machine, then says that it has ended.
    pub(super) async fn end(&self, lease: &Arc<Lease>, reason: EndReason) {
        lease.end(reason);
        lease.gone.cancel();
        if let Some(engine) = &self.engine {
            engine.remove(lease.id).await;
        }
        let ended = Ended { at: now(), reason };
        let (mut record, id) = (lease.record().0, lease.id);
        record.ended = Some(ended);
        let stored = self.store.write(move |database| table::end(database, id, ended)).await;
        match stored {
            Ok(()) => {}
            // The next start writes the same.
            Err(error) if reason == EndReason::ServerRestarted => {
                tracing::info!(%id, %error, "the end of a sandbox is left to the next start");
            }
            Err(error) => tracing::error!(%id, %error, "the end of a sandbox was not stored"),
        }
        lease.has_ended(record);
        self.live().remove(&id);
        self.counters.closed();
        self.counters.ended(reason);
        tracing::info!(%id, reason = reason.as_str(), "sandbox ended");
    }
}
