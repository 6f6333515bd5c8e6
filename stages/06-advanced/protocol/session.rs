//! Which frame is legal when: the state machine of a sandbox and of each of its executions.
//!
//! ```text
//!              Start            Started               Exited
//! (no such id) ─────▶ Requested ───────▶ Running ─────────────▶ Ended ──────────▶ Collecting
//!                         │ StartFailed                           ▲   Collect        │ Collected
//!                         └───────────────────────────────────────┴──────────────────┘
//! ```
//!
//! | frame | legal |
//! |---|---|
//! | `Hello` | once, before every other frame of the supervisor |
//! | `Started`, `StartFailed` | while requested |
//! | `Stdout`, `Stderr` | while running, within the host's window |
//! | `StdinWindow` | while running, up to what was sent before |
//! | `Exited` | while running |
//! | `File`, `FileChunk`, `Collected` | while collecting |
//! | `Start` | once: this supervisor runs one execution |
//! | `Lifetime` | once |
//! | `Stdin`, `StdinEof` | before `StdinEof`, within the supervisor's window |
//! | `Window` | up to what was sent before |
//! | `Collect`, `Kill` | once |
//!
//! `StdinEof`, `Window` and `Kill` may arrive after the supervisor has sent `Exited`, because the host had not read
//! that yet; then they change nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::mem::{Discriminant, discriminant};

use super::frame::{ExecutionId, HostFrame, OutputStream, SupervisorFrame};
use super::{OUTPUT_WINDOW_BYTES, STDIN_WINDOW_BYTES, VERSION};

/// A frame that is not legal now, by the name of what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IllegalFrame(pub(crate) &'static str);

impl fmt::Display for IllegalFrame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "an illegal frame: {}", self.0)
    }
}

impl std::error::Error for IllegalFrame {}

/// How many bytes a sender may still send. It never exceeds `size`.
#[derive(Debug, Clone, Copy)]
struct Window {
    size: u32,
    credit: u32,
}

impl Window {
    fn new(size: u32) -> Self {
        Self { size, credit: size }
    }

    /// Uses credit for `length` bytes.
    fn consume(&mut self, length: usize) -> Result<(), IllegalFrame> {
        let left = u32::try_from(length).ok().and_then(|length| self.credit.checked_sub(length));
        self.credit = left.ok_or(IllegalFrame("more bytes than the window allows"))?;
        Ok(())
    }

    /// Gives credit back.
    fn open(&mut self, bytes: u32) -> Result<(), IllegalFrame> {
        let credit = self.credit.checked_add(bytes).filter(|credit| *credit <= self.size);
        self.credit = credit.ok_or(IllegalFrame("a window wider than what was sent"))?;
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Requested,
    Running,
    Ended,
    Collecting,
}

/// One execution, as the host sees it.
#[derive(Debug)]
struct Execution {
    state: State,
    stdin: Window,
    stdout: Window,
    stderr: Window,
}

/// What the host accepts from a supervisor.
#[derive(Debug, Default)]
pub(crate) struct HostSession {
    has_greeted: bool,
    executions: BTreeMap<ExecutionId, Execution>,
}

impl HostSession {
    /// Notes that the host has requested an execution.
    pub(crate) fn request(&mut self, execution: ExecutionId) {
        let requested = Execution {
            state: State::Requested,
            stdin: Window::new(STDIN_WINDOW_BYTES),
            stdout: Window::new(OUTPUT_WINDOW_BYTES),
            stderr: Window::new(OUTPUT_WINDOW_BYTES),
        };
        self.executions.insert(execution, requested);
    }

    /// Whether an execution was started and has not ended.
    pub(crate) fn is_running(&self, execution: ExecutionId) -> bool {
        let known = self.executions.get(&execution);
        known.is_some_and(|execution| execution.state == State::Running)
    }

    /// Notes that the host has requested the files of an execution that has ended.
    pub(crate) fn collect(&mut self, execution: ExecutionId) {
        let ended = self.executions.get_mut(&execution);
        if let Some(execution) = ended.filter(|execution| execution.state == State::Ended) {
            execution.state = State::Collecting;
        }
    }

    // ANCHOR: receive
    /// Checks a frame that has arrived, and goes to the state after it.
    pub(crate) fn receive(&mut self, frame: &SupervisorFrame) -> Result<(), IllegalFrame> {
        if let SupervisorFrame::Hello { version } = frame {
            if std::mem::replace(&mut self.has_greeted, true) {
                return Err(IllegalFrame("a second Hello"));
            }
            let is_ours = *version == VERSION;
            return if is_ours { Ok(()) } else { Err(IllegalFrame("another version")) };
        }
        if !self.has_greeted {
            return Err(IllegalFrame("a frame before Hello"));
        }
        let (id, expected) = match frame {
            SupervisorFrame::Started { execution, .. }
            | SupervisorFrame::StartFailed { execution, .. } => (execution, State::Requested),
            SupervisorFrame::Output { execution, .. }
            | SupervisorFrame::StdinWindow { execution, .. }
            | SupervisorFrame::Exited { execution, .. } => (execution, State::Running),
            SupervisorFrame::File { execution, .. }
            | SupervisorFrame::FileChunk { execution, .. }
            | SupervisorFrame::Collected { execution, .. } => (execution, State::Collecting),
            SupervisorFrame::Hello { .. } => return Ok(()),
        };
        let execution = self.executions.get_mut(id);
        let execution = execution.ok_or(IllegalFrame("an execution that was not requested"))?;
        if execution.state != expected {
            return Err(IllegalFrame(match execution.state {
                State::Requested => "output or an end before the start",
                State::Running => "a second start, or files before the end",
                State::Ended => "a frame after the end",
                State::Collecting => "no file, but files were requested",
            }));
        }
        match frame {
            SupervisorFrame::Started { .. } => execution.state = State::Running,
            SupervisorFrame::StartFailed { .. }
            | SupervisorFrame::Exited { .. }
            | SupervisorFrame::Collected { .. } => execution.state = State::Ended,
            SupervisorFrame::Output { stream, bytes, .. } => {
                execution.output(*stream).consume(bytes.len())?;
            }
            SupervisorFrame::StdinWindow { bytes, .. } => execution.stdin.open(*bytes)?,
            // The receiver bounds files.
            SupervisorFrame::File { .. }
            | SupervisorFrame::FileChunk { .. }
            | SupervisorFrame::Hello { .. } => {}
        }
        Ok(())
    }
    // ANCHOR_END: receive

    /// How many bytes of input may be sent now.
    pub(crate) fn stdin_credit(&self, execution: ExecutionId) -> usize {
        let running = self.executions.get(&execution);
        running.map_or(0, |execution| execution.stdin.credit as usize)
    }

    /// Notes that input was sent.
    pub(crate) fn sent_stdin(
        &mut self,
        execution: ExecutionId,
        bytes: usize,
    ) -> Result<(), IllegalFrame> {
        self.executions.get_mut(&execution).map_or(Ok(()), |known| known.stdin.consume(bytes))
    }

    /// The frame that opens the window of a stream again, once half of it is used. Everything that
    /// has arrived counts as consumed: call it after consuming.
    pub(crate) fn reopen(&mut self, id: ExecutionId, stream: OutputStream) -> Option<HostFrame> {
        let execution = self.executions.get_mut(&id)?;
        let window = execution.output(stream);
        let used = window.size - window.credit;
        if used < window.size / 2 {
            return None;
        }
        window.credit = window.size;
        Some(HostFrame::Window { execution: id, stream, bytes: used })
    }
}

impl Execution {
    fn output(&mut self, stream: OutputStream) -> &mut Window {
        match stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        }
    }
}

/// What a supervisor accepts from its host. It runs one execution.
#[derive(Debug)]
pub(crate) struct SupervisorSession {
    execution: Option<ExecutionId>,
    stdin: Window,
    stdin_is_open: bool,
    stdout: Window,
    stderr: Window,
    /// The kinds of frames that come once, and have come.
    once: Vec<Discriminant<HostFrame>>,
}

impl SupervisorSession {
    pub(crate) fn new() -> Self {
        Self {
            execution: None,
            stdin: Window::new(STDIN_WINDOW_BYTES),
            stdin_is_open: true,
            stdout: Window::new(OUTPUT_WINDOW_BYTES),
            stderr: Window::new(OUTPUT_WINDOW_BYTES),
            once: Vec::new(),
        }
    }

    /// Checks a frame that has arrived, and goes to the state after it.
    pub(crate) fn receive(&mut self, frame: &HostFrame) -> Result<(), IllegalFrame> {
        match frame {
            HostFrame::Start { execution, .. } => {
                let before = self.execution.replace(*execution);
                if before.is_some() { Err(IllegalFrame("a second execution")) } else { Ok(()) }
            }
            HostFrame::Lifetime { .. } => self.note_once(frame, IllegalFrame("a second lifetime")),
            HostFrame::Stdin { execution, .. }
            | HostFrame::StdinEof { execution }
            | HostFrame::Window { execution, .. }
            | HostFrame::Collect { execution }
            | HostFrame::Kill { execution }
                if self.execution != Some(*execution) =>
            {
                Err(IllegalFrame("an execution that was not requested"))
            }
            HostFrame::Stdin { .. } | HostFrame::StdinEof { .. } if !self.stdin_is_open => {
                Err(IllegalFrame("input after its end"))
            }
            HostFrame::Stdin { bytes, .. } => self.stdin.consume(bytes.len()),
            HostFrame::StdinEof { .. } => {
                self.stdin_is_open = false;
                Ok(())
            }
            HostFrame::Window { stream, bytes, .. } => self.output(*stream).open(*bytes),
            HostFrame::Collect { .. } => {
                self.note_once(frame, IllegalFrame("files requested twice"))
            }
            HostFrame::Kill { .. } => self.note_once(frame, IllegalFrame("a second end")),
        }
    }

    /// Notes a frame that comes once.
    fn note_once(&mut self, frame: &HostFrame, twice: IllegalFrame) -> Result<(), IllegalFrame> {
        let kind = discriminant(frame);
        if self.once.contains(&kind) {
            return Err(twice);
        }
        self.once.push(kind);
        Ok(())
    }

    /// How many bytes of a stream may be sent now.
    pub(crate) fn output_credit(&mut self, stream: OutputStream) -> usize {
        self.output(stream).credit as usize
    }

    /// Notes that output is about to be sent.
    pub(crate) fn send_output(
        &mut self,
        stream: OutputStream,
        bytes: usize,
    ) -> Result<(), IllegalFrame> {
        self.output(stream).consume(bytes)
    }

    /// Notes that the program has taken input: the number of bytes that the window opens by, once
    /// half of it is used.
    pub(crate) fn consumed_stdin(&mut self, bytes: u32) -> Result<(), IllegalFrame> {
        self.stdin.open(bytes)
    }

    fn output(&mut self, stream: OutputStream) -> &mut Window {
        match stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        }
    }
}
