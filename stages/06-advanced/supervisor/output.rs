//! One output stream of the program: read from its pipe, sent to the host.
//!
//! Two threads read it: the relay while the program runs, and the one that reports the program's end,
//! which takes what is left in the pipe. They take turns. A turn goes from the read to the moment at
//! which the frame is sent, so that the bytes stay in order and none is under way between two turns.
//!
//! Guarantee: when [`Output::drain`] returns, everything that the program wrote before its end is
//! sent. The pipe itself says that it is empty; no clock is involved, and a relay that a busy machine
//! does not schedule delays nothing.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio};

use crate::execution::Shared;
use crate::protocol::MAX_PAYLOAD_BYTES;
use crate::protocol::frame::{ExecutionId, OutputStream, SupervisorFrame};

/// The most that a program can make a pipe hold. An orphan that writes on has its end here.
const MAX_PIPE_BYTES: usize = 1 << 20;
/// The parts of a line, and short lines that follow each other, are sent as one chunk: unless the
/// chunk before was at least as long as this, the relay pauses before it reads. The end of the
/// program waits for no pause.
const SHORT_CHUNK_BYTES: usize = 4 << 10;
const SHORT_CHUNK_PAUSE: Duration = Duration::from_millis(1);

/// What one turn has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// So many bytes were sent.
    Sent(usize),
    /// The pipe is empty, and a process has its other end.
    Empty,
    /// The pipe is empty, and no process has its other end.
    Ended,
}

/// The supervisor's end of one output stream.
pub(crate) struct Output {
    execution: ExecutionId,
    stream: OutputStream,
    /// Does not block. Locked for a turn.
    pipe: Mutex<File>,
    /// The same pipe, to wait for.
    readable: OwnedFd,
}

impl Output {
    pub(crate) fn new(
        execution: ExecutionId,
        stream: OutputStream,
        pipe: OwnedFd,
    ) -> io::Result<Self> {
        ioctl_fionbio(&pipe, true)?;
        let readable = pipe.try_clone()?;
        Ok(Self { execution, stream, pipe: Mutex::new(pipe.into()), readable })
    }

    /// Sends what the program writes, until the end of the pipe.
    pub(crate) fn relay(&self, shared: &Shared) -> io::Result<()> {
        let mut buffer = vec![0; MAX_PAYLOAD_BYTES];
        let mut is_short = true;
        loop {
            match poll(&mut [PollFd::new(&self.readable, PollFlags::IN)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            if is_short {
                std::thread::sleep(SHORT_CHUNK_PAUSE);
            }
            match self.turn(shared, &mut buffer)? {
                Turn::Sent(length) => is_short = length < SHORT_CHUNK_BYTES,
                Turn::Empty => {}
                Turn::Ended => return Ok(()),
            }
        }
    }

    /// Sends what is in the pipe now.
    pub(crate) fn drain(&self, shared: &Shared) -> io::Result<()> {
        let mut buffer = vec![0; MAX_PAYLOAD_BYTES];
        let mut sent = 0;
        while sent < MAX_PIPE_BYTES
            && let Turn::Sent(length) = self.turn(shared, &mut buffer)?
        {
            sent += length;
        }
        Ok(())
    }

    /// Reads once and sends what was read. Reads no more than the host's window allows, and waits
    /// for the window, so that a host that does not read makes the program wait.
    fn turn(&self, shared: &Shared, buffer: &mut [u8]) -> io::Result<Turn> {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        let credit = shared.wait_for_credit(self.stream).min(buffer.len());
        let length = loop {
            match pipe.read(&mut buffer[..credit]) {
                Ok(0) => return Ok(Turn::Ended),
                Ok(length) => break length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Turn::Empty),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        shared.send_output(self.stream, length)?;
        let (execution, stream) = (self.execution, self.stream);
        let bytes = buffer[..length].to_vec();
        shared.send(&SupervisorFrame::Output { execution, stream, bytes })?;
        Ok(Turn::Sent(length))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeWriter, Write as _, pipe};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::protocol::OUTPUT_WINDOW_BYTES;
    use crate::protocol::frame::{Exit, HostFrame};

    const EXECUTION: ExecutionId = ExecutionId::MIN;

    struct Case {
        shared: Arc<Shared>,
        output: Arc<Output>,
        program: PipeWriter,
        host: UnixStream,
        received: Vec<u8>,
    }

    impl Case {
        fn new() -> Self {
            let (host, supervisor) = UnixStream::pair().unwrap();
            let (reader, program) = pipe().unwrap();
            let output = Output::new(EXECUTION, OutputStream::Stdout, reader.into()).unwrap();
            let shared = Arc::new(Shared::new(supervisor));
            Self { shared, output: Arc::new(output), program, host, received: Vec::new() }
        }

        fn frame(&mut self) -> SupervisorFrame {
            loop {
                if let Some((frame, length)) = SupervisorFrame::decode(&self.received).unwrap() {
                    self.received.drain(..length);
                    return frame;
                }
                let mut chunk = [0; 4096];
                let length = self.host.read(&mut chunk).unwrap();
                assert!(length > 0, "the supervisor is gone");
                self.received.extend_from_slice(&chunk[..length]);
            }
        }

        /// All output before the end.
        fn output(&mut self) -> Vec<u8> {
            let mut output = Vec::new();
            loop {
                match self.frame() {
                    SupervisorFrame::Output { bytes, .. } => output.extend(bytes),
                    SupervisorFrame::Exited { .. } => return output,
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    fn exited() -> SupervisorFrame {
        SupervisorFrame::Exited { execution: EXECUTION, exit: Exit::Code(0), has_files: false }
    }

    /// A relay that is never scheduled, and an orphan that holds the pipe open.
    #[test]
    fn the_last_lines_are_sent_without_the_relay() {
        let mut case = Case::new();
        case.program.write_all(b"the last line\n").unwrap();
        case.output.drain(&case.shared).unwrap();
        case.shared.send(&exited()).unwrap();
        assert_eq!(case.output(), b"the last line\n");
        assert_eq!(case.output.turn(&case.shared, &mut [0; 8]).unwrap(), Turn::Empty);
        drop(case.program);
        assert_eq!(case.output.turn(&case.shared, &mut [0; 8]).unwrap(), Turn::Ended);
    }

    /// A relay that has a turn, and is not scheduled between its read and its send.
    #[test]
    fn the_end_waits_for_bytes_that_are_under_way() {
        let mut case = Case::new();
        case.program.write_all(b"first, second\n").unwrap();
        let mut turn = case.output.pipe.lock().unwrap();
        let mut first = [0; 7];
        turn.read_exact(&mut first).unwrap();
        let (sender, receiver) = channel();
        let (shared, output) = (Arc::clone(&case.shared), Arc::clone(&case.output));
        let end = std::thread::spawn(move || {
            sender.send(()).unwrap();
            output.drain(&shared).unwrap();
            shared.send(&exited()).unwrap();
        });
        receiver.recv().unwrap();
        let bytes = first.to_vec();
        let (execution, stream) = (EXECUTION, OutputStream::Stdout);
        case.shared.send(&SupervisorFrame::Output { execution, stream, bytes }).unwrap();
        drop(turn);
        end.join().unwrap();
        assert_eq!(case.output(), b"first, second\n");
    }

    #[test]
    fn what_is_left_waits_for_the_hosts_window() {
        let mut case = Case::new();
        let window = OUTPUT_WINDOW_BYTES as usize;
        let (shared, output) = (Arc::clone(&case.shared), Arc::clone(&case.output));
        let start = HostFrame::Start {
            execution: EXECUTION,
            command: crate::protocol::frame::Command {
                user: 0,
                argv: vec!["x".to_owned()],
                env: Vec::new(),
            },
        };
        shared.receive(&start).unwrap();
        let mut program = case.program.try_clone().unwrap();
        let relay = {
            let (shared, output) = (Arc::clone(&shared), Arc::clone(&output));
            std::thread::spawn(move || output.relay(&shared).unwrap())
        };
        let write = std::thread::spawn(move || program.write_all(&vec![b'x'; window + 10]));
        let mut received = 0;
        while received < window {
            let SupervisorFrame::Output { bytes, .. } = case.frame() else { panic!("no output") };
            received += bytes.len();
        }
        write.join().unwrap().unwrap();
        let end = std::thread::spawn(move || {
            output.drain(&shared).unwrap();
            shared.send(&exited()).unwrap();
        });
        let bytes = OUTPUT_WINDOW_BYTES;
        let stream = OutputStream::Stdout;
        let window = HostFrame::Window { execution: EXECUTION, stream, bytes };
        case.shared.receive(&window).unwrap();
        assert_eq!(case.output().len(), 10);
        end.join().unwrap();
        let Case { program, .. } = case;
        drop(program);
        relay.join().unwrap();
    }
}
