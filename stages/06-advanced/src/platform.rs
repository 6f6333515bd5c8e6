//! The platform: its parts are handed to it, and all that is above it talks to it alone.
//!
//! Nothing here is global and nothing is looked up: whoever constructs a platform chooses its parts.
//! Later stages wrap it and hand it other parts; none of them wires anew what is below.
//!
//! Task tree: `Platform::new` spawns the watch, which verifies the parts from time to time; it ends
//! with the platform. The queue has tasks of its own.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use shared::cli::{App, BuildError, Settings};
use shared::http::Router;
use shared::output::OutputListener;
use shared::{
    Bounds, BoxFuture, Engine, Evaluation, Evaluations, NotCancelled, Page, Query, QueueStats,
    Refused, SandboxInfo, Submission, TestableComponent,
};
use stage_02_queue::{QueueOptions, TaskQueue};
use stage_03_monitoring::{AdvancedMonitor, InMemoryMonitor, MonitoringService, StageInfo};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::args::PlatformArgs;
use crate::health::Health;
use crate::memory::InMemoryStorage;
use crate::storage::StorageService;
use crate::{ending, routes, watch};

/// What accepts evaluations and runs them, and can verify itself.
pub trait Queue: Evaluations + TestableComponent {}

impl<T: Evaluations + TestableComponent> Queue for T {}

// ANCHOR: parts
/// The parts of a platform. Each is a trait: whoever constructs a platform says what stands behind.
#[derive(Clone)]
pub struct Parts {
    /// What runs the programs.
    pub engine: Arc<dyn Engine>,
    /// What accepts them, and gives them to the engine.
    pub queue: Arc<dyn Queue>,
    /// What is told of everything that happens.
    pub monitor: Arc<dyn MonitoringService>,
    /// What keeps the evaluations that have ended.
    pub storage: Arc<dyn StorageService>,
}
// ANCHOR_END: parts

/// What can be set about a platform itself.
#[derive(Debug, Clone)]
pub struct PlatformOptions {
    /// The stage that it serves, by the name of its package.
    pub stage: &'static str,
    /// One line on what stands between a program and the machine.
    pub isolation: &'static str,
    /// What submissions are held to.
    pub bounds: Bounds,
    /// How often it verifies itself.
    pub self_test_every: Duration,
}

/// An evaluation platform.
pub struct Platform {
    pub(crate) parts: Parts,
    pub(crate) options: PlatformOptions,
    pub(crate) health: Health,
    /// What is built on top and verified with the rest. It holds the platform, so this is weak.
    above: Mutex<Vec<Weak<dyn TestableComponent>>>,
    /// What the engine said at the start that its walls are.
    pub(crate) sandbox: SandboxInfo,
    pub(crate) started: (Timestamp, Instant),
    /// Expected the watch when the platform goes.
    _watch: DropGuard,
}

impl Platform {
    // ANCHOR: start
    /// A platform of the parts that this stage serves with: the chosen engine, and the rest in
    /// memory.
    ///
    /// # Errors
    ///
    /// When the engine does not start. No other takes its place.
    pub async fn start(
        stage: &'static str,
        settings: &Settings,
        args: &PlatformArgs,
    ) -> Result<Arc<Self>, BuildError> {
        let engine = args.engine.start(settings.bounds().default).await?;
        let monitor = Arc::new(AdvancedMonitor::new(InMemoryMonitor::new(args.monitor())));
        let storage = Arc::new(InMemoryStorage::new(args.retention(), monitor.clone()));
        let queue = TaskQueue::with_archive(
            engine.clone(),
            monitor.clone(),
            QueueOptions::from(settings),
            storage.clone(),
        );
        let parts = Parts { engine, queue, monitor, storage };
        Ok(Self::new(parts, args.options(stage, settings)))
    }

    /// A platform of these parts.
    pub fn new(parts: Parts, options: PlatformOptions) -> Arc<Self> {
        let stop = CancellationToken::new();
        let every = options.self_test_every;
        let sandbox = parts.engine.sandbox();
        let platform = Arc::new(Self {
            parts,
            options,
            health: Health::default(),
            above: Mutex::default(),
            sandbox,
            started: (Timestamp::now(), Instant::now()),
            _watch: stop.clone().drop_guard(),
        });
        // It holds the platform weakly, and ends with it.
        tokio::spawn(watch::watch(Arc::downgrade(&platform), every, stop));
        platform
    }
    // ANCHOR_END: start

    /// Verifies `part` with the rest from now on, as long as it is there: what is built on top of a
    /// platform is a component as well.
    pub fn also_verify(&self, part: Weak<dyn TestableComponent>) {
        self.above.lock().unwrap_or_else(PoisonError::into_inner).push(part);
    }

    /// Everything that can verify itself, from the engine upwards.
    pub fn components(self: &Arc<Self>) -> Vec<Arc<dyn TestableComponent>> {
        let Parts { engine, queue, monitor, storage } = self.parts.clone();
        let mut all: Vec<Arc<dyn TestableComponent>> =
            vec![engine, queue, monitor, storage, self.clone()];
        let above = self.above.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(above.iter().filter_map(Weak::upgrade));
        all
    }

    // ANCHOR: router
    /// The routes of all layers, over this platform.
    pub fn router(self: &Arc<Self>) -> Router {
        let PlatformOptions { stage, isolation, bounds, .. } = self.options;
        let monitor = self.parts.monitor.clone();
        stage_02_queue::routes(self.clone(), bounds)
            .merge(stage_03_monitoring::routes(
                monitor,
                self.clone(),
                StageInfo { name: stage, isolation },
            ))
            .merge(routes::routes(self))
    }
    // ANCHOR_END: router

    /// The platform as the command line takes it.
    pub fn app(self: Arc<Self>) -> App {
        App {
            router: self.router(),
            components: self.components(),
            events: self.parts.monitor.clone(),
            engine: self.parts.engine.clone(),
            evaluations: self,
        }
    }
}

// ANCHOR: evaluations
impl Evaluations for Platform {
    fn submit(
        &self,
        submission: Submission,
        listener: Option<OutputListener>,
    ) -> Result<Evaluation, Refused> {
        // Attack: a wall falls while the platform runs: a runtime is replaced, a filter is switched
        // off. -> What is watched and found wanting takes no more programs. Test:
        // `a_platform_whose_engine_fails_takes_no_work`.
        if !self.health.all_passed() {
            return Err(Refused::NotReady);
        }
        self.parts.queue.submit(submission, listener)
    }

    fn get(&self, id: Uuid) -> Option<Evaluation> {
        self.parts.queue.get(id)
    }

    fn finished(&self, id: Uuid) -> Option<CancellationToken> {
        self.parts.queue.finished(id)
    }

    fn list(&self, query: Query) -> Page {
        self.parts.queue.list(query)
    }

    fn cancel(&self, id: Uuid) -> Result<Evaluation, NotCancelled> {
        self.parts.queue.cancel(id)
    }

    fn queue_stats(&self) -> QueueStats {
        self.parts.queue.queue_stats()
    }

    fn shutdown(&self, now: CancellationToken) -> BoxFuture<'_, ()> {
        Box::pin(ending::shutdown(self, now))
    }
}
// ANCHOR_END: evaluations
