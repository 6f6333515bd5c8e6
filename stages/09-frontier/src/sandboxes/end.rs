//! The end of a sandbox: the first of a request, a deadline, its own end, and that of the server.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::join_all;
use stage_06_advanced::{EndReason as Reported, SandboxChannel};

use super::lease::Lease;
use super::state::{EndReason, Ended, now};
use super::{Sandboxes, table};

/// How long the engine may take to know why a sandbox has ended.
const REASON_TIMEOUT: Duration = Duration::from_secs(10);
/// How long all sandboxes may take to end when the server stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often it is looked at whether the keys of sandboxes are valid still.
const KEY_INTERVAL: Duration = Duration::from_secs(10);

/// Ends the sandboxes of keys that are not valid any more, until there are no `sandboxes`.
///
/// Attack: a stolen key opens sandboxes and is revoked, and what runs in them goes on for a day → test
/// `a_revoked_key_has_no_sandboxes`.
pub(super) async fn end_with_keys(sandboxes: Weak<Sandboxes>) {
    loop {
        tokio::time::sleep(KEY_INTERVAL).await;
        let Some(sandboxes) = sandboxes.upgrade() else { return };
        let live: Vec<_> = sandboxes.live().values().cloned().collect();
        for lease in live {
            let owner = lease.record().0.owner;
            // One that was opened without a key ends by its own deadlines.
            if !owner.is_empty() && matches!(sandboxes.keys.is_active(&owner).await, Ok(false)) {
                tracing::info!(id = %lease.id, "the key of a sandbox is not valid any more");
                lease.end(EndReason::Removed);
            }
        }
    }
}

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
            // Its process is gone, and so this one stops: which of both is noticed first does not matter.
            Ok(Reported::EngineClosed) => EndReason::ServerStopped,
            Ok(Reported::SandboxEnded) | Err(_) => EndReason::SandboxEnded,
        }
    }

    // ANCHOR: close
    /// Ends all sandboxes while the database is open: when this returns, each end is stored with its reason. None is
    /// opened from here on.
    pub(crate) async fn close(&self) {
        let leases: Vec<_> = {
            let live = self.live();
            // Under the lock: what is not among these is not opened.
            self.closing.cancel();
            live.values().cloned().collect()
        };
        for lease in &leases {
            lease.end(EndReason::ServerStopped);
        }
        let ended = join_all(leases.iter().map(|lease| lease.ended()));
        if tokio::time::timeout(CLOSE_TIMEOUT, ended).await.is_err() {
            tracing::error!("sandboxes did not end in time; the next start says so");
        }
    }
    // ANCHOR_END: close

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
            Err(error) => tracing::error!(%id, %error, "the end of a sandbox was not stored"),
        }
        lease.has_ended(record);
        self.live().remove(&id);
        self.counters.closed();
        self.counters.ended(reason);
        tracing::info!(%id, reason = reason.as_str(), "sandbox ended");
    }
}
