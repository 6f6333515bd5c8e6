//! One execution, as the host sees it: which frame is legal when, and what has arrived.
//!
//! ```text
//!              Start            Started               Exited
//! (no such id) ─────▶ Requested ───────▶ Running ─────────────▶ Ended
//!                         │ StartFailed                           ▲
//!                         └───────────────────────────────────────┘
//! ```

use std::sync::Arc;

use tokio::sync::Notify;

use crate::exec_protocol::frame::{Exit, OutputStream, StartFailure, SupervisorFrame};
use crate::exec_protocol::{OUTPUT_WINDOW_BYTES, STDIN_WINDOW_BYTES};

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Exited(Exit),
    StartFailed(StartFailure, u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Requested,
    Running,
    Ended,
}

/// One output stream. Credit, what is received and what is consumed are one window together.
#[derive(Debug)]
pub(super) struct Output {
    /// How much the supervisor may still send.
    pub(super) credit: u32,
    pub(super) received: Vec<u8>,
    /// Consumed, and not returned to the supervisor's credit yet.
    pub(super) consumed: u32,
}

/// One execution, as the host sees it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) phase: Phase,
    /// Its process, until the consumer has taken the event.
    pub(super) started: Option<u32>,
    pub(super) stdout: Output,
    pub(super) stderr: Output,
    /// Its end, until the consumer has taken the event.
    pub(super) end: Option<End>,
    pub(super) stdin_credit: u32,
    pub(super) is_stdin_closed: bool,
    pub(super) is_killed: bool,
    /// The handle was dropped: what arrives is discarded.
    pub(super) is_abandoned: bool,
    pub(super) changed: Arc<Notify>,
}

/// What a consumer gets next.
#[derive(Debug)]
pub(super) enum Taken {
    Started(u32),
    Output(OutputStream, Vec<u8>),
    Ended(End),
    /// Its end was taken before.
    Nothing,
}

impl Output {
    fn new() -> Self {
        Self { credit: OUTPUT_WINDOW_BYTES, received: Vec::new(), consumed: 0 }
    }
}

impl Output {
    /// The bytes by which the window is opened again, once half of it is consumed.
    pub(super) fn reopen(&mut self) -> Option<u32> {
        if self.consumed < OUTPUT_WINDOW_BYTES / 2 {
            return None;
        }
        self.credit += self.consumed;
        Some(std::mem::take(&mut self.consumed))
    }
}

impl Entry {
    /// One that was requested.
    pub(super) fn new(changed: Arc<Notify>) -> Self {
        Self {
            phase: Phase::Requested,
            started: None,
            stdout: Output::new(),
            stderr: Output::new(),
            end: None,
            stdin_credit: STDIN_WINDOW_BYTES,
            is_stdin_closed: false,
            is_killed: false,
            is_abandoned: false,
            changed,
        }
    }

    pub(super) fn output(&mut self, stream: OutputStream) -> &mut Output {
        match stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        }
    }

    /// Takes a frame that is legal in this phase. False when it is beyond a window.
    pub(super) fn receive(&mut self, frame: SupervisorFrame) -> bool {
        match frame {
            SupervisorFrame::Started { pid, .. } => {
                (self.phase, self.started) = (Phase::Running, Some(pid));
            }
            SupervisorFrame::StartFailed { failure, errno, .. } => {
                (self.phase, self.end) = (Phase::Ended, Some(End::StartFailed(failure, errno)));
            }
            SupervisorFrame::Exited { exit, .. } => {
                (self.phase, self.end) = (Phase::Ended, Some(End::Exited(exit)));
            }
            SupervisorFrame::Output { stream, bytes, .. } => {
                let output = self.output(stream);
                let length = u32::try_from(bytes.len()).ok();
                let Some(credit) = length.and_then(|length| output.credit.checked_sub(length))
                else {
                    return false;
                };
                output.credit = credit;
                output.received.extend_from_slice(&bytes);
            }
            SupervisorFrame::StdinWindow { bytes, .. } => {
                let credit = self.stdin_credit.checked_add(bytes);
                let Some(credit) = credit.filter(|credit| *credit <= STDIN_WINDOW_BYTES) else {
                    return false;
                };
                self.stdin_credit = credit;
            }
            SupervisorFrame::Hello { .. } => {}
        }
        true
    }

    pub(super) fn take(&mut self, prefer: OutputStream) -> Option<Taken> {
        if let Some(pid) = self.started.take() {
            return Some(Taken::Started(pid));
        }
        let other = match prefer {
            OutputStream::Stdout => OutputStream::Stderr,
            OutputStream::Stderr => OutputStream::Stdout,
        };
        for stream in [prefer, other] {
            let received = &mut self.output(stream).received;
            if !received.is_empty() {
                return Some(Taken::Output(stream, std::mem::take(received)));
            }
        }
        match self.end.take() {
            Some(end) => Some(Taken::Ended(end)),
            None => (self.phase == Phase::Ended).then_some(Taken::Nothing),
        }
    }

    /// Consumes what has arrived, without a consumer.
    pub(super) fn discard(&mut self) -> [Option<(OutputStream, u32)>; 2] {
        let is_running = self.phase == Phase::Running;
        [OutputStream::Stdout, OutputStream::Stderr].map(|stream| {
            let output = self.output(stream);
            // What a consumer has taken and not returned is in neither of the other two.
            output.received = Vec::new();
            output.consumed = OUTPUT_WINDOW_BYTES - output.credit;
            output.reopen().filter(|_| is_running).map(|bytes| (stream, bytes))
        })
    }
}
