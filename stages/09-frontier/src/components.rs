//! The components of this stage: those of stage 6, with a database behind storage and events.

use std::sync::Arc;

use shared::cli::{BuildError, Settings};
use shared::{Engine, EventSink, NoopSink};
use stage_02_queue::{
    Archive, Dispatch, InMemoryJournal, Journal, Ledger, LedgerParts, QueueOptions, QueueParts,
    Resumed, TaskQueue,
};
use stage_03_monitoring::{AdvancedMonitor, EventLog, InMemoryMonitor};
use stage_06_advanced::{
    Components, InMemoryStorage, SandboxEngine, StorageService, WarmSandboxes, remote_engine,
};
use tokio_util::sync::CancellationToken;

use crate::args::{FrontierArgs, StorageKind};
use crate::batches::{Expiry, PriorityDispatch};
use crate::environments::{Selection, WithEnvironments};
use crate::event_log::SqliteEventLog;
use crate::files::FileStorage;
use crate::journal::SqliteJournal;
use crate::limits::{Quotas, UsageJournal};
use crate::recovery::{recover, sweep_files};
use crate::storage::{Retention, SqliteStorage};
use crate::store::Store;

/// Makes a dispatch over the one that orders the jobs.
pub type InBetween = Box<dyn FnOnce(&Arc<PriorityDispatch>) -> Arc<dyn Dispatch> + Send>;

/// What runs the programs, where that is not the engine that the flags select.
pub struct Runner {
    /// Runs them.
    pub engine: Arc<dyn Engine>,
    /// What is between the order of the jobs and `engine`.
    pub dispatch: InBetween,
    /// Programs that `engine` runs at the same time, at most.
    pub workers: usize,
}

/// What this stage is made of.
pub struct Frontier {
    /// The components of the platform.
    pub components: Components,
    /// The queue among them, which accepts several submissions at once.
    pub tasks: Arc<TaskQueue>,
    /// Hands its jobs to workers.
    pub dispatch: Arc<PriorityDispatch>,
    /// The events, numbered: what the monitor receives, and what later stages read.
    pub log: Arc<dyn EventLog>,
    /// Where what has ended is stored, if that is durable.
    pub stored: Option<Arc<SqliteStorage>>,
    /// What a submission may choose to run in.
    pub selection: Selection,
    /// How many sandboxes wait for a program.
    pub warm: WarmSandboxes,
    /// What keys use.
    pub quotas: Arc<Quotas>,
    /// Opens sandboxes that stay. None where no engine of this server can.
    pub sandboxes: Option<Arc<dyn SandboxEngine>>,
    /// The database. With `--storage memory` it is in a temporary directory, for what has no other
    /// place.
    pub store: Arc<Store>,
}

impl Frontier {
    /// Builds the components that the flags select.
    ///
    /// # Errors
    ///
    /// When the engine does not start, or the data directory cannot be used.
    pub async fn build(settings: &Settings, args: &FrontierArgs) -> Result<Self, BuildError> {
        Self::build_on(settings, args, None).await
    }

    /// The same, with programs that `runner` runs, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Self::build`].
    pub async fn build_on(
        settings: &Settings,
        args: &FrontierArgs,
        runner: Option<Runner>,
    ) -> Result<Self, BuildError> {
        // First, because another server is the most likely error.
        let store = Store::open(args.storage.lock()?)?;
        let engine_args = args.engine();
        let mut engine_gone = CancellationToken::new();
        let mut warm = engine_args.runsc.warm.clone();
        let mut options = QueueOptions::from(settings);
        let mut in_between: InBetween = Box::new(|dispatch| dispatch.clone());
        let is_local = runner.is_none();
        let mut sandboxes = None;
        let engine: Arc<dyn Engine> = if let Some(runner) = runner {
            (options.workers, in_between) = (runner.workers, runner.dispatch);
            runner.engine
        } else if let Some(engine) = remote_engine().await? {
            (engine_gone, warm) = (engine.host_gone(), engine.warm_sandboxes());
            sandboxes = engine.sandboxes();
            engine
        } else {
            let engine = engine_args.start(settings.bounds().default).await?;
            sandboxes = engine_args.runsc.kept.engine();
            engine
        };
        let selection = Selection::new(engine_args.profiles(), settings.bounds(), engine.sandbox());
        let engine = WithEnvironments::wrap(engine, selection.profiles.clone());
        let Stored { monitor, log, storage, archive, journal, waiting, durable: stored } =
            match args.storage.storage {
                StorageKind::Sqlite => durable(args, &store).await?,
                StorageKind::Memory => in_memory(args),
            };
        let quotas = Quotas::new(args.access.quotas());
        let journal = UsageJournal::start(journal, quotas.clone(), store.clone()).await?;
        let ledger = Ledger::new(LedgerParts {
            journal,
            archive,
            progress: monitor.clone(),
            sandbox: Some(engine.sandbox()),
            capacity: options.capacity,
        });
        let dispatch = Arc::new(PriorityDispatch::new(args.access.key_running, engine_gone));
        tokio::spawn(Expiry::new(dispatch.clone(), ledger.clone()).run());
        // The tasks that wait for workers on other machines are none of those workers.
        let events: Arc<dyn EventSink> =
            if is_local { monitor.clone() } else { Arc::new(NoopSink) };
        let parts = QueueParts {
            ledger,
            dispatch: in_between(&dispatch),
            engine: Some(engine.clone()),
            events,
        };
        let tasks = TaskQueue::new(parts, options);
        tasks.resume(waiting).await?;
        let components = Components {
            engine: is_local.then_some(engine),
            queue: tasks.clone(),
            monitor,
            storage,
        };
        Ok(Self {
            components,
            tasks,
            dispatch,
            log,
            stored,
            selection,
            warm,
            quotas,
            sandboxes,
            store,
        })
    }
}

/// Where evaluations and events are stored, and what goes on after a restart.
struct Stored {
    monitor: Arc<AdvancedMonitor>,
    log: Arc<dyn EventLog>,
    storage: Arc<dyn StorageService>,
    archive: Arc<dyn Archive>,
    journal: Arc<dyn Journal>,
    waiting: Vec<Resumed>,
    durable: Option<Arc<SqliteStorage>>,
}

/// The monitor over an event log.
fn with_log(args: &FrontierArgs, log: Arc<SqliteEventLog>) -> Arc<AdvancedMonitor> {
    let streams = args.contract.api.platform.monitor_options().max_streams;
    Arc::new(AdvancedMonitor::new(InMemoryMonitor::with_log(log, streams)))
}

/// Everything in memory, as in stage 6.
fn in_memory(args: &FrontierArgs) -> Stored {
    let platform = &args.contract.api.platform;
    let monitor = InMemoryMonitor::new(platform.monitor_options());
    let log = monitor.log();
    let monitor = Arc::new(AdvancedMonitor::new(monitor));
    let storage = Arc::new(InMemoryStorage::new(platform.archive_limits(), monitor.clone()));
    let journal = Arc::new(InMemoryJournal::new(monitor.clone()));
    let waiting = Vec::new();
    Stored { monitor, log, archive: storage.clone(), storage, journal, waiting, durable: None }
}

// ANCHOR: durable
/// The components over `store`. What it has that had not ended goes on.
async fn durable(args: &FrontierArgs, store: &Arc<Store>) -> Result<Stored, BuildError> {
    let platform = &args.contract.api.platform;
    let files = FileStorage::open(store.directory().files())?;
    sweep_files(store, &files).await?;
    let log = SqliteEventLog::open(Arc::clone(store)).await?;
    let recovered = recover(&log, &files).await?;
    let monitor = with_log(args, log.clone());
    let journal = Arc::new(SqliteJournal {
        store: Arc::clone(store),
        log: log.clone(),
        files,
        unpublished: Arc::default(),
        monitor: monitor.clone(),
    });
    let retention = Retention { days: args.storage.storage_days };
    let storage = SqliteStorage::open(&journal, platform.archive_limits(), retention);
    journal.publish(recovered.events);
    let (archive, durable) = (storage.clone(), Some(storage.clone()));
    Ok(Stored { monitor, log, archive, storage, journal, waiting: recovered.waiting, durable })
}
// ANCHOR_END: durable
