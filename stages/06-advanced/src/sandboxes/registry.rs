//! The sandboxes that are open on one engine: their number, their lifetimes and their ends, whatever they are made of.
//!
//! One task for each sandbox owns it, from the moment it is open until nothing of it is left. It waits for the first
//! of four things: the sandbox ends, it is removed, it has existed too long, the engine is closed.

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{RecvFlags, recv};
use shared::BoxFuture;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::ends::Ends;
use super::{EndReason, OpenError, SandboxEngine, SandboxOrder, SandboxSupport};

/// Starts sandboxes of one kind.
pub(crate) trait Opener: Send + Sync + 'static {
    /// What can be opened.
    fn support(&self) -> SandboxSupport;

    /// Starts a sandbox for an order that was checked. Cancel safe: what it has started is removed.
    fn open<'a>(&'a self, order: &'a SandboxOrder) -> BoxFuture<'a, Result<Opened, OpenError>>;

    /// How many wait to be opened, by their environments.
    fn waiting(&self) -> Vec<(String, usize)> {
        Vec::new()
    }

    /// Ends what was not opened yet. No sandbox is open any more.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// A sandbox that was started.
pub(crate) struct Opened {
    /// The host's end of its socket.
    pub(crate) socket: UnixStream,
    /// The rest of it.
    pub(crate) sandbox: Box<dyn OpenSandbox>,
}

/// A sandbox that exists on the machine, without its socket. It is removed when this is dropped.
pub(crate) trait OpenSandbox: Send {
    /// Waits until it has ended by itself. Cancel safe.
    fn ended(&mut self) -> BoxFuture<'_, EndReason>;

    /// Ends it, and removes all of it before this returns.
    fn remove(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Waits for the first byte, without reading it. False, if there is none any more.
pub(crate) async fn wait_for_frame(socket: &UnixStream) -> std::io::Result<bool> {
    let peek = || {
        let mut byte = [0; 1];
        let (bytes, _) = recv(socket.as_fd(), &mut byte, RecvFlags::PEEK)?;
        Ok(bytes > 0)
    };
    socket.async_io(Interest::READABLE, peek).await
}

/// All sandboxes that one [`Opener`] has started.
pub(crate) struct Registry {
    opener: Box<dyn Opener>,
    support: SandboxSupport,
    ends: Arc<Ends>,
    /// Ends all sandboxes.
    closing: CancellationToken,
    tasks: TaskTracker,
}

/// A place among the sandboxes. It is free again when this is dropped.
struct Place {
    id: Uuid,
    ends: Arc<Ends>,
    remove: CancellationToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        // After an end with another reason this changes nothing.
        self.ends.finish(self.id, EndReason::Removed);
    }
}

impl Registry {
    /// Sandboxes that `opener` starts.
    pub(crate) fn new(opener: impl Opener) -> Arc<Self> {
        Arc::new(Self {
            support: opener.support(),
            opener: Box::new(opener),
            ends: Arc::default(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    // ANCHOR: open
    async fn open(&self, order: SandboxOrder) -> Result<UnixStream, OpenError> {
        order.check(&self.support.environments)?;
        let (id, ends) = (order.id, Arc::clone(&self.ends));
        let remove = self.ends.reserve(id, self.support.max_sandboxes)?;
        let place = Place { id, ends, remove };
        // The close waits for what is being started as well.
        let token = self.tasks.token();
        let opened = tokio::select! {
            opened = self.opener.open(&order) => opened?,
            () = place.remove.cancelled() => return Err(OpenError::Closed {}),
            () = self.closing.cancelled() => return Err(OpenError::Closed {}),
        };
        let lifetime = Duration::from_secs(self.support.max_lifetime_seconds);
        let owner = own(opened.sandbox, place, lifetime, self.closing.clone());
        self.tasks.spawn(owner);
        drop(token);
        Ok(opened.socket)
    }
    // ANCHOR_END: open

    /// How many wait to be opened, by their environments.
    pub(crate) fn waiting(&self) -> Vec<(String, usize)> {
        self.opener.waiting()
    }

    /// Refuses new sandboxes, and removes those that exist.
    pub(crate) async fn close(&self) {
        self.ends.close();
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.opener.close().await;
    }
}

/// Owns a sandbox that is open.
async fn own(
    mut sandbox: Box<dyn OpenSandbox>,
    place: Place,
    lifetime: Duration,
    closing: CancellationToken,
) {
    let reason = tokio::select! {
        biased;
        () = place.remove.cancelled() => EndReason::Removed,
        reason = sandbox.ended() => reason,
        () = closing.cancelled() => EndReason::EngineClosed,
        // Attack: a compromised API process keeps sandboxes for good -> each has an end that it cannot change.
        // Test: `a_sandbox_ends_by_each_of_its_reasons`.
        () = tokio::time::sleep(lifetime) => EndReason::LifetimeExceeded,
    };
    sandbox.remove().await;
    tracing::info!(sandbox = %place.id, ?reason, "sandbox ended");
    place.ends.finish(place.id, reason);
}

impl SandboxEngine for Registry {
    fn support(&self) -> SandboxSupport {
        self.support.clone()
    }

    fn open(&self, order: SandboxOrder) -> BoxFuture<'_, Result<UnixStream, OpenError>> {
        Box::pin(self.open(order))
    }

    fn remove(&self, id: Uuid) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.ends.request_removal(id) {
                self.ends.wait(id).await;
            }
        })
    }

    fn ended(&self, id: Uuid) -> BoxFuture<'_, EndReason> {
        Box::pin(self.ends.wait(id))
    }
}

#[cfg(test)]
mod tests;
