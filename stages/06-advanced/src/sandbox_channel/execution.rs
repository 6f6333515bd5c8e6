//! The handles of one execution: its events, its input, and what ends it.

use std::sync::Arc;

use tokio::sync::Notify;

use shared::Stream;

use super::entry::{End, Taken};
use super::error::{ChannelError, InputError};
use super::state::Shared;
use crate::exec_protocol::frame::{ExecutionId, Exit, OutputStream, StartFailure};

/// What happens in an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecutionEvent {
    /// Its first process was started.
    Started {
        /// Inside the sandbox.
        pid: u32,
    },
    /// It was not: the last event.
    StartFailed(StartFailed),
    /// A chunk of output.
    Output {
        /// Which stream.
        stream: Stream,
        /// Never empty.
        bytes: Vec<u8>,
    },
    /// Its first process has ended, and all of its output has arrived: the last event.
    Ended(ExecutionExit),
}

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecutionExit {
    /// With an exit code.
    Code(u8),
    /// By a signal, from 1 to 64.
    Signal(u8),
}

/// Why an execution did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartFailed {
    /// What failed.
    pub kind: StartFailedKind,
    /// The number of the system's error; 0 when there was none. [`super::errno_name`] names it.
    pub errno: u32,
}

/// What failed when an execution did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartFailedKind {
    /// The program cannot be executed: `ENOENT`, `EACCES`, `ENOEXEC`, `E2BIG` and others.
    Program,
    /// The working directory cannot be entered.
    Cwd,
    /// The sandbox has no such user.
    UserUnknown,
    /// The sandbox executes nothing as this user.
    UserUnsupported,
    /// It was killed before it started.
    Killed,
    /// The sandbox lacks something: processes, descriptors, memory.
    Sandbox,
}

/// One execution. When this is dropped before the execution has ended, its whole tree is killed.
#[derive(Debug)]
pub struct Execution {
    control: ExecutionControl,
    changed: Arc<Notify>,
    /// Output that the caller has, which counts as consumed when it comes back.
    taken: Option<(OutputStream, u32)>,
    /// The stream that comes first next time.
    prefer: OutputStream,
}

/// What a running execution can be made to do; for any task.
#[derive(Debug, Clone)]
pub struct ExecutionControl {
    shared: Arc<Shared>,
    id: ExecutionId,
}

/// The standard input of an execution. It is not closed by being dropped.
#[derive(Debug)]
pub struct ExecutionInput {
    control: ExecutionControl,
    is_closed: bool,
}

impl Execution {
    pub(super) fn new(shared: Arc<Shared>, id: ExecutionId, changed: Arc<Notify>) -> Self {
        let control = ExecutionControl { shared, id };
        Self { control, changed, taken: None, prefer: OutputStream::Stdout }
    }

    // ANCHOR: next
    /// The next event; none after the last one. Output that was returned before counts as consumed,
    /// so that as much may come again.
    ///
    /// Cancel safe: no event is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// When the channel is closed, after everything that has arrived before.
    pub async fn next(&mut self) -> Result<Option<ExecutionEvent>, ChannelError> {
        let (shared, id) = (&self.control.shared, self.control.id);
        if let Some((stream, bytes)) = self.taken.take() {
            shared.lock().consumed(id, stream, bytes);
            shared.wake_task();
        }
        loop {
            let (taken, closed) = {
                let mut state = shared.lock();
                (state.take(id, self.prefer), state.closed())
            };
            match (taken, closed) {
                (Some(taken), _) => return Ok(self.event(taken)),
                (None, Some(closed)) => return Err(closed),
                (None, None) => self.changed.notified().await,
            }
        }
    }
    // ANCHOR_END: next

    fn event(&mut self, taken: Taken) -> Option<ExecutionEvent> {
        Some(match taken {
            Taken::Started(pid) => ExecutionEvent::Started { pid },
            Taken::Output(stream, bytes) => {
                self.taken = u32::try_from(bytes.len()).ok().map(|length| (stream, length));
                let (stream, other) = match stream {
                    OutputStream::Stdout => (Stream::Stdout, OutputStream::Stderr),
                    OutputStream::Stderr => (Stream::Stderr, OutputStream::Stdout),
                };
                self.prefer = other;
                ExecutionEvent::Output { stream, bytes }
            }
            Taken::Ended(End::Exited(exit)) => ExecutionEvent::Ended(exit.into()),
            Taken::Ended(End::StartFailed(failure, errno)) => {
                ExecutionEvent::StartFailed(StartFailed { kind: failure.into(), errno })
            }
            Taken::Nothing => return None,
        })
    }

    /// Its standard input. Input that is written before the start waits for it.
    pub fn input(&self) -> ExecutionInput {
        ExecutionInput { control: self.control.clone(), is_closed: false }
    }

    /// What can be made of it while another task waits for its events.
    pub fn control(&self) -> ExecutionControl {
        self.control.clone()
    }

    /// As [`ExecutionControl::signal`].
    ///
    /// # Errors
    ///
    /// When the channel is closed.
    pub async fn signal(&self, signal: u8, tree: bool) -> Result<bool, ChannelError> {
        self.control.signal(signal, tree).await
    }

    /// As [`ExecutionControl::kill`].
    pub fn kill(&self) {
        self.control.kill();
    }
}

impl Drop for Execution {
    fn drop(&mut self) {
        self.control.shared.lock().abandon(self.control.id);
        self.control.shared.wake_task();
    }
}

impl ExecutionControl {
    /// Sends a signal to the execution's first process, or to every process of its tree: false when
    /// it has ended. A signal that Linux does not have is not sent.
    ///
    /// # Errors
    ///
    /// When the channel is closed.
    pub async fn signal(&self, signal: u8, tree: bool) -> Result<bool, ChannelError> {
        if !(1..=64).contains(&signal) {
            return Ok(false);
        }
        let sent = self.shared.until(|state| state.signal(self.id, signal, tree)).await;
        self.shared.wake_task();
        sent
    }

    /// Ends every process of the execution, one that called `setsid` or whose parents have ended
    /// among them. Once the execution has ended, and as long as its [`Execution`] exists, this ends
    /// what it has left in the background. Its end is an event to come.
    pub fn kill(&self) {
        self.shared.lock().kill(self.id);
        self.shared.wake_task();
    }
}

impl ExecutionInput {
    /// Writes all of `bytes`, as fast as the program reads them. What is written to a program that
    /// has closed its input is discarded.
    ///
    /// # Errors
    ///
    /// When the execution has ended or the input is closed: so that not all was taken.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), InputError> {
        while !bytes.is_empty() {
            let length = self.write_some(bytes).await?;
            bytes = &bytes[length..];
        }
        Ok(())
    }

    /// Writes some of `bytes`, and returns how many: at least one.
    ///
    /// Cancel safe: nothing is written when the future is dropped before it returns.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub async fn write_some(&mut self, bytes: &[u8]) -> Result<usize, InputError> {
        if self.is_closed {
            return Err(InputError::Closed);
        }
        let ExecutionControl { shared, id } = &self.control;
        let written = shared.until(|state| match state.send_input(*id, bytes) {
            Ok(0) if !bytes.is_empty() => None,
            written => Some(written),
        });
        let written = written.await.map_err(InputError::Channel)??;
        shared.wake_task();
        Ok(written)
    }

    /// Ends the input: the program reads the end of the file.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.control.shared.lock().close_input(self.control.id);
        self.control.shared.wake_task();
    }
}

impl From<Exit> for ExecutionExit {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Code(code) => Self::Code(code),
            Exit::Signal(signal) => Self::Signal(signal),
        }
    }
}

impl From<StartFailure> for StartFailedKind {
    fn from(failure: StartFailure) -> Self {
        match failure {
            StartFailure::Program => Self::Program,
            StartFailure::Cwd => Self::Cwd,
            StartFailure::UserUnknown => Self::UserUnknown,
            StartFailure::UserUnsupported => Self::UserUnsupported,
            StartFailure::Killed => Self::Killed,
            StartFailure::Supervisor => Self::Sandbox,
        }
    }
}
