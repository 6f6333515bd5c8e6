//! What waits for replies of the engine host, in the API process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::component::SelfTestResult;
use shared::{Stream, Verdict};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::protocol::Reply;
use super::remote_sandboxes::SandboxCalls;
use super::warm::WarmSandboxes;

/// What waits for replies.
#[derive(Default)]
pub(super) struct Calls {
    /// Ties the two maps to `lost`: what registers after the end of the connection is refused, and
    /// what registered before is woken by it.
    pub(super) state: Mutex<State>,
    /// What the host has counted last.
    pub(super) warm: WarmSandboxes,
    /// Kept sandboxes.
    pub(super) sandboxes: Arc<SandboxCalls>,
    /// Cancelled when the connection has ended.
    pub(super) lost: CancellationToken,
    /// Cancelled before that, if the engine was not closed.
    pub(super) host_gone: CancellationToken,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) lost: bool,
    pub(super) runs: HashMap<Uuid, (mpsc::UnboundedSender<RunReply>, OwnedSemaphorePermit)>,
    pub(super) checks: HashMap<u64, (oneshot::Sender<SelfTestResult>, OwnedSemaphorePermit)>,
    pub(super) last_call: u64,
}

impl State {
    fn send(&self, id: Uuid, reply: RunReply) {
        if let Some((run, _)) = self.runs.get(&id) {
            run.send(reply).ok(); // its future may be dropped
        }
    }
}

/// A frame about one run.
pub(super) enum RunReply {
    Output(Stream, Vec<u8>),
    File(Option<Vec<u8>>, Vec<u8>),
    Ended(Box<Verdict>, [u64; 2]),
}

impl Calls {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn receive(&self, reply: Reply) {
        let mut state = self.state();
        match reply {
            Reply::Output { id, stream, bytes } => {
                state.send(id, RunReply::Output(stream, bytes));
            }
            Reply::File { id, path, bytes } => {
                state.send(id, RunReply::File(path.map(|path| path.0), bytes));
            }
            Reply::Ended { id, verdict, excess_bytes } => {
                if let Some((run, _)) = state.runs.remove(&id) {
                    run.send(RunReply::Ended(verdict, excess_bytes)).ok(); // likewise
                }
            }
            Reply::Checked { call, result } => {
                if let Some((check, _)) = state.checks.remove(&call) {
                    check.send(result).ok(); // likewise
                }
            }
            Reply::Warm { sandboxes } => self.warm.set(sandboxes),
            Reply::NotOpened { id, error } => self.sandboxes.not_opened(id, error),
            Reply::Gone { id, reason } => self.sandboxes.gone(id, reason),
            Reply::Ready { .. } | Reply::Closed {} => {}
        }
    }

    /// Wakes everything that waits.
    pub(super) fn lose(&self) {
        let mut state = self.state();
        state.lost = true;
        state.runs.clear();
        state.checks.clear();
        drop(state);
        self.sandboxes.lose();
        self.lost.cancel();
    }
}
