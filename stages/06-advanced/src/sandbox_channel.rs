//! The host's end of a sandbox that stays: many executions over the sandbox's one socket.
//!
//! ```text
//! SandboxChannel ── start(command) ──▶ Execution ── next() ──▶ Started, Output ..., Ended
//!       │                                  ├── input()    ──▶ write(), close()
//!       │ one task reads and writes        └── control()  ──▶ signal(), kill()
//!       ▼
//! exec supervisor, process 1 in the sandbox
//! ```
//!
//! The supervisor is treated as an attacker's, because a sandbox's program may be root inside. What
//! arrives is decoded with bounds, checked against the state of its execution, and typed; the first
//! illegal frame closes this channel and no other. The task waits for no consumer: what has arrived
//! and is not consumed yet is bounded by the windows, so that one execution whose output is not
//! read blocks no other.
//!
//! Memory of a channel: at most [`MAX_EXECUTIONS`] times two windows of output, one frame of input,
//! and the frames that are to be sent, which are bounded beside the command that is started last.
//!
//! What it does not protect: a supervisor that is silent is waited for. Every caller has a deadline
//! of its own, at which it stops to wait, and nothing that was not reported is taken for an end.

mod command;
mod entry;
mod error;
mod execution;
mod file_tool;
mod state;
mod task;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::task::AbortHandle;

pub use command::{SandboxCommand, SandboxDefaults};
pub use error::{ChannelError, InputError, StartError};
pub use execution::{
    Execution, ExecutionControl, ExecutionEvent, ExecutionExit, ExecutionInput, StartFailed,
    StartFailedKind,
};
pub use file_tool::{FileError, FileErrorKind, FileTool, errno_name};

use crate::exec_protocol::MAX_EXECUTIONS;
use crate::exec_protocol::frame::HostFrame;
use state::Shared;

/// The program that is process 1 of a sandbox that stays: static, for this machine's architecture.
/// Started with the sandbox's socket as its standard input, or as `exec_supervisor --stdio` with
/// frames on its standard input and output.
pub const EXEC_SUPERVISOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/exec_supervisor"));

/// A sandbox's socket, and the executions in the sandbox. The sandbox ends when this is dropped,
/// because its socket is closed.
#[derive(Debug)]
pub struct SandboxChannel {
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl SandboxChannel {
    /// Takes the host's end of a sandbox's socket. To be called in a Tokio runtime.
    pub fn new(socket: UnixStream, defaults: &SandboxDefaults) -> Self {
        let shared = Arc::new(Shared::new());
        shared.send(&HostFrame::Configure { bytes: defaults.encode() });
        let task = tokio::spawn(task::run(Arc::clone(&shared), socket)).abort_handle();
        Self { shared, task }
    }

    /// Waits until the supervisor has greeted. It is not needed before [`Self::start`].
    ///
    /// # Errors
    ///
    /// When the channel is closed.
    pub async fn ready(&self) -> Result<(), ChannelError> {
        self.shared.until(|state| state.is_greeted.then_some(())).await
    }

    /// Starts an execution. Waits while too many bytes are under way to the sandbox.
    ///
    /// Cancel safe: nothing is started when the future is dropped before it returns.
    ///
    /// # Errors
    ///
    /// When the command cannot be one, too many executions run, or the channel is closed.
    pub async fn start(&self, command: &SandboxCommand) -> Result<Execution, StartError> {
        let bytes = command.encode()?;
        let request = |state: &mut state::State| {
            state.has_space().then(|| {
                if state.running() >= MAX_EXECUTIONS { None } else { Some(state.request(&bytes)) }
            })
        };
        let requested = self.shared.until(request).await.map_err(StartError::Channel)?;
        let (id, changed) = requested.ok_or(StartError::TooMany { max: MAX_EXECUTIONS })?;
        self.shared.wake_task();
        Ok(Execution::new(Arc::clone(&self.shared), id, changed))
    }

    /// Executions that have not ended, those of dropped handles among them.
    pub fn running(&self) -> usize {
        self.shared.lock().running()
    }

    /// Makes the supervisor end the sandbox after `lifetime`, should the host not do it before. The
    /// latest one counts.
    pub fn set_lifetime(&self, lifetime: Duration) {
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        self.shared.send(&HostFrame::Lifetime { seconds });
    }

    /// Waits until the channel is closed: why it was.
    pub async fn closed(&self) -> ChannelError {
        let closed = self.shared.until(|_| None::<()>).await;
        closed.err().unwrap_or(ChannelError::Closed)
    }
}

impl Drop for SandboxChannel {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.close(ChannelError::Closed);
    }
}
