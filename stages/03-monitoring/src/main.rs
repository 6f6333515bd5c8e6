//! Stage 3: the wiring of a monitor, a queue that emits to it, and an engine.

use std::process::ExitCode;
use std::sync::Arc;

use shared::cli::{App, BuildError, Isolation, Settings, Stage};
use stage_02_queue::{HostArgs, QueueCommand, QueueOptions, SubprocessEngine, TaskQueue};
use stage_03_monitoring::{AdvancedMonitor, InMemoryMonitor, MonitorOptions, StageInfo};

// ANCHOR: wiring
struct Monitoring;

impl Stage for Monitoring {
    const NUMBER: u16 = 3;
    const NAME: &'static str = "stage-03-monitoring";
    const ISOLATION: Isolation = Isolation {
        summary: "runs programs on this host, with all your rights, where you can watch them",
        is_unsandboxed: true,
    };
    type Args = HostArgs;
    type Command = QueueCommand;

    async fn build(settings: &Settings, _args: &HostArgs) -> Result<App, BuildError> {
        let engine = Arc::new(SubprocessEngine::new().await?);
        let events = InMemoryMonitor::new(MonitorOptions::default());
        let monitor = Arc::new(AdvancedMonitor::new(events));
        let queue = TaskQueue::start(engine.clone(), monitor.clone(), QueueOptions::from(settings));
        let stage = StageInfo { name: Self::NAME, isolation: Self::ISOLATION.summary };
        let router = stage_02_queue::routes(queue.clone(), settings.bounds())
            .merge(stage_03_monitoring::routes(monitor.clone(), queue.clone(), stage));
        Ok(App {
            service: Arc::new(router),
            evaluations: queue.clone(),
            events: monitor.clone(),
            engine: Some(engine.clone()),
            components: vec![engine, queue, monitor],
        })
    }
}

fn main() -> ExitCode {
    shared::cli::main::<Monitoring>()
}
// ANCHOR_END: wiring
