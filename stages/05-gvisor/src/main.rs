//! Stage 5: wires a queue and a monitor around an engine on gVisor.

use std::process::ExitCode;
use std::sync::Arc;

use shared::cli::{App, BuildError, Diagnosis, Settings, Stage};
use stage_02_queue::{QueueOptions, TaskQueue};
use stage_03_monitoring::{AdvancedMonitor, InMemoryMonitor, MonitorOptions, StageInfo};
use stage_04_docker::DockerArgs;
use stage_05_gvisor::{GVisorEngine, diagnose};

// ANCHOR: wiring
struct GVisor;

impl Stage for GVisor {
    const NUMBER: u16 = 5;
    const NAME: &'static str = "stage-05-gvisor";
    const ISOLATION: &'static str = "runs each program in a container, on a kernel of its own";
    const UNSANDBOXED: bool = false;
    type Args = DockerArgs;

    async fn build(settings: &Settings, args: &DockerArgs) -> Result<App, BuildError> {
        let engine = Arc::new(GVisorEngine::start(args).await?);
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

    async fn doctor(args: &DockerArgs) -> Vec<Diagnosis> {
        diagnose(args).await
    }
}

fn main() -> ExitCode {
    shared::cli::main::<GVisor>()
}
// ANCHOR_END: wiring
