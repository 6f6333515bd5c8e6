//! Stage 2: the wiring of a queue and an engine.

use std::process::ExitCode;
use std::sync::Arc;

use shared::cli::{App, BuildError, Diagnosis, NoArgs, Settings, Stage};
use stage_02_queue::{QueueOptions, SubprocessEngine, TaskQueue, diagnose, page_routes, routes};

// ANCHOR: wiring
struct Queue;

impl Stage for Queue {
    const NUMBER: u16 = 2;
    const NAME: &'static str = "stage-02-queue";
    const ISOLATION: &'static str =
        "runs programs on this host, with all your rights, in an orderly way";
    const UNSANDBOXED: bool = true;
    type Args = NoArgs;

    async fn build(settings: &Settings, _args: &NoArgs) -> Result<App, BuildError> {
        let engine = Arc::new(SubprocessEngine::new().await?);
        let events = Arc::new(()); // nobody listens yet
        let queue = TaskQueue::start(engine.clone(), events.clone(), QueueOptions::from(settings));
        Ok(App {
            router: routes(queue.clone(), settings.bounds()).merge(page_routes()),
            evaluations: queue.clone(),
            events,
            engine: engine.clone(),
            components: vec![engine, queue],
        })
    }

    async fn doctor(_args: &NoArgs) -> Vec<Diagnosis> {
        diagnose().await
    }
}

fn main() -> ExitCode {
    shared::cli::main::<Queue>()
}
// ANCHOR_END: wiring
