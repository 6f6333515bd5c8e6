//! Signs of life: they keep the leases, and bring cancellations.

use std::time::Duration;

use tokio::time::Instant;

use super::api::ApiError;
use super::serve::Worker;

/// How much longer than the poll time of the API a request may take.
const GRACE: Duration = Duration::from_secs(5);
/// The pause after a request that failed.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Gives signs of life until it is dropped.
pub(super) async fn run(worker: &Worker) {
    let mut failing = false;
    loop {
        let draining = worker.draining.is_cancelled();
        let request = worker.sessions.request();
        let request =
            crate::fleet::wire::SyncRequest { draining, failing: worker.failing(), ..request };
        let (sent, timeout) = (Instant::now(), worker.welcome().poll + GRACE);
        let answered = tokio::select! {
            answered = worker.api.sync(&request, timeout) => answered,
            // Said at once.
            () = worker.draining.cancelled(), if !draining => continue,
        };
        match answered {
            Ok(reply) => {
                worker.sessions.apply(&request, sent, &reply);
                if reply.drain {
                    tracing::info!("the API asks this worker to drain");
                    worker.draining.cancel();
                }
                if std::mem::take(&mut failing) {
                    tracing::info!("the API answers again");
                }
                pause(worker, draining).await;
            }
            Err(error) => {
                if !failing {
                    tracing::warn!(%error, "no sign of life was given; it is tried again");
                }
                failing = true;
                recover(worker, &error).await;
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
        }
    }
}

/// Waits as long as the API wants between two syncs, unless there is something to say.
async fn pause(worker: &Worker, draining: bool) {
    let pause = tokio::time::sleep(worker.welcome().pause);
    if draining {
        pause.await;
    } else {
        worker.draining.run_until_cancelled(pause).await;
    }
}

/// A worker that the API does not know joins again; what it runs is lost.
async fn recover(worker: &Worker, error: &ApiError) {
    if !error.is_unknown_worker() {
        return;
    }
    worker.sessions.lose_all();
    match worker.announce().await {
        Ok(()) => tracing::info!("joined the fleet again"),
        Err(error) => tracing::warn!(%error, "cannot join the fleet again"),
    }
}
