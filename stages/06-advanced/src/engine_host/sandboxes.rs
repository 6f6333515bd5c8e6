//! Kept sandboxes, as a connection of the engine host opens and removes them.
//!
//! One task for each sandbox opens it, sends its socket to the API process, waits for its end and reports that. No
//! byte of an execution passes here.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::api_socket::send_descriptor;
use super::protocol::Reply;
use crate::sandboxes::{EndReason, OpenError, SandboxEngine, SandboxOrder};

/// The sandboxes of one connection.
pub(super) struct ConnectionSandboxes {
    engine: Arc<dyn SandboxEngine>,
    descriptors: Arc<UnixStream>,
    /// Those that have not ended, and whether they are being removed. An entry is removed before the sandbox's last
    /// frame is sent, with a place in the channel, so that their number is bounded while the API process does not read.
    known: Arc<Mutex<HashMap<Uuid, bool>>>,
    replies: mpsc::Sender<Reply>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl ConnectionSandboxes {
    /// None without an engine, or without a socket for descriptors.
    pub(super) fn new(
        engine: Option<Arc<dyn SandboxEngine>>,
        descriptors: Option<UnixStream>,
        replies: mpsc::Sender<Reply>,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Option<Self> {
        let descriptors = Arc::new(descriptors?);
        let known = Arc::default();
        Some(Self { engine: engine?, descriptors, known, replies, tasks, stop })
    }

    pub(super) async fn open(&self, order: SandboxOrder) -> Result<(), &'static str> {
        let engine = Arc::clone(&self.engine);
        let (id, max) = (order.id, engine.support().max_sandboxes);
        let is_full = {
            let mut known = lock(&self.known);
            if known.contains_key(&id) {
                return Err("a sandbox with the id of another");
            }
            let is_full = known.len() >= max;
            if !is_full {
                known.insert(id, false);
            }
            is_full
        };
        if is_full {
            // The frames behind this one wait, as long as the API process does not read.
            let error = OpenError::Full { max };
            self.replies.send(Reply::NotOpened { id, error }).await.ok();
            return Ok(());
        }
        let sandbox = OneSandbox {
            id,
            engine,
            descriptors: Arc::clone(&self.descriptors),
            known: Arc::clone(&self.known),
            replies: self.replies.clone(),
            stop: self.stop.clone(),
        };
        self.tasks.spawn(sandbox.live(order));
        Ok(())
    }

    pub(super) async fn remove(&self, id: Uuid) {
        let engine = Arc::clone(&self.engine);
        let was_removing =
            lock(&self.known).get_mut(&id).map(|removing| std::mem::replace(removing, true));
        match was_removing {
            // Its task reports the end.
            Some(false) => drop(self.tasks.spawn(async move { engine.remove(id).await })),
            Some(true) => {}
            None => {
                let reason = EndReason::Removed;
                self.replies.send(Reply::Gone { id, reason }).await.ok(); // the connection has ended
            }
        }
    }
}

/// What the task of one sandbox has.
struct OneSandbox {
    id: Uuid,
    engine: Arc<dyn SandboxEngine>,
    descriptors: Arc<UnixStream>,
    known: Arc<Mutex<HashMap<Uuid, bool>>>,
    replies: mpsc::Sender<Reply>,
    stop: CancellationToken,
}

impl OneSandbox {
    // ANCHOR: live
    async fn live(self, order: SandboxOrder) {
        let id = self.id;
        let opened = match self.stop.run_until_cancelled(self.engine.open(order)).await {
            Some(Ok(socket)) => socket,
            Some(Err(error)) => return self.report(Reply::NotOpened { id, error }).await,
            None => return,
        };
        let sent = send_descriptor(&self.descriptors, id, opened.as_fd()).await;
        // The API process has the only end from here on: when that is closed, the sandbox ends itself.
        drop(opened);
        if let Err(error) = sent {
            tracing::error!(%id, %error, "the API process does not take the socket of a sandbox");
            self.engine.remove(id).await;
        }
        let Some(reason) = self.stop.run_until_cancelled(self.engine.ended(id)).await else {
            // The API process is gone, and all its sandboxes end with it.
            return self.engine.remove(id).await;
        };
        self.report(Reply::Gone { id, reason }).await;
    }
    // ANCHOR_END: live

    async fn report(&self, last: Reply) {
        let place = self.replies.reserve();
        let Some(Ok(place)) = self.stop.run_until_cancelled(place).await else { return };
        lock(&self.known).remove(&self.id);
        place.send(last);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
