//! The standard input of an execution, as requests send it.
//!
//! A task writes what was taken into the sandbox, in order. Each byte that a request has handed to it is counted, and
//! a byte that was counted is written once: a client that lost its connection goes on at the number that it is told.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;
use serde::Serialize;
use shared::http::Body;
use stage_06_advanced::ExecutionInput;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::problem::Failure;
use super::wire::Input;

/// Pieces of a body that wait to be written: the program decides how fast that goes.
const MAX_WAITING: usize = 4;
/// How long a request waits for an earlier one, whose connection may be lost.
const TURN_TIMEOUT: Duration = Duration::from_secs(15);

/// One standard input.
pub(super) struct Stdin {
    /// One request sends at a time.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    received: u64,
    /// None before the first byte can be taken, and after the last one was.
    sender: Option<mpsc::Sender<Bytes>>,
    is_streamed: bool,
}

/// How much of it was taken.
#[derive(Debug, Serialize)]
pub(super) struct Received {
    /// Bytes, from the first on.
    received: u64,
    /// Whether it is closed: by a request, or because the program has ended.
    closed: bool,
}

/// The other end of a standard input: what the task writes.
pub(super) struct Source {
    first: Bytes,
    /// Of the memory of the first bytes. Returned when they are written.
    permit: Option<OwnedSemaphorePermit>,
    rest: Option<mpsc::Receiver<Bytes>>,
}

impl Stdin {
    /// The standard input that was requested, and what is to be written.
    pub(super) fn new(input: &Input) -> (Self, Source) {
        let (mut state, mut source) =
            (State::default(), Source { first: Bytes::new(), permit: None, rest: None });
        match input {
            Input::Closed => {}
            Input::Bytes(bytes) => source.first = bytes.clone(),
            Input::Stream => {
                let (sender, receiver) = mpsc::channel(MAX_WAITING);
                (state.sender, state.is_streamed) = (Some(sender), true);
                source.rest = Some(receiver);
            }
        }
        (Self { turn: tokio::sync::Mutex::default(), state: Mutex::new(state) }, source)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ANCHOR: receive
    /// Takes a body whose first byte has the number `offset`. What was taken before is skipped.
    ///
    /// Cancel safe: what was counted is written.
    pub(super) async fn receive(
        &self,
        mut body: Body,
        offset: u64,
        eof: bool,
    ) -> Result<Received, Failure> {
        let _permit = tokio::time::timeout(TURN_TIMEOUT, self.turn.lock()).await.map_err(|_| {
            let detail = "another request sends the standard input of this execution";
            Failure::new(StatusCode::CONFLICT, "stdin_in_use", detail).retry_after(1)
        })?;
        self.check(offset)?;
        let mut at = offset;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| self.cut())?.into_data() else { continue };
            let received = self.state().received;
            let skipped = usize::try_from(received.saturating_sub(at)).unwrap_or(usize::MAX);
            at += data.len() as u64;
            let new = data.slice(skipped.min(data.len())..);
            if new.is_empty() {
                continue;
            }
            let sender = self.state().sender.clone();
            // A program that has ended reads nothing more, as with a pipe whose signal is ignored.
            if let Some(sender) = sender
                && let Ok(permit) = sender.reserve().await
            {
                self.state().received += new.len() as u64;
                permit.send(new);
            } else {
                let mut state = self.state();
                state.sender = None;
                state.received += new.len() as u64;
            }
        }
        let mut state = self.state();
        if eof {
            state.sender = None;
        }
        Ok(Received { received: state.received, closed: state.sender.is_none() })
    }
    // ANCHOR_END: receive

    fn check(&self, offset: u64) -> Result<(), Failure> {
        let state = self.state();
        if !state.is_streamed {
            let detail = "the execution was started without \"stdin\": \"stream\"";
            return Err(Failure::new(StatusCode::CONFLICT, "stdin_not_streamed", detail));
        }
        if offset > state.received {
            let detail = format!("the next byte has the number {}", state.received);
            let problem = Failure::new(StatusCode::CONFLICT, "stdin_offset", detail);
            return Err(problem.after(state.received));
        }
        Ok(())
    }

    fn cut(&self) -> Failure {
        let detail = "the body was cut off or is too large; go on at the byte in received";
        let problem = Failure::new(StatusCode::BAD_REQUEST, "stdin_cut", detail);
        problem.after(self.state().received)
    }

    /// The program has ended: what a request sends from now on is not for it.
    pub(super) fn close(&self) {
        self.state().sender = None;
    }
}

impl Source {
    /// Holds this until the first bytes are written.
    pub(super) fn hold(&mut self, permit: Option<OwnedSemaphorePermit>) {
        self.permit = permit;
    }

    /// Writes all there is into the sandbox, then closes it there.
    pub(super) async fn pump(self, mut input: ExecutionInput) {
        let Self { first, permit, rest } = self;
        if !first.is_empty() && input.write(&first).await.is_err() {
            return;
        }
        drop((first, permit));
        if let Some(mut rest) = rest {
            while let Some(bytes) = rest.recv().await {
                if input.write(&bytes).await.is_err() {
                    return;
                }
            }
        }
        input.close();
    }
}
