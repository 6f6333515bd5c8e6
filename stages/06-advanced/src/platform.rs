//! The platform: its components are handed to it, and everything above it uses it alone.
//!
//! Nothing here is global and nothing is looked up: the constructor of a platform chooses its
//! components. Later stages change some of them before [`Platform::new`], and wrap the platform; none
//! of them rewires what is below.
//!
//! Task tree: [`Platform::new`] spawns the background self tests, which end with the platform. The
//! queue has tasks of its own, and so has each run of the self tests.

mod health;
mod routes;
mod scratch;
mod self_test;
mod self_test_run;

pub use health::{ComponentHealth, Health};
pub use routes::{PlatformStatus, filtered_query};
pub use scratch::{ScratchError, ScratchPlatform};
pub use self_test_run::{SelfTestRun, SelfTestStatus};

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use jiff::Timestamp;
use shared::cli::{App, BuildError, Settings};
use shared::http::{ApiService, Router};
use shared::output::OutputListener;
use shared::{
    Bounds, BoxFuture, Engine, Evaluation, Evaluations, EvaluationsError, EventSink, Page, Query,
    QueueStats, Refusal, RequestContext, Submission, TestableComponent,
};
use stage_02_queue::{Archive, QueueOptions, ScratchQueue, TaskQueue};
use stage_03_monitoring::{AdvancedMonitor, InMemoryMonitor, MonitoringService, StageInfo};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::config::PlatformArgs;
use crate::storage::{InMemoryStorage, StorageService};
use self_test::PlatformTest;

/// What accepts evaluations and runs them, and can verify itself.
pub trait Queue: Evaluations + TestableComponent {
    /// A queue of the same kind for a check, with a state of its own and one worker on `engine`.
    fn scratch(
        &self,
        engine: Arc<dyn Engine>,
        events: Arc<dyn EventSink>,
        archive: Arc<dyn Archive>,
    ) -> ScratchQueue;
}

// ANCHOR: components
/// The components of a platform. Each is a trait, so that each can be another implementation.
#[derive(Clone)]
pub struct Components {
    /// Runs the programs. None if workers elsewhere run them.
    pub engine: Option<Arc<dyn Engine>>,
    /// Accepts evaluations, and has them run.
    pub queue: Arc<dyn Queue>,
    /// Receives the events.
    pub monitor: Arc<dyn MonitoringService>,
    /// Stores the evaluations that have ended.
    pub storage: Arc<dyn StorageService>,
}
// ANCHOR_END: components

/// The settings of a platform itself.
#[derive(Debug, Clone)]
pub struct PlatformOptions {
    /// The stage that it serves, by the name of its package.
    pub stage: &'static str,
    /// One line on what isolates a program from the machine.
    pub isolation: &'static str,
    /// The bounds of every submission.
    pub bounds: Bounds,
    /// How often it verifies itself.
    pub self_test_interval: Duration,
}

/// An evaluation platform.
pub struct Platform {
    components: Components,
    options: PlatformOptions,
    health: Arc<Health>,
    started: (Timestamp, Instant),
    /// Ends the self tests with the platform.
    _tests: DropGuard,
}

impl Platform {
    // ANCHOR: start
    /// A platform of the components of this stage.
    ///
    /// # Errors
    ///
    /// When the engine does not start. No other takes its place.
    pub async fn start(
        stage: &'static str,
        settings: &Settings,
        args: &PlatformArgs,
    ) -> Result<Arc<Self>, BuildError> {
        let components = Components::build(settings, args).await?;
        Ok(Self::new(components, args.options(stage, settings)))
    }

    /// A platform of these components, which verifies them in the background.
    pub fn new(components: Components, options: PlatformOptions) -> Arc<Self> {
        let interval = options.self_test_interval;
        let platform = Self::without_background(components, options);
        platform.health.run_in_background(interval);
        platform
    }

    fn without_background(components: Components, options: PlatformOptions) -> Arc<Self> {
        let test = PlatformTest { components: components.clone(), bounds: options.bounds };
        let mut all: Vec<Arc<dyn TestableComponent>> = Vec::new();
        if let Some(engine) = &components.engine {
            all.push(engine.clone());
        }
        all.push(components.queue.clone());
        all.push(components.monitor.clone());
        all.push(components.storage.clone());
        all.push(Arc::new(test));
        let health = Health::new(all);
        let tests = health.closing.clone().drop_guard();
        let started = (Timestamp::now(), Instant::now());
        Arc::new(Self { components, options, health, started, _tests: tests })
    }
    // ANCHOR_END: start

    /// The health of the components. A component above the platform is registered here.
    pub fn health(&self) -> &Arc<Health> {
        &self.health
    }

    // ANCHOR: router
    /// The routes of all layers, over this platform.
    pub fn router(self: &Arc<Self>) -> Router {
        let PlatformOptions { stage, isolation, bounds, .. } = self.options;
        let monitor = self.components.monitor.clone();
        let stage = StageInfo { name: stage, isolation };
        stage_02_queue::routes(self.clone(), bounds)
            .merge(stage_03_monitoring::routes(monitor, self.clone(), stage))
            .merge(routes::routes(self))
    }
    // ANCHOR_END: router

    /// The platform behind `service`, for the command line.
    pub fn app(self: Arc<Self>, service: Arc<dyn ApiService>) -> App {
        App {
            service,
            components: self.health.components(),
            events: self.components.monitor.clone(),
            engine: self.components.engine.clone(),
            evaluations: self,
        }
    }

    async fn drain(&self, now: CancellationToken) {
        // First what creates evaluations and sandboxes, then the queue; the engine is closed last.
        self.health.close().await;
        self.components.queue.shutdown(now).await;
        self.components.storage.close().await;
    }
}

impl Components {
    /// The components that this stage serves with: the selected engine, and the rest in memory.
    ///
    /// # Errors
    ///
    /// When the engine does not start.
    pub async fn build(settings: &Settings, args: &PlatformArgs) -> Result<Self, BuildError> {
        let engine: Arc<dyn Engine> = match crate::engine_host::remote_engine().await? {
            Some(engine) => engine,
            None => Box::pin(args.engine.start(settings.bounds().default)).await?,
        };
        let events = InMemoryMonitor::new(args.monitor_options());
        let monitor = Arc::new(AdvancedMonitor::new(events));
        let storage = Arc::new(InMemoryStorage::new(args.archive_limits(), monitor.clone()));
        let queue = TaskQueue::with_archive(
            engine.clone(),
            monitor.clone(),
            QueueOptions::from(settings),
            storage.clone(),
        );
        Ok(Self { engine: Some(engine), queue, monitor, storage })
    }
}

/// A component is proven not to work, so that no work is accepted until it passes its self test.
fn not_ready() -> Refusal {
    let detail = "a part of the platform fails its test; GET /status says which";
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(5)
}

// ANCHOR: evaluations
impl Evaluations for Platform {
    fn submit<'a>(
        &'a self,
        context: &'a RequestContext,
        submission: Submission,
        listener: Option<OutputListener>,
    ) -> BoxFuture<'a, Result<Evaluation, EvaluationsError>> {
        // Attack: the isolation is lost while the platform runs: a runtime is replaced, a filter is
        // switched off -> while a component fails its self test, no program is accepted. Test:
        // `a_platform_whose_engine_fails_takes_no_work`.
        if !self.health.all_passed() {
            return Box::pin(std::future::ready(Err(not_ready().into())));
        }
        self.components.queue.submit(context, submission, listener)
    }

    fn get<'a>(
        &'a self,
        context: &'a RequestContext,
        id: Uuid,
    ) -> BoxFuture<'a, Result<Evaluation, EvaluationsError>> {
        self.components.queue.get(context, id)
    }

    fn wait<'a>(
        &'a self,
        context: &'a RequestContext,
        id: Uuid,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Evaluation, EvaluationsError>> {
        self.components.queue.wait(context, id, timeout)
    }

    fn list<'a>(
        &'a self,
        context: &'a RequestContext,
        query: Query,
    ) -> BoxFuture<'a, Result<Page, EvaluationsError>> {
        self.components.queue.list(context, query)
    }

    fn cancel<'a>(
        &'a self,
        context: &'a RequestContext,
        id: Uuid,
    ) -> BoxFuture<'a, Result<Evaluation, EvaluationsError>> {
        self.components.queue.cancel(context, id)
    }

    fn queue_stats(&self) -> BoxFuture<'_, Result<QueueStats, EvaluationsError>> {
        self.components.queue.queue_stats()
    }

    fn shutdown(&self, now: CancellationToken) -> BoxFuture<'_, ()> {
        Box::pin(self.drain(now))
    }
}
// ANCHOR_END: evaluations
