//! The queue: bounded, first come first served, N workers.
//!
//! Task tree: `TaskQueue::start` spawns the workers into a `TaskTracker`; each worker spawns one
//! task for each evaluation and waits for it, so that an engine that panics loses one evaluation
//! (`worker_lost`) and not the worker. `shutdown` waits for all of them.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use shared::output::OutputListener;
use shared::{
    BoxFuture, Engine, Evaluation, Evaluations, Event, EventSink, EventType, Evidence,
    NotCancelled, Outcome, Page, Query, QueueStats, Refused, Submission, Verdict,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::archive::{Archive, ArchiveLimits, InMemoryArchive, page};
use crate::table::{Table, Work};

/// How long an engine may go on after a program's time is over before the queue gives it up. An
/// engine has deadlines of its own; this is for one that breaks its word.
const GIVE_UP: Duration = Duration::from_mins(1);

/// The size of a queue.
#[derive(Debug, Clone)]
pub struct QueueOptions {
    /// Evaluations that run at the same time.
    pub workers: usize,
    /// Evaluations that may wait.
    pub capacity: usize,
    /// Limits for the programs of the queue's own tests.
    pub limits: shared::Limits,
}

impl From<&shared::cli::Settings> for QueueOptions {
    fn from(settings: &shared::cli::Settings) -> Self {
        Self {
            workers: settings.workers.into(),
            capacity: usize::try_from(settings.queue_capacity).unwrap_or(usize::MAX),
            limits: settings.bounds().default,
        }
    }
}

/// Accepts submissions while there is room, and runs them on an engine in the order they came.
pub struct TaskQueue {
    table: Mutex<Table>,
    /// Notified once for each accepted submission, and for all at the shutdown.
    work: Notify,
    pub(crate) engine: Arc<dyn Engine>,
    events: Arc<dyn EventSink>,
    archive: Arc<dyn Archive>,
    pub(crate) options: QueueOptions,
    workers: TaskTracker,
}

impl TaskQueue {
    /// A queue on `engine` whose workers are up. Everything that happens is told to `events`. The
    /// evaluations that ended last are kept in memory.
    pub fn start(
        engine: Arc<dyn Engine>,
        events: Arc<dyn EventSink>,
        options: QueueOptions,
    ) -> Arc<Self> {
        Self::with_archive(
            engine,
            events,
            options,
            Arc::new(InMemoryArchive::new(ArchiveLimits::default())),
        )
    }

    /// The same, with an archive that takes over what has ended.
    pub fn with_archive(
        engine: Arc<dyn Engine>,
        events: Arc<dyn EventSink>,
        options: QueueOptions,
        archive: Arc<dyn Archive>,
    ) -> Arc<Self> {
        let table = Mutex::new(Table::new(Arc::clone(&events), Arc::clone(&archive)));
        let (work, workers) = (Notify::new(), TaskTracker::new());
        let queue = Arc::new(Self { table, work, engine, events, archive, options, workers });
        for number in 1..=queue.options.workers {
            queue.workers.spawn(Arc::clone(&queue).worker(number));
        }
        queue.workers.close();
        queue
    }

    // ANCHOR: worker
    async fn worker(self: Arc<Self>, number: usize) {
        self.tell(EventType::WorkerStarted, number);
        while let Some(work) = self.next().await {
            let id = work.job.id;
            let verdict = self.evaluate(work).await;
            self.table().finish(id, verdict);
        }
        self.tell(EventType::WorkerStopped, number);
    }

    /// Waits for the next evaluation. None when the queue is closed and empty.
    async fn next(&self) -> Option<Work> {
        loop {
            // Registered before the look: what is submitted after it wakes this worker. `Notify`
            // stores a single wake-up for those who are not registered, however many it gave.
            let mut notified = pin!(self.work.notified());
            notified.as_mut().enable();
            {
                let mut table = self.table();
                if let Some(work) = table.start_next() {
                    return Some(work);
                } else if table.closed {
                    return None;
                }
            }
            notified.await;
        }
    }
    // ANCHOR_END: worker

    // ANCHOR: evaluate
    /// Runs one evaluation in a task of its own: whatever becomes of it, the worker stays.
    async fn evaluate(&self, work: Work) -> Verdict {
        let Work { job, buffer, cancel } = work;
        let patience = Duration::from_secs_f64(job.submission.limits.timeout_seconds) + GIVE_UP;
        let engine = Arc::clone(&self.engine);
        let mut run = tokio::spawn(async move { engine.evaluate(&job, &buffer, cancel).await });
        let lost = |why: String| Verdict {
            error: Some(why),
            ..Verdict::new(Outcome::WorkerLost, Evidence::new("worker"))
        };
        match tokio::time::timeout(patience, &mut run).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => lost(format!("the engine broke off: {error}")),
            Err(_) => {
                run.abort();
                lost(format!("the engine did not answer within {} s", patience.as_secs()))
            }
        }
    }
    // ANCHOR_END: evaluate

    fn tell(&self, kind: EventType, worker: usize) {
        self.events.emit(Event::now(kind, None, json!({ "worker": worker })));
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // No code panics while it holds the lock; if it ever did, the table would still be whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Evaluations for TaskQueue {
    // ANCHOR: backpressure
    fn submit(
        &self,
        submission: Submission,
        listener: Option<OutputListener>,
    ) -> Result<Evaluation, Refused> {
        let mut table = self.table();
        if table.closed {
            return Err(Refused::ShuttingDown);
        }
        if table.waiting.len() >= self.options.capacity {
            // With every worker busy for the default time at worst, one place comes free in:
            let turn = Duration::from_secs_f64(self.options.limits.timeout_seconds)
                .div_f64(f64::from(u32::try_from(self.options.workers).unwrap_or(u32::MAX)));
            return Err(Refused::QueueFull { retry_after: turn.as_secs().clamp(1, 60) });
        }
        let accepted = table.submit(submission, self.engine.sandbox(), listener);
        drop(table);
        self.work.notify_one();
        Ok(accepted)
    }
    // ANCHOR_END: backpressure

    // What has ended between the two looks is found by the second: the archive has it before the
    // table lets go of it. The archive is asked when the table is not locked any more.
    fn get(&self, id: Uuid) -> Option<Evaluation> {
        let live = self.table().get(id);
        live.or_else(|| self.archive.get(id))
    }

    fn finished(&self, id: Uuid) -> Option<CancellationToken> {
        let live = self.table().finished(id);
        live.or_else(|| {
            let fired = CancellationToken::new();
            fired.cancel();
            self.archive.get(id).map(|_ended| fired)
        })
    }

    fn list(&self, query: Query) -> Page {
        let live = self.table().list(&query);
        let ended = self.archive.list(&query);
        let rest = live.next_cursor.or(ended.next_cursor).is_some();
        // By their ids; what has ended between the two looks stands there once, as ended.
        let all = live.items.into_iter().chain(ended.items).map(|one| (one.id, one));
        let all: BTreeMap<_, _> = all.collect();
        let mut merged = page(all.into_values().rev(), query.limit, |one| one);
        if rest {
            merged.next_cursor = merged.items.last().map(|last| last.id);
        }
        merged
    }

    fn cancel(&self, id: Uuid) -> Result<Evaluation, NotCancelled> {
        let cancelled = self.table().cancel(id);
        match self.get(id) {
            Some(evaluation) if cancelled => Ok(evaluation),
            Some(ended) => Err(NotCancelled::Ended(ended.status)),
            None => Err(NotCancelled::Unknown),
        }
    }

    fn queue_stats(&self) -> QueueStats {
        let table = self.table();
        let oldest = table.oldest_waiting().map_or(Duration::ZERO, |since| since.elapsed());
        QueueStats {
            depth: table.waiting.len(),
            capacity: self.options.capacity,
            workers: self.options.workers,
            workers_busy: table.running,
            oldest_wait_ms: u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX),
        }
    }

    // ANCHOR: shutdown
    fn shutdown(&self, now: CancellationToken) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            {
                let mut table = self.table();
                table.closed = true;
                // What has not started will not start: its submitter is told, not left waiting.
                for id in table.waiting.clone() {
                    let _cancelled = table.cancel(id);
                }
            }
            self.work.notify_waiters();
            let all_ended = self.workers.wait();
            tokio::pin!(all_ended);
            tokio::select! {
                () = &mut all_ended => return,
                () = now.cancelled() => self.table().cancel_running(),
            }
            all_ended.await;
        })
    }
    // ANCHOR_END: shutdown
}
