//! The worker in the process of its API.

use std::sync::Arc;

use shared::Engine;
use shared::cli::Settings;
use stage_09_frontier::FrontierArgs;
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::serve::Worker;
use super::setup::WorkerParts;
use crate::broker::Broker;

/// What the worker in the process of its API is made of.
pub(crate) struct LocalParts {
    /// The API.
    pub(crate) api: Box<dyn Api>,
    /// That of the API.
    pub(crate) broker: Arc<dyn Broker>,
    /// The engine of the process.
    pub(crate) engine: Arc<dyn Engine>,
    /// For people.
    pub(crate) name: String,
    /// Cancelled when the API takes no more work. What runs has until the end of the process.
    pub(crate) closing: CancellationToken,
    /// Cancelled when the engine runs nothing any more.
    pub(crate) engine_gone: CancellationToken,
}

// ANCHOR: work
/// Works until the process ends.
pub(crate) fn work_locally(
    settings: &Settings,
    args: &FrontierArgs,
    parts: LocalParts,
) -> impl Future<Output = ()> + Send + use<> {
    let LocalParts { api, broker, engine, name, closing, engine_gone } = parts;
    let worker = Worker::of(settings, args, WorkerParts { api, broker, engine, name });
    async move {
        // It proves itself before it takes work. One that fails is listed as such, and tested again.
        worker.test_engine_once().await;
        if let Err(error) = worker.join().await {
            tracing::error!(%error, "the worker in this process cannot join its own fleet");
            return;
        }
        let stopping = async {
            tokio::select! {
                () = closing.cancelled() => {}
                () = engine_gone.cancelled() => {}
            }
            worker.draining.cancel();
        };
        let working = async {
            worker.places().await;
            // Drained, by an operator or by the shutdown: it stays one of the fleet, and is listed.
            std::future::pending::<()>().await;
        };
        tokio::join!(stopping, working, worker.background());
    }
}
// ANCHOR_END: work
