//! The queue: bounded, first come first served, with N workers.
//!
//! It joins the [`Ledger`], which knows the state of every evaluation, with a [`Dispatch`], which
//! hands jobs to workers, and an engine, which runs them.
//!
//! Task tree: [`TaskQueue::new`] spawns the workers into a `TaskTracker`; each worker spawns one task
//! for each evaluation and waits for it, so that an engine that panics loses one evaluation
//! (`worker_lost`) and not the worker. `shutdown` waits for all of them.

mod batch;
mod evaluations;
mod reserved_worker;

use std::sync::Arc;
use std::time::Duration;

use shared::output::OutputListener;
use shared::{
    Engine, Evaluation, EvaluationsError, Event, EventSink, EventType, Job, RequestContext,
    Submission, Verdict,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::archive::{Archive, ArchiveLimits, InMemoryArchive};
use crate::dispatch::{Dispatch, InMemoryDispatch, Lease};
use crate::event_data::WorkerData;
use crate::journal::InMemoryJournal;
use crate::ledger::{Assignment, Ledger, LedgerParts, Resumed};

/// How much longer than the wall-clock limit of a program an engine may take. An engine has
/// deadlines of its own, one for each of its steps; this is the backstop for one that misses them.
const ENGINE_GRACE: Duration = Duration::from_mins(3);
/// How long running evaluations may take to end at a shutdown once they were told to.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(8);
/// The pause after the dispatch could not be reached.
const DISPATCH_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The size of a queue.
#[derive(Debug, Clone)]
pub struct QueueOptions {
    /// Evaluations that run at the same time.
    pub workers: usize,
    /// Evaluations that may wait.
    pub capacity: usize,
    /// Default limits of a submission, to estimate `Retry-After`.
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

/// What a queue is made of.
#[derive(Clone)]
pub struct QueueParts {
    /// Knows the state of every evaluation.
    pub ledger: Arc<Ledger>,
    /// Hands jobs to workers.
    pub dispatch: Arc<dyn Dispatch>,
    /// Runs the programs. None if workers elsewhere lease the jobs.
    pub engine: Option<Arc<dyn Engine>>,
    /// Receives the events of workers.
    pub events: Arc<dyn EventSink>,
}

impl QueueParts {
    async fn dispatch_job(&self, job: Job) -> Result<(), EvaluationsError> {
        let id = job.id;
        let Err(error) = self.dispatch.push(job).await else { return Ok(()) };
        tracing::error!(%id, %error, "an accepted job was not dispatched");
        let verdict = Verdict::worker_lost("dispatch", "the job could not be dispatched");
        self.ledger.finish(id, verdict).await;
        Err(EvaluationsError::Internal(error.into()))
    }
}

/// Accepts submissions while there is room, and runs them on an engine in the order they came.
pub struct TaskQueue {
    pub(crate) parts: QueueParts,
    pub(crate) options: QueueOptions,
    /// The tasks of the workers, until the shutdown.
    pub(crate) workers: TaskTracker,
    /// The closing of each scratch queue of a self test. Closed when the shutdown starts.
    pub(crate) scratch_closings: TaskTracker,
}

impl TaskQueue {
    /// A queue on `engine` whose workers run. The evaluations that ended last are stored in memory.
    pub fn start(
        engine: Arc<dyn Engine>,
        events: Arc<dyn EventSink>,
        options: QueueOptions,
    ) -> Arc<Self> {
        let archive = InMemoryArchive::new(ArchiveLimits::default());
        Self::with_archive(engine, events, options, Arc::new(archive))
    }

    /// The same, with an archive for what has ended.
    pub fn with_archive(
        engine: Arc<dyn Engine>,
        events: Arc<dyn EventSink>,
        options: QueueOptions,
        archive: Arc<dyn Archive>,
    ) -> Arc<Self> {
        let ledger = Ledger::new(LedgerParts {
            journal: Arc::new(InMemoryJournal::new(Arc::clone(&events))),
            archive,
            progress: Arc::clone(&events),
            sandbox: Some(engine.sandbox()),
            capacity: options.capacity,
        });
        let dispatch = Arc::new(InMemoryDispatch::new());
        Self::new(QueueParts { ledger, dispatch, engine: Some(engine), events }, options)
    }

    /// A queue of these parts. With an engine its workers run.
    pub fn new(parts: QueueParts, options: QueueOptions) -> Arc<Self> {
        let queue = Arc::new(Self {
            parts,
            options,
            workers: TaskTracker::new(),
            scratch_closings: TaskTracker::new(),
        });
        if let Some(engine) = &queue.parts.engine {
            for number in 1..=queue.options.workers {
                queue.workers.spawn(Arc::clone(&queue).worker(number, Arc::clone(engine)));
            }
        }
        queue.workers.close();
        queue
    }

    /// Goes on with evaluations that were accepted before a restart, in this order.
    ///
    /// # Errors
    ///
    /// When the dispatch does not take a job.
    pub async fn resume(&self, resumed: Vec<Resumed>) -> Result<(), EvaluationsError> {
        for one in resumed {
            let job = self.parts.ledger.resume(one);
            let (id, attempt) = (job.id, job.attempt);
            tracing::info!(%id, attempt, "evaluation resumed");
            self.parts.dispatch_job(job).await?;
        }
        Ok(())
    }

    // ANCHOR: worker
    async fn worker(self: Arc<Self>, number: usize, engine: Arc<dyn Engine>) {
        self.emit_worker_event(EventType::WorkerStarted, number);
        loop {
            match self.parts.dispatch.lease().await {
                Ok(Some(lease)) => self.process(lease, &engine).await,
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "no job can be leased");
                    tokio::time::sleep(DISPATCH_RETRY_INTERVAL).await;
                }
            }
        }
        self.emit_worker_event(EventType::WorkerStopped, number);
    }

    /// Runs the job of a lease, unless its evaluation was cancelled meanwhile.
    async fn process(&self, lease: Lease, engine: &Arc<dyn Engine>) {
        let (id, attempt) = (lease.job.id, lease.job.attempt);
        let sandbox = engine.sandbox_for(&lease.job);
        let span = tracing::info_span!("evaluation", %id, attempt, engine = sandbox.engine);
        async {
            let mut next = None;
            if let Some(assignment) = self.parts.ledger.start(id, attempt, sandbox).await {
                tracing::info!("evaluation started");
                let verdict = self.evaluate(&lease, assignment, Arc::clone(engine)).await;
                next = self.parts.ledger.finish_attempt(&lease.job, verdict).await;
            }
            if let Err(error) = self.parts.dispatch.ack(lease).await {
                tracing::warn!(%error, "the job was not acknowledged");
            }
            // After the acknowledgement, which is by the same id.
            if let Some(job) = next {
                self.parts.dispatch_job(job).await.ok(); // one that is not dispatched has ended
            }
        }
        .instrument(span)
        .await;
    }
    // ANCHOR_END: worker

    // ANCHOR: evaluate
    /// Runs one job in a task of its own: a panic in the engine does not end the worker.
    async fn evaluate(
        &self,
        lease: &Lease,
        assignment: Assignment,
        engine: Arc<dyn Engine>,
    ) -> Verdict {
        let Assignment { output, cancel } = assignment;
        let job = lease.job.clone();
        let limit = Duration::from_secs_f64(job.submission.limits.timeout_seconds) + ENGINE_GRACE;
        let run = async move { engine.evaluate(&job, &output, cancel).await };
        let mut run = tokio::spawn(run.in_current_span());
        let finished = tokio::select! {
            finished = tokio::time::timeout(limit, &mut run) => finished,
            () = self.send_heartbeats(lease) => {
                run.abort();
                return Verdict::worker_lost("lease", "the lease of the job has expired");
            }
        };
        match finished {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => {
                tracing::error!(%error, "the engine panicked");
                Verdict::worker_lost("worker", "the engine broke off")
            }
            Err(_) => {
                run.abort();
                let error = format!("the engine did not answer within {} s", limit.as_secs());
                Verdict::worker_lost("worker", error)
            }
        }
    }
    // ANCHOR_END: evaluate

    /// Extends a lease as long as it can be extended. Returns when it has expired.
    async fn send_heartbeats(&self, lease: &Lease) {
        let Some(interval) = lease.heartbeat_interval else { return std::future::pending().await };
        loop {
            tokio::time::sleep(interval).await;
            match self.parts.dispatch.heartbeat(lease).await {
                Ok(()) => {}
                Err(crate::DispatchError::LeaseExpired) => return,
                Err(error) => tracing::warn!(%error, "no heartbeat was sent"),
            }
        }
    }

    // ANCHOR: backpressure
    /// Accepts a submission and dispatches its job, in a task of its own: a client that disconnects
    /// in between does not leave an evaluation that no worker ever gets.
    async fn accept(
        &self,
        context: &RequestContext,
        submission: Submission,
        listener: Option<OutputListener>,
    ) -> Result<Evaluation, EvaluationsError> {
        let (parts, context) = (self.parts.clone(), context.clone());
        let retry_after = self.slot_interval();
        let task = async move {
            let accepted = parts.accept(&context, submission, listener, retry_after).await;
            let (evaluation, waiting) = accepted.inspect_err(|refused| {
                tracing::info!(reason = %refused, "submission refused");
            })?;
            let principal = context.principal.as_deref();
            tracing::info!(id = %evaluation.id, principal, "evaluation accepted");
            if let Some(job) = waiting {
                parts.dispatch_job(job).await?;
            }
            Ok(evaluation)
        };
        let task = tokio::spawn(task.in_current_span());
        task.await.map_err(|error| EvaluationsError::Internal(error.into()))?
    }
    // ANCHOR_END: backpressure

    /// Seconds until a slot is free, if every worker is busy for the default time limit.
    fn slot_interval(&self) -> u64 {
        let workers = u32::try_from(self.options.workers).unwrap_or(u32::MAX);
        let interval = self.options.limits.timeout_seconds / f64::from(workers.max(1));
        Duration::from_secs_f64(interval).as_secs().clamp(1, 60)
    }

    async fn cancel_one(&self, id: Uuid) -> Result<Evaluation, EvaluationsError> {
        let is_live = self.parts.ledger.cancel(id).await;
        let evaluation = self.parts.ledger.get(id).await?;
        if !is_live {
            return Err(EvaluationsError::AlreadyEnded(evaluation.status));
        }
        tracing::info!(%id, "cancellation requested");
        if evaluation.status.is_final() {
            // A worker that leases the job nevertheless finds that its evaluation has ended.
            self.parts.dispatch.remove(id).await.ok();
        }
        Ok(evaluation)
    }

    // ANCHOR: shutdown
    async fn drain(&self, now: CancellationToken) {
        self.scratch_closings.close();
        // What has not started does not start any more: its client gets an end instead of a wait. One whose start is
        // being committed runs until `now`.
        self.parts.ledger.close().await;
        self.parts.dispatch.close();
        let grace = async {
            now.cancelled().await;
            self.parts.ledger.cancel_running();
            tokio::time::sleep(SHUTDOWN_GRACE).await;
        };
        tokio::select! {
            () = self.workers.wait() => {}
            () = grace => {
                let reason = "the platform was shut down, and could not end it";
                self.parts.ledger.abandon(reason).await;
            }
        }
        self.parts.ledger.settled().await;
        self.scratch_closings.wait().await;
    }
    // ANCHOR_END: shutdown

    fn emit_worker_event(&self, kind: EventType, worker: usize) {
        self.parts.events.emit(Event::now(kind, None, WorkerData { worker }));
    }
}
