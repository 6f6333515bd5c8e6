//! The components of this stage: those of stage 6, with a database behind storage and events.

use std::sync::Arc;

use shared::cli::{BuildError, Settings};
use stage_02_queue::{InMemoryDispatch, Ledger, LedgerParts, QueueOptions, QueueParts, TaskQueue};
use stage_03_monitoring::{AdvancedMonitor, InMemoryMonitor};
use stage_06_advanced::{Components, remote_engine};

use crate::args::{FrontierArgs, StorageKind};
use crate::event_log::SqliteEventLog;
use crate::files::FileStorage;
use crate::journal::SqliteJournal;
use crate::recovery::{recover, sweep_files};
use crate::storage::{Retention, SqliteStorage};
use crate::store::Store;

/// What this stage is made of.
pub struct Frontier {
    /// The components of the platform.
    pub components: Components,
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
        // First, because another server is the most likely error.
        let store = Store::open(args.storage.lock()?)?;
        let components = match args.storage.storage {
            StorageKind::Sqlite => durable(settings, args, &store).await?,
            StorageKind::Memory => Components::build(settings, &args.contract.api.platform).await?,
        };
        Ok(Self { components, store })
    }
}

// ANCHOR: durable
/// The components over `store`. What it has that had not ended goes on.
async fn durable(
    settings: &Settings,
    args: &FrontierArgs,
    store: &Arc<Store>,
) -> Result<Components, BuildError> {
    let platform = &args.contract.api.platform;
    let engine = match remote_engine().await? {
        Some(engine) => engine,
        None => platform.engine.start(settings.bounds().default).await?,
    };
    let files = FileStorage::open(store.directory().files())?;
    sweep_files(store, &files).await?;
    let log = SqliteEventLog::open(Arc::clone(store)).await?;
    let recovered = recover(&log, &files).await?;
    let streams = platform.monitor_options().max_streams;
    let monitor = InMemoryMonitor::with_log(log.clone(), streams);
    let monitor = Arc::new(AdvancedMonitor::new(monitor));
    let journal = Arc::new(SqliteJournal {
        store: Arc::clone(store),
        log,
        files,
        unpublished: Arc::default(),
        monitor: monitor.clone(),
    });
    let retention = Retention { days: args.storage.storage_days };
    let storage = SqliteStorage::open(&journal, platform.archive_limits(), retention).await?;
    let options = QueueOptions::from(settings);
    let ledger = Ledger::new(LedgerParts {
        journal: journal.clone(),
        archive: storage.clone(),
        progress: monitor.clone(),
        sandbox: Some(engine.sandbox()),
        capacity: options.capacity,
    });
    stage_02_queue::Journal::publish(journal.as_ref(), recovered.events);
    let parts = QueueParts {
        ledger,
        dispatch: Arc::new(InMemoryDispatch::new()),
        engine: Some(engine.clone()),
        events: monitor.clone(),
    };
    let queue = TaskQueue::new(parts, options);
    queue.resume(recovered.waiting).await?;
    Ok(Components { engine: Some(engine), queue, monitor, storage })
}
// ANCHOR_END: durable
