//! Stage 4: wires a queue and a monitor around a container engine.

use std::process::ExitCode;
use std::sync::Arc;

use shared::cli::{App, BuildError, Isolation, Settings, Stage};
use stage_02_queue::{QueueCommand, QueueOptions, TaskQueue};
use stage_03_monitoring::{AdvancedMonitor, InMemoryMonitor, MonitorOptions, StageInfo};
use stage_04_docker::{DockerArgs, DockerEngine, RUNC};

// ANCHOR: wiring
struct Docker;

impl Stage for Docker {
    const NUMBER: u16 = 4;
    const NAME: &'static str = "stage-04-docker";
    const ISOLATION: Isolation = Isolation {
        summary: "runs each program in a container, on this host's own kernel",
        is_unsandboxed: false,
    };
    type Args = DockerArgs;
    type Command = QueueCommand;

    async fn build(settings: &Settings, args: &DockerArgs) -> Result<App, BuildError> {
        let engine = Arc::new(DockerEngine::start(args, RUNC).await?);
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
    shared::cli::main::<Docker>()
}
// ANCHOR_END: wiring
