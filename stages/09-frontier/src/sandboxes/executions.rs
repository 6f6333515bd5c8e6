//! The executions of one sandbox, by the ids that clients have chosen.
//!
//! What has ended is kept, so that a repeated request is answered with it: its output as long as there is room for it,
//! and the rest until there are [`MAX_EXECUTIONS`].

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::execution::{Execution, Prepared};
use super::problem::Failure;
use super::spool::SpoolMemory;
use super::wire::{ExecRequest, Input};

/// Executions of one sandbox that run at the same time.
const MAX_RUNNING: usize = 64;
/// Executions of one sandbox that are remembered.
const MAX_EXECUTIONS: usize = 4_096;
/// Bytes of standard input that came with the requests of one sandbox and wait in memory for its programs.
const MAX_STDIN_BYTES: usize = 16 << 20;
/// When another execution is likely to be possible, in seconds.
const RETRY_AFTER_SECONDS: u64 = 1;

/// The executions of one sandbox.
pub(super) struct Executions {
    /// Where their outputs are stored.
    directory: PathBuf,
    max_stored_bytes: u64,
    /// Bytes of output that all sandboxes have stored, for the metrics.
    all_stored: Arc<AtomicU64>,
    memory: Arc<SpoolMemory>,
    /// A permit for each byte of standard input that came with its request and is not written yet.
    stdin: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    by_id: HashMap<String, Arc<Execution>>,
    /// Those that have ended and whose output is stored, the oldest first.
    stored: VecDeque<Arc<Execution>>,
    /// Those whose output is no longer stored, the oldest first.
    bare: VecDeque<Arc<Execution>>,
    running: usize,
    /// The most that those that run may write, and what those that have ended have written.
    reserved_bytes: u64,
    stored_bytes: u64,
    /// How many there have been.
    number: u64,
    is_closed: bool,
}

/// What a request for an execution has to do.
pub(super) enum Begin {
    /// Run it.
    New(Prepared),
    /// It runs, or has run.
    Existing(Arc<Execution>),
}

impl Executions {
    pub(super) fn new(
        directory: PathBuf,
        max_stored_bytes: u64,
        (all_stored, memory): (Arc<AtomicU64>, Arc<SpoolMemory>),
    ) -> Self {
        let stdin = Arc::new(Semaphore::new(MAX_STDIN_BYTES));
        Self { directory, max_stored_bytes, all_stored, memory, stdin, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // ANCHOR: begin
    /// Finds the execution with this id, or makes it. Two requests at once make one.
    pub(super) fn begin(&self, id: &str, request: &ExecRequest) -> Result<Begin, Failure> {
        let mut state = self.state();
        if state.is_closed {
            return Err(Failure::gone(None));
        }
        if let Some(existing) = state.by_id.get(id) {
            if existing.fingerprint == request.fingerprint {
                return Ok(Begin::Existing(Arc::clone(existing)));
            }
            let detail = "this id was used for another command; choose a new one";
            return Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "exec_id_in_use", detail));
        }
        let permit = self.stdin_permit(&request.input)?;
        let needed = request.max_output_bytes.saturating_mul(2);
        let discarded = state.make_room(needed, self.max_stored_bytes)?;
        state.number += 1;
        let mut prepared =
            Execution::prepare(id, request, state.number, (&self.directory, &self.memory));
        prepared.source.hold(permit);
        state.running += 1;
        state.reserved_bytes += needed;
        state.by_id.insert(id.to_owned(), Arc::clone(&prepared.execution));
        drop(state);
        self.discard(discarded);
        Ok(Begin::New(prepared))
    }
    // ANCHOR_END: begin

    fn stdin_permit(&self, input: &Input) -> Result<Option<OwnedSemaphorePermit>, Failure> {
        let Input::Bytes(bytes) = input else { return Ok(None) };
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let permit = Arc::clone(&self.stdin).try_acquire_many_owned(length);
        permit.map(Some).map_err(|_| {
            let detail = format!(
                "the commands of a sandbox have {MAX_STDIN_BYTES} bytes of standard input that they did not read yet"
            );
            let problem = Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many_execs", detail);
            problem.retry_after(RETRY_AFTER_SECONDS)
        })
    }

    /// An execution with this limit of its output has ended.
    pub(super) fn ended(&self, execution: &Arc<Execution>, max_output_bytes: u64) {
        let mut state = self.state();
        state.running = state.running.saturating_sub(1);
        let reserved = max_output_bytes.saturating_mul(2);
        state.reserved_bytes = state.reserved_bytes.saturating_sub(reserved);
        if state.is_closed {
            drop(state);
            return self.remove_directory(); // its last output may have made it anew
        }
        let stored = execution.stored();
        state.stored_bytes += stored;
        self.all_stored.fetch_add(stored, Ordering::Relaxed);
        state.stored.push_back(Arc::clone(execution));
    }

    /// The execution with this id.
    pub(super) fn get(&self, id: &str) -> Option<Arc<Execution>> {
        self.state().by_id.get(id).cloned()
    }

    /// All of them, the newest first.
    pub(super) fn list(&self) -> Vec<Arc<Execution>> {
        let mut all: Vec<_> = self.state().by_id.values().cloned().collect();
        all.sort_by_key(|execution| std::cmp::Reverse(execution.number));
        all
    }

    /// Forgets all of them, and removes what they have written.
    pub(super) fn clear(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let stored = std::mem::take(&mut state.stored_bytes);
        (state.stored, state.bare) = (VecDeque::new(), VecDeque::new());
        state.by_id = HashMap::new();
        drop(state);
        self.all_stored.fetch_sub(stored, Ordering::Relaxed);
        self.remove_directory();
    }

    fn remove_directory(&self) {
        let directory = self.directory.clone();
        tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, "the output of a sandbox is removed at the next start");
            }
            _ => {}
        });
    }

    /// Removes what these have written.
    fn discard(&self, executions: Vec<Arc<Execution>>) {
        if executions.is_empty() {
            return;
        }
        let stored: u64 = executions.iter().map(|execution| execution.stored()).sum();
        self.all_stored.fetch_sub(stored, Ordering::Relaxed);
        tokio::task::spawn_blocking(move || {
            for execution in executions {
                execution.discard();
            }
        });
    }
}

impl State {
    /// Makes room for one more execution. Returns those whose output has to go.
    fn make_room(&mut self, needed: u64, max_bytes: u64) -> Result<Vec<Arc<Execution>>, Failure> {
        let busy = |detail: String| {
            let problem = Failure::new(StatusCode::TOO_MANY_REQUESTS, "too_many_execs", detail);
            Err(problem.retry_after(RETRY_AFTER_SECONDS))
        };
        if self.running >= MAX_RUNNING {
            return busy(format!(
                "at most {MAX_RUNNING} executions of a sandbox run at one moment"
            ));
        }
        if self.reserved_bytes.saturating_add(needed) > max_bytes {
            return busy(format!(
                "the executions of a sandbox that run may write {max_bytes} bytes in all; wait for one, or \
                 give a smaller max_output_bytes"
            ));
        }
        let mut discarded = Vec::new();
        while self.reserved_bytes + self.stored_bytes + needed > max_bytes
            && let Some(oldest) = self.stored.pop_front()
        {
            self.stored_bytes = self.stored_bytes.saturating_sub(oldest.stored());
            self.bare.push_back(Arc::clone(&oldest));
            discarded.push(oldest);
        }
        while self.by_id.len() >= MAX_EXECUTIONS {
            let forgotten = match self.bare.pop_front() {
                Some(bare) => bare,
                None => match self.stored.pop_front() {
                    Some(oldest) => {
                        self.stored_bytes = self.stored_bytes.saturating_sub(oldest.stored());
                        discarded.push(Arc::clone(&oldest));
                        oldest
                    }
                    None => break, // all of them run
                },
            };
            self.by_id.remove(&forgotten.id);
        }
        Ok(discarded)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::wire::parse_exec;
    use super::*;

    #[tokio::test]
    async fn standard_input_that_is_not_read_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let new = || {
            let all = (Arc::default(), Arc::default());
            Executions::new(directory.path().to_owned(), 1 << 30, all)
        };
        let (one, other) = (new(), new());
        let text = "x".repeat(4 << 20);
        let request =
            json!({ "argv": ["sleep", "9"], "max_output_bytes": 1, "stdin": { "text": text } });
        let request = parse_exec(request).unwrap();
        let begin = |executions: &Executions, id: &str| match executions.begin(id, &request) {
            Ok(Begin::New(prepared)) => Some(prepared),
            Ok(Begin::Existing(_)) => panic!("it is not new"),
            Err(_) => None,
        };
        let mut prepared: Vec<_> = ["a", "b", "c", "d"].map(|id| begin(&one, id).unwrap()).into();
        assert!(begin(&one, "e").is_none());
        assert!(begin(&other, "e").is_some(), "another sandbox has its own");
        // What was read makes room.
        prepared.pop();
        assert!(begin(&one, "e").is_some());
    }
}
