//! The components of this stage: those of stage 6, with a database behind storage and events.

use std::sync::Arc;

use shared::cli::{BuildError, Settings};
use stage_02_queue::{InMemoryJournal, Ledger, LedgerParts, QueueOptions, QueueParts, TaskQueue};
use stage_03_monitoring::{AdvancedMonitor, InMemoryMonitor};
use stage_06_advanced::{Components, InMemoryStorage, remote_engine};

use crate::args::FrontierArgs;
use crate::batches::{Expiry, PriorityDispatch};
use crate::limits::{Quotas, UsageJournal};
use crate::store::Store;

/// What this stage is made of.
pub struct Frontier {
    /// The components of the platform.
    pub components: Components,
    /// The queue among them, which accepts several submissions at once.
    pub tasks: Arc<TaskQueue>,
    /// Hands its jobs to workers.
    pub dispatch: Arc<PriorityDispatch>,
    /// What keys use.
    pub quotas: Arc<Quotas>,
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
        let store = Store::open(args.storage.lock()?)?;
        let platform = &args.contract.api.platform;
        let engine = match remote_engine().await? {
            Some(engine) => engine,
            None => platform.engine.start(settings.bounds().default).await?,
        };
        let events = InMemoryMonitor::new(platform.monitor_options());
        let monitor = Arc::new(AdvancedMonitor::new(events));
        let storage = Arc::new(InMemoryStorage::new(platform.archive_limits(), monitor.clone()));
        let journal = Arc::new(InMemoryJournal::new(monitor.clone()));
        let quotas = Quotas::new(args.access.quotas());
        let journal = UsageJournal::start(journal, quotas.clone(), store.clone()).await?;
        let options = QueueOptions::from(settings);
        let ledger = Ledger::new(LedgerParts {
            journal,
            archive: storage.clone(),
            progress: monitor.clone(),
            sandbox: Some(engine.sandbox()),
            capacity: options.capacity,
        });
        let dispatch = Arc::new(PriorityDispatch::new(args.access.key_running));
        tokio::spawn(Expiry::new(dispatch.clone(), ledger.clone()).run());
        let parts = QueueParts {
            ledger,
            dispatch: dispatch.clone(),
            engine: Some(engine.clone()),
            events: monitor.clone(),
        };
        let tasks = TaskQueue::new(parts, options);
        let components =
            Components { engine: Some(engine), queue: tasks.clone(), monitor, storage };
        Ok(Self { components, tasks, dispatch, quotas, store })
    }
}
