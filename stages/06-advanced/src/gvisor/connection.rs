//! The host's end of a sandbox's socket: frames in both directions for the sandbox's one execution.
//!
//! The supervisor is treated as an attacker's. What arrives is decoded with bounds, checked against
//! the state of the execution, and typed; a caller waits for it with a deadline of its own. Memory:
//! at most one frame of input, and the output of one window.
//!
//! Attack: a program breaks out of its user inside the sandbox, replaces the supervisor and sends
//! whatever it likes -> a frame that is malformed or illegal now is a [`ConnectionError`], which
//! ends the sandbox -> test `a_supervisor_that_lies_ends_its_sandbox`.

#[cfg(test)]
mod tests;

use std::io;
use std::num::NonZeroU32;

use tokio::io::Interest;
use tokio::net::UnixStream;

use crate::protocol::MAX_PAYLOAD_BYTES;
use crate::protocol::frame::{
    Command, DecodeError, ExecutionId, Exit, HostFrame, OutputStream, SupervisorFrame,
};
use crate::protocol::session::{HostSession, IllegalFrame};

/// The id of the one execution of a sandbox.
pub(super) const EXECUTION: ExecutionId = NonZeroU32::MIN;
/// How much is read from the socket at once.
const READ_BYTES: usize = 128 << 10;

/// Why no further frame comes.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    /// The supervisor has closed the socket: the sandbox has ended.
    #[error("the sandbox closed its socket")]
    Closed,
    /// The socket failed.
    #[error("the sandbox's socket failed")]
    Io(#[from] io::Error),
    /// What arrived is no frame.
    #[error("the supervisor sent {0}")]
    Decode(DecodeError),
    /// A frame arrived that is not legal now.
    #[error("the supervisor sent {0}")]
    Illegal(IllegalFrame),
}

/// What a supervisor reports.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The execution's first process was started.
    Started,
    /// It was not, for this reason.
    StartFailed { errno: u32 },
    /// A chunk of output.
    Output { stream: OutputStream, bytes: Vec<u8> },
    /// The execution has ended, and all of its output has arrived.
    Exited(Exit),
    /// A file that it has left begins.
    File { path: Vec<u8> },
    /// More of that file.
    FileChunk { bytes: Vec<u8> },
    /// All files have arrived, but for so many.
    Collected { skipped: u32 },
}

/// A socket to a supervisor.
pub(super) struct Connection {
    socket: UnixStream,
    session: HostSession,
    /// Read and not decoded yet, from `decoded` on.
    incoming: Vec<u8>,
    decoded: usize,
    /// Encoded and not written yet.
    outgoing: Vec<u8>,
    /// Standard input that is not encoded yet, from `encoded` on: it waits for the window.
    stdin: Vec<u8>,
    encoded: usize,
    stdin_is_complete: bool,
    /// Whether the execution has left files, by its end.
    has_files: bool,
}

impl Connection {
    pub(super) fn new(socket: UnixStream) -> Self {
        Self {
            socket,
            session: HostSession::default(),
            incoming: Vec::new(),
            decoded: 0,
            outgoing: Vec::new(),
            stdin: Vec::new(),
            encoded: 0,
            stdin_is_complete: false,
            has_files: false,
        }
    }

    /// Requests the execution of `command`. It is sent by [`Self::next`].
    pub(super) fn start(&mut self, command: Command) {
        HostFrame::Start { execution: EXECUTION, command }.encode(&mut self.outgoing);
        self.session.request(EXECUTION);
    }

    /// Gives the execution its whole standard input, and the sandbox its lifetime. As much as the
    /// socket takes is sent now, the rest by [`Self::next`].
    pub(super) fn deliver(
        &mut self,
        stdin: Vec<u8>,
        lifetime_seconds: u32,
    ) -> Result<(), ConnectionError> {
        HostFrame::Lifetime { seconds: lifetime_seconds }.encode(&mut self.outgoing);
        (self.stdin, self.encoded, self.stdin_is_complete) = (stdin, 0, false);
        self.encode_stdin()?;
        self.try_write();
        Ok(())
    }

    /// Ends the execution, if it runs: true then, and its end is an event to come. It is sent by
    /// [`Self::next`].
    pub(super) fn kill(&mut self) -> bool {
        let is_running = self.session.is_running(EXECUTION);
        if is_running {
            HostFrame::Kill { execution: EXECUTION }.encode(&mut self.outgoing);
        }
        is_running
    }

    /// Whether the execution, which has ended, has left files to collect.
    pub(super) fn has_files(&self) -> bool {
        self.has_files
    }

    /// Requests the files that the execution has left. It is sent by [`Self::next`].
    pub(super) fn collect(&mut self) {
        HostFrame::Collect { execution: EXECUTION }.encode(&mut self.outgoing);
        self.session.collect(EXECUTION);
    }

    /// Whether the supervisor waits for its program: it is there, and sends nothing.
    pub(super) fn is_idle(&self) -> bool {
        let read = self.socket.try_read(&mut [0]);
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    // ANCHOR: next
    /// The next event. Sends at the same time what is to be sent. Everything that was returned
    /// before counts as consumed, so that the supervisor may send as much again.
    ///
    /// Cancel safe: no byte is lost when the future is dropped.
    pub(super) async fn next(&mut self) -> Result<Event, ConnectionError> {
        for stream in [OutputStream::Stdout, OutputStream::Stderr] {
            if let Some(window) = self.session.reopen(EXECUTION, stream) {
                window.encode(&mut self.outgoing);
            }
        }
        loop {
            if let Some(event) = self.decode()? {
                return Ok(event);
            }
            let interest = match self.outgoing.as_slice() {
                [] => Interest::READABLE,
                _ => Interest::READABLE | Interest::WRITABLE,
            };
            let ready = self.socket.ready(interest).await?;
            if ready.is_writable() {
                self.try_write();
            }
            if ready.is_readable() {
                self.try_read()?;
            }
        }
    }
    // ANCHOR_END: next

    /// The first event among the frames that have arrived.
    fn decode(&mut self) -> Result<Option<Event>, ConnectionError> {
        loop {
            let decoded = SupervisorFrame::decode(&self.incoming[self.decoded..]);
            let Some((frame, length)) = decoded.map_err(ConnectionError::Decode)? else {
                self.incoming.drain(..self.decoded);
                self.decoded = 0;
                return Ok(None);
            };
            self.decoded += length;
            self.session.receive(&frame).map_err(ConnectionError::Illegal)?;
            return Ok(Some(match frame {
                SupervisorFrame::Hello { .. } => continue,
                SupervisorFrame::StdinWindow { .. } => {
                    self.encode_stdin()?;
                    continue;
                }
                SupervisorFrame::Started { .. } => Event::Started,
                SupervisorFrame::StartFailed { errno, .. } => Event::StartFailed { errno },
                SupervisorFrame::Output { stream, bytes, .. } => Event::Output { stream, bytes },
                SupervisorFrame::Exited { exit, has_files, .. } => {
                    self.has_files = has_files;
                    Event::Exited(exit)
                }
                SupervisorFrame::File { path, .. } => Event::File { path },
                SupervisorFrame::FileChunk { bytes, .. } => Event::FileChunk { bytes },
                SupervisorFrame::Collected { skipped, .. } => Event::Collected { skipped },
            }));
        }
    }

    /// Encodes as much standard input as the window allows.
    fn encode_stdin(&mut self) -> Result<(), ConnectionError> {
        while self.encoded < self.stdin.len() {
            let left = self.stdin.len() - self.encoded;
            let credit = self.session.stdin_credit(EXECUTION);
            let length = left.min(credit).min(MAX_PAYLOAD_BYTES);
            if length == 0 {
                return Ok(());
            }
            self.session.sent_stdin(EXECUTION, length).map_err(ConnectionError::Illegal)?;
            let bytes = self.stdin[self.encoded..self.encoded + length].to_vec();
            self.encoded += length;
            HostFrame::Stdin { execution: EXECUTION, bytes }.encode(&mut self.outgoing);
        }
        if !std::mem::replace(&mut self.stdin_is_complete, true) {
            self.stdin = Vec::new();
            self.encoded = 0;
            HostFrame::StdinEof { execution: EXECUTION }.encode(&mut self.outgoing);
        }
        Ok(())
    }

    fn try_write(&mut self) {
        match self.socket.try_write(&self.outgoing) {
            Ok(length) => drop(self.outgoing.drain(..length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // The supervisor is gone. What it sent before is still to be read, and then the end.
            Err(_) => self.outgoing.clear(),
        }
    }

    fn try_read(&mut self) -> Result<(), ConnectionError> {
        self.incoming.reserve(READ_BYTES);
        match self.socket.try_read_buf(&mut self.incoming) {
            Ok(0) => Err(ConnectionError::Closed),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                Err(ConnectionError::Closed)
            }
            Err(error) => Err(error.into()),
        }
    }
}
