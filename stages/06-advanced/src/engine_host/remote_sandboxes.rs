//! Kept sandboxes of the engine host, as the API process sees them.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::BoxFuture;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::api_socket::receive_descriptor;
use super::protocol::{self, MAX_REQUEST_BYTES, Request};
use crate::sandboxes::{EndReason, Ends, OpenError, SandboxEngine, SandboxOrder, SandboxSupport};

type Opening = oneshot::Sender<Result<UnixStream, OpenError>>;
type Opened = oneshot::Receiver<Result<UnixStream, OpenError>>;

/// What waits for sandboxes.
#[derive(Default)]
pub(super) struct SandboxCalls {
    /// Those that are being opened. `ends` has a place for each of them as well.
    opening: Mutex<HashMap<Uuid, Opening>>,
    ends: Ends,
}

impl SandboxCalls {
    fn opening(&self) -> MutexGuard<'_, HashMap<Uuid, Opening>> {
        // No code panics while it holds the lock.
        self.opening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve(&self, id: Uuid, max: usize) -> Result<Opened, OpenError> {
        let (sender, opened) = oneshot::channel();
        // Both under one lock, so that the end of the connection finds both.
        let mut opening = self.opening();
        self.ends.reserve(id, max)?;
        opening.insert(id, sender);
        Ok(opened)
    }

    fn opened(&self, id: Uuid, result: Result<UnixStream, OpenError>) {
        if let Some(opening) = self.opening().remove(&id) {
            // Its future may be dropped: then so is the socket, and its sandbox ends.
            opening.send(result).ok();
        }
    }

    pub(super) fn not_opened(&self, id: Uuid, error: OpenError) {
        self.opened(id, Err(error));
        self.ends.finish(id, EndReason::Removed);
    }

    pub(super) fn gone(&self, id: Uuid, reason: EndReason) {
        // It may have ended before its socket was received.
        let error = OpenError::Failed { reason: "it ended at once".to_owned() };
        self.opened(id, Err(error));
        self.ends.finish(id, reason);
    }

    /// The connection has ended, and all sandboxes with it.
    pub(super) fn lose(&self) {
        self.ends.close();
        self.opening().clear();
        self.ends.finish_all(EndReason::EngineClosed);
    }
}

/// Opens sandboxes in the engine host.
pub(super) struct RemoteSandboxes {
    support: SandboxSupport,
    requests: mpsc::UnboundedSender<Vec<u8>>,
    calls: Arc<SandboxCalls>,
}

impl RemoteSandboxes {
    /// Receives the sockets of sandboxes until the connection ends.
    pub(super) fn new(
        support: SandboxSupport,
        descriptors: UnixStream,
        requests: mpsc::UnboundedSender<Vec<u8>>,
        calls: Arc<SandboxCalls>,
    ) -> Self {
        tokio::spawn(receive(descriptors, Arc::clone(&calls)));
        Self { support, requests, calls }
    }

    fn send(&self, request: &Request) {
        if let Ok(frame) = protocol::encode(request, MAX_REQUEST_BYTES) {
            self.requests.send(frame).ok(); // the connection has ended: the reader wakes the call
        }
    }

    async fn open(&self, order: SandboxOrder) -> Result<UnixStream, OpenError> {
        let id = order.id;
        order.check(&self.support.environments)?;
        let opened = self.calls.reserve(id, self.support.max_sandboxes)?;
        let remove_on_drop = RemoveOnDrop { sandboxes: self, id };
        self.send(&Request::Open { order });
        let result = opened.await.unwrap_or(Err(OpenError::Closed {}));
        if result.is_ok() {
            std::mem::forget(remove_on_drop);
        }
        result
    }

    fn request_removal(&self, id: Uuid) -> bool {
        let exists = self.calls.ends.request_removal(id);
        if exists {
            self.send(&Request::Remove { id });
        }
        exists
    }
}

/// Removes a sandbox whose future is dropped before it is open.
struct RemoveOnDrop<'a> {
    sandboxes: &'a RemoteSandboxes,
    id: Uuid,
}

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        self.sandboxes.request_removal(self.id);
    }
}

/// Its future fails, which removes the sandbox.
fn not_received(error: &io::Error) -> OpenError {
    tracing::error!(%error, "the socket of a sandbox cannot be received");
    OpenError::Failed { reason: "its socket cannot be received".to_owned() }
}

async fn receive(descriptors: UnixStream, calls: Arc<SandboxCalls>) {
    loop {
        match receive_descriptor(&descriptors).await {
            Ok(Some((id, socket))) => {
                calls.opened(id, socket.map_err(|error| not_received(&error)));
            }
            Ok(None) => return,
            Err(error) => {
                // No more of them can be opened: each will be removed by its time-out.
                tracing::error!(%error, "the sockets of sandboxes cannot be received");
                return;
            }
        }
    }
}

impl SandboxEngine for RemoteSandboxes {
    fn support(&self) -> SandboxSupport {
        self.support.clone()
    }

    fn open(&self, order: SandboxOrder) -> BoxFuture<'_, Result<UnixStream, OpenError>> {
        Box::pin(self.open(order))
    }

    fn remove(&self, id: Uuid) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.request_removal(id) {
                self.calls.ends.wait(id).await;
            }
        })
    }

    fn ended(&self, id: Uuid) -> BoxFuture<'_, EndReason> {
        Box::pin(self.calls.ends.wait(id))
    }
}
