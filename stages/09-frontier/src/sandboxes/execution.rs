//! One execution in a sandbox: what was requested, what it has written, and how it ended.

use std::io;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;
use shared::{Output, Stream};
use tokio::sync::{mpsc, watch};

use super::spool::{Piece, Spool, SpoolMemory};
use super::stdin::{Source, Stdin};
use super::wire::ExecRequest;
use crate::store::StoreError;

/// How an execution has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// By itself, with an exit code.
    Exited,
    /// By a signal.
    Signaled,
    /// By its time limit.
    TimedOut,
    /// By a request.
    Killed,
    /// The program was not started.
    SpawnFailed,
    /// There is no such user in the sandbox.
    UserUnknown,
    /// The sandbox cannot execute as that user.
    UserUnsupported,
    /// The sandbox ended before it.
    SandboxGone,
}

/// All outcomes, for metrics that are there from the start.
pub(super) const OUTCOMES: [Outcome; 8] = [
    Outcome::Exited,
    Outcome::Signaled,
    Outcome::TimedOut,
    Outcome::Killed,
    Outcome::SpawnFailed,
    Outcome::UserUnknown,
    Outcome::UserUnsupported,
    Outcome::SandboxGone,
];

impl Outcome {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Exited => "exited",
            Self::Signaled => "signaled",
            Self::TimedOut => "timed_out",
            Self::Killed => "killed",
            Self::SpawnFailed => "spawn_failed",
            Self::UserUnknown => "user_unknown",
            Self::UserUnsupported => "user_unsupported",
            Self::SandboxGone => "sandbox_gone",
        }
    }
}

/// The end of an execution.
#[derive(Debug, Clone, Serialize)]
pub(super) struct End {
    pub(super) outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) errno: Option<String>,
    pub(super) ended_at: Timestamp,
    pub(super) duration_ms: u64,
}

/// What the readers of an execution wait for.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// Bytes that it wrote, to both streams.
    pub(super) written: u64,
    pub(super) end: Option<Arc<End>>,
}

/// What a request wants of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Send a signal to the main process, or to all of them.
    Signal { number: u8, tree: bool },
    /// End all of them.
    Kill,
}

/// One execution.
pub(super) struct Execution {
    pub(super) id: String,
    /// The first one of its sandbox has 1.
    pub(super) number: u64,
    /// The SHA-256 of the request.
    pub(super) fingerprint: [u8; 32],
    /// For people: its program.
    program: String,
    pub(super) started_at: Timestamp,
    pub(super) stdout: Spool,
    pub(super) stderr: Spool,
    pub(super) stdin: Stdin,
    /// Sent after the spools have what it says.
    pub(super) progress: watch::Sender<Progress>,
    /// To the task that runs it.
    pub(super) orders: mpsc::Sender<Order>,
}

/// An execution that is to be run.
pub(super) struct Prepared {
    pub(super) execution: Arc<Execution>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) source: Source,
}

/// Orders that wait for the task that runs an execution.
const MAX_ORDERS: usize = 16;
/// The longest name of a program that is shown, in characters.
const MAX_PROGRAM: usize = 200;

impl Execution {
    /// An execution of `request`, with the spools in `directory`.
    pub(super) fn prepare(
        id: &str,
        request: &ExecRequest,
        number: u64,
        (directory, memory): (&Path, &Arc<SpoolMemory>),
    ) -> Prepared {
        let spool = |name: &str| {
            let path = directory.join(format!("{number}.{name}"));
            Spool::new(request.keep, request.max_output_bytes, path, Arc::clone(memory))
        };
        let (sender, orders) = mpsc::channel(MAX_ORDERS);
        let (stdin, source) = Stdin::new(&request.input);
        let program = request.argv.first().map(String::as_str).unwrap_or_default();
        let execution = Arc::new(Self {
            id: id.to_owned(),
            number,
            fingerprint: request.fingerprint,
            program: program
                .chars()
                .filter(|letter| !letter.is_control())
                .take(MAX_PROGRAM)
                .collect(),
            started_at: super::state::now(),
            stdout: spool("stdout"),
            stderr: spool("stderr"),
            stdin,
            progress: watch::Sender::new(Progress::default()),
            orders: sender,
        });
        Prepared { execution, orders, source }
    }

    /// What it has written to one of its streams.
    pub(super) fn spool(&self, stream: Stream) -> &Spool {
        match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        }
    }

    /// How it ended, if it has.
    pub(super) fn end(&self) -> Option<Arc<End>> {
        self.progress.borrow().end.clone()
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) -> Option<Arc<End>> {
        let mut progress = self.progress.subscribe();
        progress.wait_for(|progress| progress.end.is_some()).await.ok()?.end.clone()
    }

    /// Bytes of its output that are stored.
    pub(super) fn stored(&self) -> u64 {
        self.stdout.stored() + self.stderr.stored()
    }

    /// Removes what it has written, and keeps the counts.
    pub(super) fn discard(&self) {
        self.stdout.discard();
        self.stderr.discard();
    }

    /// The execution as clients see it, without its output.
    pub(super) fn summary(&self) -> Summary {
        let end = self.end();
        Summary {
            id: self.id.clone(),
            status: if end.is_some() { "ended" } else { "running" },
            program: self.program.clone(),
            started_at: self.started_at,
            end,
            stdout_bytes: self.stdout.total(),
            stderr_bytes: self.stderr.total(),
        }
    }

    /// The same with its output. It reads files.
    pub(super) fn view(&self) -> Result<View, StoreError> {
        let end = self.end();
        let output = |spool: &Spool| {
            output(spool).map_err(|error| StoreError::io("the output of an execution", error))
        };
        Ok(View {
            id: self.id.clone(),
            status: if end.is_some() { "ended" } else { "running" },
            stdout: output(&self.stdout)?,
            stderr: output(&self.stderr)?,
            started_at: self.started_at,
            end,
        })
    }
}

/// An execution in a list.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    id: String,
    pub(super) status: &'static str,
    program: String,
    started_at: Timestamp,
    #[serde(flatten)]
    end: Option<Arc<End>>,
    stdout_bytes: u64,
    stderr_bytes: u64,
}

/// An execution as clients see it.
#[derive(Debug, Serialize)]
pub(super) struct View {
    id: String,
    status: &'static str,
    #[serde(flatten)]
    end: Option<Arc<End>>,
    stdout: Output,
    stderr: Output,
    started_at: Timestamp,
}

/// One of its streams, as far as it is stored.
fn output(spool: &Spool) -> io::Result<Output> {
    let Piece { bytes, start, .. } = spool.read(0, u64::MAX)?;
    // The first byte may be in the middle of a character: without its rest, what follows is still text.
    let torn = bytes.iter().take(3).take_while(|byte| **byte & 0xc0 == 0x80).count();
    let is_text = start > 0 && std::str::from_utf8(&bytes[torn..]).is_ok();
    Ok(Output::new(if is_text { &bytes[torn..] } else { &bytes }, spool.total()))
}
