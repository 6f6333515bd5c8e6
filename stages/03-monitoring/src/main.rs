//! Stage 3: the wiring of a monitor, a queue that tells it everything, and an engine.

use std::process::ExitCode;
use std::sync::Arc;

use shared::cli::{App, BuildError, Diagnosis, NoArgs, Settings, Stage};
use stage_02_queue::{QueueOptions, SubprocessEngine, TaskQueue, diagnose};
use stage_03_monitoring::{AdvancedMonitor, InMemoryMonitor, MonitorOptions, StageInfo};

// ANCHOR: wiring
struct Monitoring;

impl Stage for Monitoring {
    const NUMBER: u16 = 3;
    const NAME: &'static str = "stage-03-monitoring";
    const ISOLATION: &'static str =
        "runs programs on this host, with all your rights, where you can watch them";
    const UNSANDBOXED: bool = true;
    type Args = NoArgs;

    async fn build(settings: &Settings, _args: &NoArgs) -> Result<App, BuildError> {
        let engine = Arc::new(SubprocessEngine::new().await?);
        let history = InMemoryMonitor::new(MonitorOptions::default());
        let monitor = Arc::new(AdvancedMonitor::new(history));
        let queue = TaskQueue::start(engine.clone(), monitor.clone(), QueueOptions::from(settings));
        let stage = StageInfo { name: Self::NAME, isolation: Self::ISOLATION };
        let router = stage_02_queue::routes(queue.clone(), settings.bounds())
            .merge(stage_03_monitoring::routes(monitor.clone(), queue.clone(), stage));
        Ok(App {
            router,
            evaluations: queue.clone(),
            events: monitor.clone(),
            engine: engine.clone(),
            components: vec![engine, queue, monitor],
        })
    }

    async fn doctor(_args: &NoArgs) -> Vec<Diagnosis> {
        diagnose().await
    }
}

fn main() -> ExitCode {
    shared::cli::main::<Monitoring>()
}
// ANCHOR_END: wiring
