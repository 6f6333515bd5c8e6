//! What a channel knows: the state of each execution, what has arrived and is not consumed, and what
//! is to be sent.
//!
//! One lock, which is never held across an await. Two kinds of notification: `changed` of an
//! execution, for the one consumer of its events, which stores a permit, so that none is lost; and
//! `progress` of the channel, for all who wait for anything else, who register before they look.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::entry::{Entry, Phase, Taken};
use super::error::{ChannelError, InputError};
use crate::exec_protocol::frame::{ExecutionId, HostFrame, OutputStream, SupervisorFrame};
use crate::exec_protocol::{MAX_PAYLOAD_BYTES, VERSION};

/// Beyond it nothing is started, and no input is taken.
const MAX_OUTGOING_BYTES: usize = 256 << 10;
/// A supervisor that sends, and leaves more than this unread, makes answers that it does not want. One command has
/// less.
const MAX_UNREAD_BYTES: usize = 16 << 20;

/// What the task of a channel and its handles share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Fires when there is something to send.
    outgoing: Notify,
    /// Fires when a frame has arrived or was sent, and when the channel is closed.
    progress: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) is_greeted: bool,
    /// Why the channel is closed; nothing changes afterwards.
    closed: Option<ChannelError>,
    last_id: u32,
    executions: HashMap<ExecutionId, Entry>,
    pub(super) outgoing: Outgoing,
}

/// Encoded and not written yet, from `sent` on.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Shared {
    pub(super) fn new() -> Self {
        let state = State {
            is_greeted: false,
            closed: None,
            last_id: 0,
            executions: HashMap::new(),
            outgoing: Outgoing::default(),
        };
        Self { state: Mutex::new(state), outgoing: Notify::new(), progress: Notify::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a frame for which no space is needed: their number is bounded by what they answer.
    pub(super) fn send(&self, frame: &HostFrame) {
        frame.encode(&mut self.lock().outgoing.bytes);
        self.wake_task();
    }

    /// Makes the task look for what is to be sent.
    pub(super) fn wake_task(&self) {
        self.outgoing.notify_one();
    }

    /// Waits until there is something to send.
    pub(super) async fn until_outgoing(&self) {
        self.outgoing.notified().await;
    }

    /// Wakes all who wait for the channel.
    pub(super) fn progressed(&self) {
        self.progress.notify_waiters();
    }

    /// Waits until `find` finds something, or the channel is closed.
    pub(super) async fn until<T>(
        &self,
        mut find: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, ChannelError> {
        loop {
            let mut progress = std::pin::pin!(self.progress.notified());
            // Registered before the look, so that what happens after it wakes.
            progress.as_mut().enable();
            {
                let mut state = self.lock();
                if let Some(closed) = &state.closed {
                    return Err(closed.clone());
                }
                if let Some(found) = find(&mut state) {
                    return Ok(found);
                }
            }
            progress.await;
        }
    }

    /// Closes the channel: the first reason stays.
    pub(super) fn close(&self, reason: ChannelError) {
        let mut state = self.lock();
        state.closed.get_or_insert(reason);
        state.outgoing = Outgoing::default();
        state.executions.values().for_each(|execution| execution.changed.notify_one());
        drop(state);
        self.progressed();
    }
}

impl Outgoing {
    pub(super) fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Notes that so much was written.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.sent == self.bytes.len() {
            // A long command does not stay in memory.
            *self = Self::default();
        } else if self.sent >= MAX_OUTGOING_BYTES {
            // There may always be something more to send.
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

#[cfg(test)]
impl Outgoing {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn kept(&self) -> usize {
        self.bytes.len()
    }
}

impl State {
    /// Whether a caller's bytes may be added to those that are to be sent.
    pub(super) fn has_space(&self) -> bool {
        self.outgoing.unsent().len() < MAX_OUTGOING_BYTES
    }

    /// Why the channel is closed, if it is.
    pub(super) fn closed(&self) -> Option<ChannelError> {
        self.closed.clone()
    }

    /// Executions that have not ended.
    pub(super) fn running(&self) -> usize {
        self.executions.values().filter(|execution| execution.phase != Phase::Ended).count()
    }

    /// Requests an execution: its id, and what fires for it.
    pub(super) fn request(&mut self, command: &[u8]) -> (ExecutionId, Arc<Notify>) {
        // 4 billion executions later the supervisor would refuse a second use of an id.
        self.last_id = self.last_id.saturating_add(1);
        let id = NonZeroU32::new(self.last_id).unwrap_or(NonZeroU32::MAX);
        for part in command.chunks(MAX_PAYLOAD_BYTES) {
            let part = HostFrame::Spec { execution: id, bytes: part.to_vec() };
            part.encode(&mut self.outgoing.bytes);
        }
        HostFrame::Start { execution: id }.encode(&mut self.outgoing.bytes);
        let changed = Arc::new(Notify::new());
        let entry = Entry::new(Arc::clone(&changed));
        self.executions.insert(id, entry);
        (id, changed)
    }

    // ANCHOR: receive
    /// Checks a frame that has arrived, and goes to the state after it.
    pub(super) fn receive(&mut self, frame: SupervisorFrame) -> Result<(), ChannelError> {
        let illegal = |what: &str| Err(ChannelError::Protocol(format!("an illegal frame: {what}")));
        if let SupervisorFrame::Hello { version } = frame {
            let is_second = std::mem::replace(&mut self.is_greeted, true);
            return match version {
                _ if is_second => illegal("a second Hello"),
                VERSION => Ok(()),
                _ => illegal("another version"),
            };
        }
        if !self.is_greeted {
            return illegal("a frame before Hello");
        }
        if self.outgoing.unsent().len() > MAX_UNREAD_BYTES {
            return illegal("more frames, and it reads none");
        }
        let (id, legal) = match &frame {
            SupervisorFrame::Started { execution, .. }
            | SupervisorFrame::StartFailed { execution, .. } => (*execution, Phase::Requested),
            SupervisorFrame::Output { execution, .. }
            | SupervisorFrame::StdinWindow { execution, .. }
            | SupervisorFrame::Exited { execution, .. } => (*execution, Phase::Running),
            SupervisorFrame::Hello { .. } => return Ok(()),
        };
        let Some(entry) = self.executions.get_mut(&id) else {
            return illegal("an execution that does not run");
        };
        if entry.phase != legal {
            return illegal(match entry.phase {
                Phase::Requested => "output or an end before the start",
                Phase::Running => "a second start",
                Phase::Ended => "a frame after the end",
            });
        }
        if !entry.receive(frame) {
            return illegal("more bytes than a window has");
        }
        let reopened = if entry.is_abandoned { entry.discard() } else { [None, None] };
        entry.changed.notify_one();
        for (stream, bytes) in reopened.into_iter().flatten() {
            let window = HostFrame::Window { execution: id, stream, bytes };
            window.encode(&mut self.outgoing.bytes);
        }
        self.forget(id);
        Ok(())
    }
    // ANCHOR_END: receive

    /// The next event of an execution.
    pub(super) fn take(&mut self, id: ExecutionId, prefer: OutputStream) -> Option<Taken> {
        self.executions.get_mut(&id).map_or(Some(Taken::Nothing), |entry| entry.take(prefer))
    }

    /// Notes that output was consumed, and opens the window again once half of it was.
    pub(super) fn consumed(&mut self, id: ExecutionId, stream: OutputStream, bytes: u32) {
        let Some(entry) = self.executions.get_mut(&id) else { return };
        let is_running = entry.phase == Phase::Running;
        let output = entry.output(stream);
        output.consumed += bytes;
        if let Some(bytes) = output.reopen().filter(|_| is_running) {
            let window = HostFrame::Window { execution: id, stream, bytes };
            window.encode(&mut self.outgoing.bytes);
        }
    }

    /// Sends as much of an execution's input as may be sent now: how much.
    pub(super) fn send_input(
        &mut self,
        id: ExecutionId,
        bytes: &[u8],
    ) -> Result<usize, InputError> {
        let has_space = self.has_space();
        let entry = self.executions.get_mut(&id).filter(|entry| entry.phase != Phase::Ended);
        let entry = entry.ok_or(InputError::Ended)?;
        if entry.is_stdin_closed {
            return Err(InputError::Closed); // by another handle
        }
        let credit = entry.stdin_credit as usize;
        let length = if has_space { bytes.len().min(credit).min(MAX_PAYLOAD_BYTES) } else { 0 };
        if length > 0 {
            entry.stdin_credit -= u32::try_from(length).unwrap_or(entry.stdin_credit);
            let stdin = HostFrame::Stdin { execution: id, bytes: bytes[..length].to_vec() };
            stdin.encode(&mut self.outgoing.bytes);
        }
        Ok(length)
    }

    /// Sends the end of an execution's input, once.
    pub(super) fn close_input(&mut self, id: ExecutionId) {
        let entry = self.executions.get_mut(&id).filter(|entry| entry.phase != Phase::Ended);
        if entry.is_some_and(|entry| !std::mem::replace(&mut entry.is_stdin_closed, true)) {
            HostFrame::StdinEof { execution: id }.encode(&mut self.outgoing.bytes);
        }
    }

    /// Sends a signal, if there is space and the execution runs: whether it runs.
    pub(super) fn signal(&mut self, id: ExecutionId, signal: u8, tree: bool) -> Option<bool> {
        let is_running = self.executions.get(&id).is_some_and(|entry| entry.phase != Phase::Ended);
        if is_running && !self.has_space() {
            return None;
        }
        if is_running {
            HostFrame::Signal { execution: id, signal, tree }.encode(&mut self.outgoing.bytes);
        }
        Some(is_running)
    }

    /// Ends the tree of an execution, once; what is left of it when it has ended.
    pub(super) fn kill(&mut self, id: ExecutionId) {
        let entry = self.executions.get_mut(&id);
        if entry.is_some_and(|entry| !std::mem::replace(&mut entry.is_killed, true)) {
            HostFrame::Kill { execution: id }.encode(&mut self.outgoing.bytes);
        }
    }

    /// Ends an execution whose handle is dropped. It counts until its end is reported.
    pub(super) fn abandon(&mut self, id: ExecutionId) {
        let Some(entry) = self.executions.get_mut(&id) else { return };
        entry.is_abandoned = true;
        if entry.phase == Phase::Ended {
            self.forget(id);
            return;
        }
        let reopened = entry.discard();
        for (stream, bytes) in reopened.into_iter().flatten() {
            let window = HostFrame::Window { execution: id, stream, bytes };
            window.encode(&mut self.outgoing.bytes);
        }
        self.kill(id);
    }

    /// Forgets an execution that has ended and whose handle is dropped.
    fn forget(&mut self, id: ExecutionId) {
        let entry = self.executions.get(&id);
        if entry.is_some_and(|entry| entry.is_abandoned && entry.phase == Phase::Ended) {
            self.executions.remove(&id);
        }
    }
}
