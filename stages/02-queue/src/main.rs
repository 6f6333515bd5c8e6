//! Stage 2: the wiring of a queue and an engine.

use std::process::ExitCode;
use std::sync::Arc;

use shared::NoopSink;
use shared::cli::{App, BuildError, Isolation, Settings, Stage};
use stage_02_queue::{
    HostArgs, QueueCommand, QueueOptions, SubprocessEngine, TaskQueue, index_routes, routes,
};

// ANCHOR: wiring
struct Queue;

impl Stage for Queue {
    const NUMBER: u16 = 2;
    const NAME: &'static str = "stage-02-queue";
    const ISOLATION: Isolation = Isolation {
        summary: "runs programs on this host, with all your rights, in an orderly way",
        is_unsandboxed: true,
    };
    type Args = HostArgs;
    type Command = QueueCommand;

    async fn build(settings: &Settings, _args: &HostArgs) -> Result<App, BuildError> {
        let engine = Arc::new(SubprocessEngine::new().await?);
        let events = Arc::new(NoopSink); // no monitor yet
        let queue = TaskQueue::start(engine.clone(), events.clone(), QueueOptions::from(settings));
        Ok(App {
            service: Arc::new(routes(queue.clone(), settings.bounds()).merge(index_routes())),
            evaluations: queue.clone(),
            events,
            engine: Some(engine.clone()),
            components: vec![engine, queue],
        })
    }
}

fn main() -> ExitCode {
    shared::cli::main::<Queue>()
}
// ANCHOR_END: wiring
