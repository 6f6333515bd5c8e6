//! The components of this stage: those of stage 6, with a database behind storage and events.

use std::sync::Arc;

use shared::cli::{BuildError, Settings};
use shared::{Engine, EventSink, NoopSink};
use stage_02_queue::{
    Archive, Dispatch, InMemoryJournal, Journal, Ledger, LedgerParts, QueueOptions, QueueParts,
    Resumed, TaskQueue,
};
use stage_03_monitoring::{
    AdvancedMonitor, EventLog, Filter, InMemoryMonitor, MonitoringService, SubscribeError,
};
use stage_06_advanced::{
    Components, EngineArgs, InMemoryStorage, SandboxEngine, StorageService, WarmSandboxes,
    remote_engine,
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
use crate::storage::{Retention, SqliteStorage, Upkeep};
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
    /// Whether the engine that the flags select is started as well: for sandboxes that stay, and as one of what
    /// `engine` has programs run on.
    pub with_local: bool,
}

/// The engine that the flags select, and what comes with it.
struct LocalEngine {
    engine: Arc<dyn Engine>,
    /// Cancelled when the process that it runs in is gone.
    gone: CancellationToken,
    warm: WarmSandboxes,
    sandboxes: Option<Arc<dyn SandboxEngine>>,
}

impl LocalEngine {
    async fn start(settings: &Settings, args: &EngineArgs) -> Result<Self, BuildError> {
        if let Some(engine) = remote_engine().await? {
            let (gone, warm) = (engine.host_gone(), engine.warm_sandboxes());
            return Ok(Self { gone, warm, sandboxes: engine.sandboxes(), engine });
        }
        let engine = args.start(settings.bounds().default).await?;
        let (gone, warm) = (CancellationToken::new(), args.runsc.warm.clone());
        Ok(Self { engine, gone, warm, sandboxes: args.runsc.kept.engine() })
    }
}

/// Makes the monitor over an event log.
pub type MakeMonitor = Box<dyn FnOnce(InMemoryMonitor) -> Arc<dyn MonitoringService> + Send>;

/// What a later stage has in place of parts of this one. By default all of them are those of this one.
#[derive(Default)]
pub struct Replaced {
    /// Runs the programs.
    pub runner: Option<Runner>,
    /// The monitor; [`AdvancedMonitor`] if None.
    pub monitor: Option<MakeMonitor>,
    /// What starts to delete what is beyond the limits of the storage.
    pub upkeep: Upkeep,
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
    /// The number of the last event before this start. Those of the recovery come after it.
    pub began: u64,
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
    /// Cancelled when the process of the engine among the components is gone.
    pub engine_gone: CancellationToken,
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
        Self::build_on(settings, args, Replaced::default()).await
    }

    /// The same, with what is in `replaced`.
    ///
    /// # Errors
    ///
    /// As [`Self::build`].
    pub async fn build_on(
        settings: &Settings,
        args: &FrontierArgs,
        replaced: Replaced,
    ) -> Result<Self, BuildError> {
        let Replaced { runner, monitor, upkeep } = replaced;
        // First, because another server is the most likely error.
        let store = Store::open(args.storage.lock()?)?;
        let engine_args = args.engine();
        let mut options = QueueOptions::from(settings);
        let is_local = runner.is_none();
        let (local, runner) = engines(settings, &engine_args, runner, options.workers).await?;
        let Runner { engine, dispatch: in_between, workers, .. } = runner;
        options.workers = workers;
        let selection = Selection::new(engine_args.profiles(), settings.bounds(), engine.sandbox());
        let engine = WithEnvironments::wrap(engine, selection.profiles.clone());
        let monitor =
            monitor.unwrap_or_else(|| Box::new(|log| Arc::new(AdvancedMonitor::new(log))));
        let Stored { monitor, log, began, storage, archive, journal, waiting, durable: stored } =
            match args.storage.storage {
                StorageKind::Sqlite => durable(args, &store, monitor, upkeep).await?,
                StorageKind::Memory => in_memory(args, monitor).await?,
            };
        let quotas = Quotas::new(args.access.quotas(settings.queue_capacity));
        let journal = UsageJournal::start(journal, quotas.clone(), store.clone()).await?;
        let ledger = Ledger::new(LedgerParts {
            journal,
            archive,
            progress: monitor.clone(),
            sandbox: Some(engine.sandbox()),
            capacity: options.capacity,
        });
        let gone = local.as_ref().filter(|_| is_local).map(|local| local.gone.clone());
        let dispatch = PriorityDispatch::new(args.access.key_running, gone.unwrap_or_default());
        let dispatch = Arc::new(dispatch);
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
        let of_process = local.as_ref().map(|local| Arc::clone(&local.engine));
        let warm = local.as_ref().map(|local| local.warm.clone()).unwrap_or_default();
        let engine_gone = local.as_ref().map(|local| local.gone.clone()).unwrap_or_default();
        let components = Components {
            engine: if is_local { Some(engine) } else { of_process },
            queue: tasks.clone(),
            monitor,
            storage,
        };
        Ok(Self {
            components,
            tasks,
            dispatch,
            log,
            began,
            stored,
            selection,
            warm,
            quotas,
            sandboxes: local.and_then(|local| local.sandboxes),
            engine_gone,
            store,
        })
    }
}

/// What runs the programs, and the engine of this process, where that is wanted.
async fn engines(
    settings: &Settings,
    args: &EngineArgs,
    runner: Option<Runner>,
    workers: usize,
) -> Result<(Option<LocalEngine>, Runner), BuildError> {
    if let Some(runner) = runner {
        let local =
            if runner.with_local { Some(LocalEngine::start(settings, args).await?) } else { None };
        return Ok((local, runner));
    }
    let local = LocalEngine::start(settings, args).await?;
    let dispatch: InBetween = Box::new(|dispatch| dispatch.clone());
    let runner = Runner { engine: Arc::clone(&local.engine), dispatch, workers, with_local: true };
    Ok((Some(local), runner))
}

/// Where evaluations and events are stored, and what goes on after a restart.
struct Stored {
    monitor: Arc<dyn MonitoringService>,
    log: Arc<dyn EventLog>,
    began: u64,
    storage: Arc<dyn StorageService>,
    archive: Arc<dyn Archive>,
    journal: Arc<dyn Journal>,
    waiting: Vec<Resumed>,
    durable: Option<Arc<SqliteStorage>>,
}

/// Everything in memory, as in stage 6.
async fn in_memory(args: &FrontierArgs, monitor: MakeMonitor) -> Result<Stored, BuildError> {
    let platform = &args.contract.api.platform;
    let streams = InMemoryMonitor::new(platform.monitor_options());
    let log = streams.log();
    let began = newest(&*log).await?;
    let monitor = monitor(streams);
    let storage = Arc::new(InMemoryStorage::new(platform.archive_limits(), monitor.clone()));
    let journal = Arc::new(InMemoryJournal::new(monitor.clone()));
    let waiting = Vec::new();
    let (archive, durable) = (storage.clone(), None);
    Ok(Stored { monitor, log, began, storage, archive, journal, waiting, durable })
}

/// The number of the newest event.
async fn newest(log: &dyn EventLog) -> Result<u64, SubscribeError> {
    Ok(log.position(Filter::Everything, None).await?.0)
}

// ANCHOR: durable
/// The components over `store`. What it has that had not ended goes on.
async fn durable(
    args: &FrontierArgs,
    store: &Arc<Store>,
    monitor: MakeMonitor,
    upkeep: Upkeep,
) -> Result<Stored, BuildError> {
    let platform = &args.contract.api.platform;
    let files = FileStorage::open(store.directory().files())?;
    sweep_files(store, &files).await?;
    let log = SqliteEventLog::open(Arc::clone(store)).await?;
    let began = newest(&*log).await?;
    let recovered = recover(&log, &files).await?;
    let streams = platform.monitor_options().max_streams;
    let monitor = monitor(InMemoryMonitor::with_log(log.clone(), streams));
    let journal = Arc::new(SqliteJournal {
        store: Arc::clone(store),
        log: log.clone(),
        files,
        unpublished: Arc::default(),
        monitor: monitor.clone(),
    });
    let retention = Retention { days: args.storage.storage_days };
    let storage = SqliteStorage::open_with(&journal, platform.archive_limits(), retention, upkeep);
    journal.publish(recovered.events);
    let (archive, durable) = (storage.clone(), Some(storage.clone()));
    let waiting = recovered.waiting;
    Ok(Stored { monitor, log, began, storage, archive, journal, waiting, durable })
}
// ANCHOR_END: durable
