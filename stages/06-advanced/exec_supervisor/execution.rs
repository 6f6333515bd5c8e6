//! One execution, as the event loop has it: its pipes, its windows and its end. Nothing blocks.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::io::{ioctl_fionbio, ioctl_fionread};
use rustix::process::Pid;

use crate::host::Host;
use crate::protocol::frame::{ExecutionId, Exit, OutputStream, SupervisorFrame};
use crate::protocol::{MAX_PAYLOAD_BYTES, OUTPUT_WINDOW_BYTES, STDIN_WINDOW_BYTES};
use crate::shim_process::Shim;

/// How long the pipes of a program that has ended are read on, when what it has left holds them.
const HELD_PIPES_GRACE: Duration = Duration::from_millis(200);

pub(crate) struct Execution {
    id: ExecutionId,
    pub(crate) shim: Shim,
    /// The shim has ended, or is none any more.
    pub(crate) is_shim_gone: bool,
    /// Nothing of the execution is left.
    pub(crate) is_shim_idle: bool,
    /// What the shim is still to be sent.
    request: Queue,
    /// The program's process, once it was started.
    pub(crate) pid: Option<Pid>,
    pub(crate) is_killed: bool,
    /// Signals for a program that was not started yet.
    pub(crate) pending: Vec<(u8, bool)>,
    stdin: Stdin,
    stdout: Output,
    stderr: Output,
    end: Option<(Exit, Instant)>,
}

/// Bytes that are written as they can be, from `written` on.
#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    written: usize,
}

/// The supervisor's end of a program's standard input.
struct Stdin {
    pipe: Option<File>,
    queue: Queue,
    /// The host has sent the end.
    is_complete: bool,
    /// The program has closed it, or has ended: what arrives is discarded.
    is_unwanted: bool,
    /// Taken, and not returned to the host's window yet.
    consumed: u32,
}

/// The supervisor's end of an output stream.
struct Output {
    stream: OutputStream,
    pipe: Option<File>,
    /// How much may be sent.
    credit: u32,
    /// What was in the pipe when the program ended, and was not read yet.
    left: u64,
}

/// What a descriptor of an execution is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Shim,
    Request,
    Stdin,
    Output(OutputStream),
}

impl Queue {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// What was written is forgotten, though something more may always come.
    fn push(&mut self, bytes: &[u8]) {
        if self.written >= MAX_PAYLOAD_BYTES {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes as much as is taken now.
    fn write_to(&mut self, mut file: impl io::Write) -> io::Result<usize> {
        let mut length = 0;
        while !self.rest().is_empty() {
            match file.write(self.rest()) {
                Ok(written) => (self.written, length) = (self.written + written, length + written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(length),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        *self = Self::default();
        Ok(length)
    }
}

impl Execution {
    pub(crate) fn new(id: ExecutionId, shim: Shim, request: Vec<u8>) -> Self {
        let output = |stream| Output { stream, pipe: None, credit: OUTPUT_WINDOW_BYTES, left: 0 };
        let stdin = Stdin {
            pipe: None,
            queue: Queue::default(),
            is_complete: false,
            is_unwanted: false,
            consumed: 0,
        };
        Self {
            id,
            shim,
            is_shim_gone: false,
            is_shim_idle: false,
            request: Queue { bytes: request, written: 0 },
            pid: None,
            is_killed: false,
            pending: Vec::new(),
            stdin,
            stdout: output(OutputStream::Stdout),
            stderr: output(OutputStream::Stderr),
            end: None,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.end.is_some()
    }

    /// Sends the shim what it is still to be sent.
    pub(crate) fn send_request(&mut self) {
        // A shim that is gone is noticed when it is read.
        self.request.write_to(&self.shim.socket).ok();
    }

    /// The program runs, and these are its pipes.
    pub(crate) fn started(&mut self, pid: Pid, pipes: Vec<File>, host: &mut Host) -> bool {
        let Ok([stdin, stdout, stderr]) = <[File; 3]>::try_from(pipes) else { return false };
        let pipes = [&stdin, &stdout, &stderr];
        if pipes.into_iter().any(|pipe| ioctl_fionbio(pipe, true).is_err()) {
            return false;
        }
        self.pid = Some(pid);
        self.stdin.pipe = Some(stdin);
        (self.stdout.pipe, self.stderr.pipe) = (Some(stdout), Some(stderr));
        let pid = pid.as_raw_nonzero().get().cast_unsigned();
        host.send(&SupervisorFrame::Started { execution: self.id, pid });
        self.write_stdin(host);
        true
    }

    /// The descriptors that something is waited for on.
    pub(crate) fn waited(&self, host: &Host) -> Vec<(Part, BorrowedFd<'_>)> {
        let mut waited = Vec::new();
        if !self.is_shim_gone {
            waited.push((Part::Shim, self.shim.socket.as_fd()));
            if !self.request.rest().is_empty() {
                waited.push((Part::Request, self.shim.socket.as_fd()));
            }
        }
        if let Some(pipe) = self.stdin.pipe.as_ref().filter(|_| !self.stdin.queue.rest().is_empty())
        {
            waited.push((Part::Stdin, pipe.as_fd()));
        }
        for output in [&self.stdout, &self.stderr] {
            if let Some(pipe) =
                output.pipe.as_ref().filter(|_| output.credit > 0 && host.has_space())
            {
                waited.push((Part::Output(output.stream), pipe.as_fd()));
            }
        }
        waited
    }

    fn output(&mut self, stream: OutputStream) -> &mut Output {
        match stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        }
    }

    /// The host takes more of a stream. False when it is more than was sent.
    pub(crate) fn open_window(&mut self, stream: OutputStream, bytes: u32) -> bool {
        let output = self.output(stream);
        let credit = output.credit.checked_add(bytes);
        let credit = credit.filter(|credit| *credit <= OUTPUT_WINDOW_BYTES);
        output.credit = credit.unwrap_or(output.credit);
        credit.is_some()
    }

    /// Reads once from an output stream, and sends what was read. False when there was nothing.
    pub(crate) fn relay(
        &mut self,
        stream: OutputStream,
        buffer: &mut [u8],
        host: &mut Host,
    ) -> bool {
        let id = self.id;
        let output = self.output(stream);
        let Some(pipe) = &mut output.pipe else { return false };
        let length = buffer.len().min(output.credit as usize).min(MAX_PAYLOAD_BYTES);
        if length == 0 {
            return false;
        }
        match pipe.read(&mut buffer[..length]) {
            Ok(0) => output.pipe = None,
            Ok(length) => {
                output.credit -= u32::try_from(length).unwrap_or(output.credit);
                output.left = output.left.saturating_sub(length as u64);
                let bytes = buffer[..length].to_vec();
                host.send(&SupervisorFrame::Output { execution: id, stream, bytes });
                return true;
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => output.pipe = None,
        }
        false
    }

    /// Takes input for the program. False when it is beyond the window or behind the end.
    pub(crate) fn stdin(&mut self, bytes: &[u8], host: &mut Host) -> bool {
        let waiting = self.stdin.queue.rest().len() + self.stdin.consumed as usize;
        if self.stdin.is_complete || waiting + bytes.len() > STDIN_WINDOW_BYTES as usize {
            return false;
        }
        if self.stdin.is_unwanted {
            self.consumed_stdin(bytes.len(), host);
            return true;
        }
        self.stdin.queue.push(bytes);
        self.write_stdin(host);
        true
    }

    /// The host has sent the end of the input. False when it had before.
    pub(crate) fn stdin_eof(&mut self, host: &mut Host) -> bool {
        let is_first = !std::mem::replace(&mut self.stdin.is_complete, true);
        self.write_stdin(host);
        is_first
    }

    /// Writes to the program what it takes now.
    pub(crate) fn write_stdin(&mut self, host: &mut Host) {
        let stdin = &mut self.stdin;
        let Some(pipe) = &mut stdin.pipe else { return };
        let waiting = stdin.queue.rest().len();
        let consumed = if let Ok(length) = stdin.queue.write_to(pipe) {
            length
        } else {
            // The program has closed it, and what waits is discarded.
            stdin.queue = Queue::default();
            (stdin.is_unwanted, stdin.pipe) = (true, None);
            waiting
        };
        if stdin.is_complete && stdin.queue.rest().is_empty() {
            stdin.pipe = None;
        }
        self.consumed_stdin(consumed, host);
    }

    /// Opens the host's window again, once half of it is consumed.
    fn consumed_stdin(&mut self, bytes: usize, host: &mut Host) {
        self.stdin.consumed += u32::try_from(bytes).unwrap_or(0);
        if self.stdin.consumed >= STDIN_WINDOW_BYTES / 2 {
            let bytes = std::mem::take(&mut self.stdin.consumed);
            host.send(&SupervisorFrame::StdinWindow { execution: self.id, bytes });
        }
    }

    /// The program has ended. What is in its pipes is still to be sent.
    pub(crate) fn exited(&mut self, exit: Exit) {
        if self.end.is_some() {
            return;
        }
        self.end = Some((exit, Instant::now() + HELD_PIPES_GRACE));
        self.stdin.queue = Queue::default();
        (self.stdin.is_unwanted, self.stdin.pipe) = (true, None);
        for output in [&mut self.stdout, &mut self.stderr] {
            output.left = output.pipe.as_ref().map_or(0, |pipe| ioctl_fionread(pipe).unwrap_or(0));
        }
    }

    /// Sends what is in the pipes now, as far as the host's windows are open.
    pub(crate) fn drain(&mut self, buffer: &mut [u8], host: &mut Host) {
        for stream in [OutputStream::Stdout, OutputStream::Stderr] {
            while host.has_space() && self.relay(stream, buffer, host) {}
        }
    }

    /// When its end is to be looked at again; none while it runs, or waits for the host.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let (_, deadline) = self.end?;
        (self.stdout.left == 0 && self.stderr.left == 0).then_some(deadline)
    }

    /// How it ended, once all that is to be sent was sent before.
    pub(crate) fn complete(&self, now: Instant) -> Option<Exit> {
        let (exit, deadline) = self.end?;
        let is_read =
            |output: &Output| output.pipe.is_none() || (output.left == 0 && now >= deadline);
        (is_read(&self.stdout) && is_read(&self.stderr)).then_some(exit)
    }

    /// The pipes that what the program has left still holds.
    pub(crate) fn held_pipes(&mut self) -> Vec<File> {
        [&mut self.stdout, &mut self.stderr].into_iter().filter_map(|o| o.pipe.take()).collect()
    }
}
