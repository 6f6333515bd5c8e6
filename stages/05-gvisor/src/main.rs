//! Stage 5: wires a queue and a monitor around an engine on gVisor.

use std::process::ExitCode;
use std::sync::Arc;

use shared::cli::{App, BuildError, Isolation, Settings, Stage};
use stage_02_queue::{QueueCommand, QueueOptions, TaskQueue};
use stage_03_monitoring::{AdvancedMonitor, InMemoryMonitor, MonitorOptions, StageInfo};
use stage_05_gvisor::{GVisorArgs, GVisorEngine};

// ANCHOR: wiring
struct GVisor;

impl Stage for GVisor {
    const NUMBER: u16 = 5;
    const NAME: &'static str = "stage-05-gvisor";
    const ISOLATION: Isolation = Isolation {
        summary: "runs each program in a container, on a kernel of its own",
        is_unsandboxed: false,
    };
    type Args = GVisorArgs;
    type Command = QueueCommand;

    async fn build(settings: &Settings, args: &GVisorArgs) -> Result<App, BuildError> {
        let engine = Arc::new(GVisorEngine::start(&args.docker).await?);
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
    shared::cli::main::<GVisor>()
}
// ANCHOR_END: wiring
