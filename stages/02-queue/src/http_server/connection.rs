//! What a connection waits for: the server, or the client.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Bytes that a client takes before its deadline starts anew. With fewer, a client that reads one byte
/// now and then would never miss it.
pub(super) const MIN_PROGRESS_BYTES: usize = 16 << 10;

/// What happens on one connection. The stream and the requests record it, the accept loop reads it.
pub(super) struct Activity(Mutex<State>);

struct State {
    /// Requests whose response has not been produced whole.
    requests: usize,
    /// Since when there is no such request.
    idle_since: Instant,
    /// Since when bytes wait for the client, if they do.
    unsent_since: Option<Instant>,
    /// Bytes that it has taken since then.
    taken: usize,
}

/// A request whose response has not been produced whole.
pub(super) struct RequestGuard(Arc<Activity>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests -= 1;
        state.idle_since = Instant::now();
    }
}

impl Default for Activity {
    fn default() -> Self {
        let idle_since = Instant::now();
        Self(Mutex::new(State { requests: 0, idle_since, unsent_since: None, taken: 0 }))
    }
}

impl Activity {
    /// Counts a request until the guard is dropped.
    pub(super) fn request(activity: &Arc<Self>) -> RequestGuard {
        activity.state().requests += 1;
        RequestGuard(Arc::clone(activity))
    }

    /// How long bytes have been waiting for the client.
    pub(super) fn unsent(&self) -> Duration {
        self.state().unsent_since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// How long the server has been waiting for the client: to take bytes, or to request something.
    pub(super) fn stalled(&self) -> Duration {
        let state = self.state();
        let idle = (state.requests == 0).then_some(state.idle_since);
        state.unsent_since.or(idle).map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn written(&self, written: &Poll<io::Result<usize>>) {
        let mut state = self.state();
        match written {
            Poll::Pending if state.unsent_since.is_none() => {
                (state.unsent_since, state.taken) = (Some(Instant::now()), 0);
            }
            Poll::Ready(Ok(bytes)) => {
                state.taken += bytes;
                if state.taken >= MIN_PROGRESS_BYTES {
                    state.unsent_since = None;
                }
            }
            _ => {}
        }
    }

    /// Nothing is left to send.
    fn flushed(&self) {
        self.state().unsent_since = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket that records when its client takes nothing.
pub struct TrackedStream {
    socket: TcpStream,
    activity: Arc<Activity>,
}

impl TrackedStream {
    pub(super) fn new(socket: TcpStream, activity: Arc<Activity>) -> Self {
        Self { socket, activity }
    }
}

impl AsyncRead for TrackedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for TrackedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.activity.written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.activity.written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// hyper flushes when its own buffer is empty.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(context);
        if flushed.is_ready() {
            self.activity.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
