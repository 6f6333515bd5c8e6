//! The only writer: a thread that commits what has gathered in one transaction.
//!
//! Group commit: a flush to disk takes milliseconds, and a transaction microseconds. While one group
//! is flushed the next one gathers, so that the number of submissions in a second is not the number
//! of flushes.
//!
//! Work that nothing waits for, such as output, begins no group for some milliseconds: a program that prints and ends has
//! its output in the flush of its end.
//!
//! Each piece of work has a savepoint of its own: one that fails takes nothing of its neighbours
//! with it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus_client::metrics::histogram::Histogram;
use rusqlite::Connection;

use super::StoreError;
use super::connection::BUSY_TIMEOUT;
use super::counters::{Committed, Counters};
use crate::failpoint::failpoint;

/// Upper bounds of the histogram of transactions.
const LATENCY_BUCKETS_SECONDS: [f64; 10] =
    [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0];
/// The size of the WAL from which on it is cut as soon as no reader needs it, and how often that is tried.
const LONG_WAL_BYTES: u64 = 32 << 20;
const RESET_INTERVAL: Duration = Duration::from_secs(1);
/// Pieces of work in one transaction.
const MAX_GROUP: usize = 256;

/// Runs in the transaction, and returns what to do when that has ended.
type Job = Box<dyn FnOnce(&Connection) -> Ended + Send>;
type Ended = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// The thread, and what waits for it.
pub(super) struct Writer {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Queue {
    /// Ties the jobs to `closed`: a job is either run or refused.
    state: Mutex<State>,
    /// Notified after each push and at the close; the thread checks `state` under the lock before it
    /// sleeps.
    ready: Condvar,
    commits: AtomicU64,
    jobs: AtomicU64,
    failures: AtomicU64,
    latency: Histogram,
    /// What is stored, as of the last commit.
    counters: Committed,
}

/// How many pieces of work shared how many flushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterStats {
    /// Transactions that were committed.
    pub commits: u64,
    /// Pieces of work in them.
    pub jobs: u64,
    /// Transactions that were not committed.
    pub failures: u64,
    /// Pieces of work that wait for the next one.
    pub waiting: usize,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    /// When the first of them is to be run at the latest.
    due: Option<Instant>,
    closed: bool,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(connection: Connection, wal: PathBuf) -> Result<Self, StoreError> {
        let counters = Committed::new(Counters::read(&connection)?);
        let queue = Arc::new(Queue {
            state: Mutex::default(),
            ready: Condvar::new(),
            commits: AtomicU64::new(0),
            jobs: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            latency: Histogram::new(LATENCY_BUCKETS_SECONDS),
            counters,
        });
        let own = Arc::clone(&queue);
        let thread = std::thread::Builder::new().name("crucible-store".to_owned());
        let thread = thread.spawn(move || run(&own, connection, &wal));
        let thread = thread.map_err(|error| StoreError::io("a thread", error))?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Runs `work` with the next group, which begins after `delay` if nothing else is to be written before that.
    pub(super) fn submit<T: Send + 'static>(
        &self,
        delay: Duration,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        let mut state = self.queue.state();
        if state.closed {
            drop(state);
            return then(Err(StoreError::Closed));
        }
        state.jobs.push_back(Box::new(|connection| {
            let result = in_savepoint(connection, work);
            Box::new(|committed| then(result.and_then(|value| committed.map(|()| value))))
        }));
        let due = Instant::now() + delay;
        state.due = Some(state.due.map_or(due, |before| before.min(due)));
        drop(state);
        self.queue.ready.notify_one();
    }

    pub(super) fn stats(&self) -> WriterStats {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        WriterStats {
            commits: count(&self.queue.commits),
            jobs: count(&self.queue.jobs),
            failures: count(&self.queue.failures),
            waiting: self.queue.state().jobs.len(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.queue.state().closed
    }

    /// How long transactions took, from their beginning to the flush.
    pub(super) fn latency(&self) -> &Histogram {
        &self.queue.latency
    }

    /// What is stored, as of the last commit.
    pub(super) fn counters(&self) -> Counters {
        self.queue.counters.get()
    }

    /// Runs what waits, and ends the thread.
    pub(super) async fn close(&self) {
        self.queue.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            tokio::task::spawn_blocking(|| thread.join().is_ok()).await.ok();
        }
    }
}

impl Drop for Writer {
    /// Without [`Writer::close`] the thread commits what waits, and ends after that.
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.state().closed = true;
        self.ready.notify_all();
    }

    /// What has gathered, as soon as some of it is due. Empty at the end.
    fn gather(&self) -> Vec<Job> {
        let mut state = self.state();
        while !state.closed {
            let Some(due) = state.due else {
                state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let rest = due.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                break;
            }
            let waited = self.ready.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let count = state.jobs.len().min(MAX_GROUP);
        let group = state.jobs.drain(..count).collect();
        state.due = state.due.filter(|_| !state.jobs.is_empty());
        group
    }
}

fn run(queue: &Queue, connection: Connection, wal: &Path) {
    let mut reset_at = Instant::now();
    loop {
        let group = queue.gather();
        if group.is_empty() {
            break;
        }
        commit_group(queue, &connection, group);
        let is_long = || wal.metadata().is_ok_and(|wal| wal.len() > LONG_WAL_BYTES);
        if reset_at.elapsed() >= RESET_INTERVAL && is_long() {
            reset(&connection);
            reset_at = Instant::now();
        }
    }
    // The next start has nothing to recover, and a copy of the one file is whole.
    if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(%error, "the WAL was not moved into the database");
    }
    if let Err((_, error)) = connection.close() {
        tracing::warn!(%error, "the database was not closed");
    }
}

/// Moves the WAL into the database and cuts it, unless a reader still needs it. A checkpoint comes with a
/// commit otherwise, and there is none while work is refused because the WAL is too long.
fn reset(connection: &Connection) {
    // Waiting for a reader would make every write wait.
    let reset = connection.busy_timeout(Duration::ZERO).and_then(|()| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        connection.busy_timeout(BUSY_TIMEOUT)
    });
    if let Err(error) = reset {
        tracing::warn!(%error, "the WAL was not moved into the database");
    }
}

// ANCHOR: group
/// Runs a group of jobs in one transaction, then calls each with the result.
fn commit_group(queue: &Queue, connection: &Connection, group: Vec<Job>) {
    let before = Instant::now();
    // IMMEDIATE: a transaction that becomes one for writing halfway fails when another has written.
    let started = connection.execute_batch("BEGIN IMMEDIATE").map_err(StoreError::from);
    let ended: Vec<Ended> = group.into_iter().map(|job| job(connection)).collect();
    // Read in the transaction: a read after it could fail, and what is on disk would not be counted.
    let counters = started.and_then(|()| Counters::read(connection));
    let result = counters.and_then(|counters| commit(connection).map(|()| counters));
    if let Err(error) = &result {
        tracing::error!(error = %shared_chain(error), "a transaction was not committed");
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction was not rolled back");
        }
    }
    if let Ok(counters) = &result {
        queue.counters.set(*counters);
        queue.commits.fetch_add(1, Ordering::Relaxed);
        queue.jobs.fetch_add(ended.len() as u64, Ordering::Relaxed);
        queue.latency.observe(before.elapsed().as_secs_f64());
    } else {
        queue.failures.fetch_add(1, Ordering::Relaxed);
    }
    let result = result.map(drop);
    for then in ended {
        then(result.clone());
    }
}

fn commit(connection: &Connection) -> Result<(), StoreError> {
    failpoint("store.before_commit")?;
    // A full disk ends the transaction in the middle of a job: what came before it is gone.
    if connection.is_autocommit() {
        return Err(StoreError::RolledBack);
    }
    connection.execute_batch("COMMIT")?;
    failpoint("store.after_commit").ok(); // an error here would deny what is on disk
    Ok(())
}
// ANCHOR_END: group

/// Runs `work`, and undoes what it wrote if it fails.
fn in_savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    if connection.is_autocommit() {
        return Err(StoreError::RolledBack); // or it did not start
    }
    connection.prepare_cached("SAVEPOINT job")?.execute([])?;
    let result = catch_unwind(AssertUnwindSafe(|| work(connection)));
    let result = result.unwrap_or(Err(StoreError::Panicked));
    if !connection.is_autocommit() {
        // Whether SQLite ends the transaction itself depends on where it met the end of the disk. It always ends: what
        // follows a piece of work in its group may rely on it.
        if matches!(result, Err(StoreError::Full)) {
            connection.execute_batch("ROLLBACK")?;
            return result;
        }
        if result.is_err() {
            connection.prepare_cached("ROLLBACK TO job")?.execute([])?;
        }
        connection.prepare_cached("RELEASE job")?.execute([])?;
    }
    result
}

/// An error with its source, for the log.
fn shared_chain(error: &StoreError) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}
