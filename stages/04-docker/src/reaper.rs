//! Who takes containers away: on every path, and behind the answer's back.
//!
//! The rule it keeps: whatever happens to an evaluation, its container goes. A [`Container`] that is
//! dropped, for whatever reason, is ended and taken away by a task of its own, which goes on trying
//! while Docker is away. A container of a stage that was killed is found by its label when the next
//! one starts, and until then its own init ends it when its time is over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::models::ContainerCreateBody;
use stage_02_queue::InstanceId;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::counters::CgroupPaths;
use crate::daemon::{Daemon, DaemonError};
use crate::kill::kill_all;

/// The label that names the owner.
const LABEL: &str = "crucible.owner";
/// The label that tells two engines of one process apart.
const ENGINE: &str = "crucible.engine";
/// Containers that may wait to be taken away before answers have to wait for them: an engine that
/// makes them faster than Docker removes them would fill the machine.
const WAITING: usize = 8;
/// How long a container may take to appear whose maker never got an answer.
const APPEARS: Duration = Duration::from_secs(10);
/// How long the last removals may take when the engine closes.
const CLOSING: Duration = Duration::from_secs(20);

/// Makes containers and takes them away.
pub(crate) struct Reaper {
    daemon: Daemon,
    owner: InstanceId,
    engine: String,
    tasks: TaskTracker,
    closing: CancellationToken,
    waiting: Arc<Semaphore>,
    runtime: Handle,
}

/// A container that exists. It is taken away when this is dropped.
pub(crate) struct Container {
    pub(crate) id: String,
    /// Its control group, when it is known where that is.
    pub(crate) counters: Option<CgroupPaths>,
    reaper: Arc<Reaper>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Container {
    /// Expected it and takes it away before it returns; what fails is tried again in the background.
    pub(crate) async fn end(mut self) {
        if self.reaper.end(&self.id, self.counters.as_ref()).await.is_ok() {
            self.id.clear();
        }
    }

    /// Lets it go, once not too many others wait to be taken away.
    pub(crate) async fn leave(mut self) {
        self.permit = Arc::clone(&self.reaper.waiting).acquire_owned().await.ok();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let (id, permit) = (std::mem::take(&mut self.id), self.permit.take());
        if !id.is_empty() {
            self.reaper.take_away(id, self.counters.take(), Duration::ZERO, permit);
        }
    }
}

impl Reaper {
    /// A reaper for the containers of this process.
    pub(crate) fn new(daemon: Daemon) -> Arc<Self> {
        Arc::new(Self {
            daemon,
            owner: InstanceId::this_process(),
            engine: Uuid::new_v4().simple().to_string(),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            waiting: Arc::new(Semaphore::new(WAITING)),
            runtime: Handle::current(),
        })
    }

    /// The labels of a new container.
    pub(crate) fn labels(&self) -> HashMap<String, String> {
        [(LABEL, self.owner.to_string()), (ENGINE, self.engine.clone())]
            .map(|(name, value)| (name.to_owned(), value))
            .into()
    }

    // ANCHOR: create
    /// Makes a container. In a task of its own: whoever asked may be gone before Docker answers, and
    /// then the container is taken away as soon as there is one.
    pub(crate) async fn create(
        self: &Arc<Self>,
        body: ContainerCreateBody,
    ) -> Result<Container, DaemonError> {
        let reaper = Arc::clone(self);
        let task = self.tasks.spawn_on(
            async move {
                let name = format!("crucible-{}", Uuid::new_v4().simple());
                match reaper.daemon.create(&name, body).await {
                    Ok(id) => Ok(Container { id, counters: None, reaper, permit: None }),
                    Err(error @ (DaemonError::Away { .. } | DaemonError::Late { .. })) => {
                        // There may be one all the same, now or in a moment.
                        reaper.take_away(name, None, APPEARS, None);
                        Err(error)
                    }
                    Err(error) => Err(error),
                }
            },
            &self.runtime,
        );
        let reason = "the runtime is shutting down".to_owned();
        let stopped = DaemonError::Away { what: "make a container", reason };
        task.await.unwrap_or(Err(stopped))
    }
    // ANCHOR_END: create

    /// Expected a container, the short way if there is one, and takes it away.
    async fn end(&self, id: &str, counters: Option<&CgroupPaths>) -> Result<(), DaemonError> {
        if counters.is_some_and(kill_all) {
            self.daemon.wait(id).await;
        }
        self.daemon.remove(id).await
    }

    /// Takes a container away in the background, trying again until it is gone or the engine closes.
    /// One that is not there yet may still appear for as long as `appears`.
    fn take_away(
        self: &Arc<Self>,
        id: String,
        counters: Option<CgroupPaths>,
        appears: Duration,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let reaper = Arc::clone(self);
        let task = async move {
            let started = Instant::now();
            let mut pause = Duration::from_millis(100);
            loop {
                match reaper.end(&id, counters.as_ref()).await {
                    Ok(()) => break,
                    Err(DaemonError::Unknown { .. }) if started.elapsed() >= appears => break,
                    Err(error) if reaper.closing.is_cancelled() => {
                        tracing::warn!(%id, %error, "a container is left to the next start");
                        break;
                    }
                    Err(error) => tracing::debug!(%id, %error, "cannot take a container away yet"),
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = reaper.closing.cancelled() => {}
                }
                pause = (pause * 2).min(Duration::from_secs(5));
            }
            drop(permit);
        };
        drop(self.tasks.spawn_on(task, &self.runtime));
    }

    /// Takes away what owners left behind that are gone.
    pub(crate) async fn reap_leftovers(self: &Arc<Self>) -> Result<usize, DaemonError> {
        let mut reaped = 0;
        for (id, labels) in self.daemon.labelled(LABEL).await? {
            let owner = labels.get(LABEL).and_then(|label| InstanceId::parse(label));
            if owner.is_none_or(|owner| owner.is_gone(&self.owner)) {
                self.take_away(id, None, Duration::ZERO, None);
                reaped += 1;
            }
        }
        Ok(reaped)
    }

    /// How many containers of this engine there are.
    pub(crate) async fn remaining(&self) -> Result<usize, DaemonError> {
        Ok(self.daemon.labelled(&format!("{ENGINE}={}", self.engine)).await?.len())
    }

    /// Waits until nothing is left, but not for ever.
    pub(crate) async fn close(&self) {
        self.tasks.close();
        if tokio::time::timeout(CLOSING, self.tasks.wait()).await.is_err() {
            self.closing.cancel();
            let _late = tokio::time::timeout(Duration::from_secs(1), self.tasks.wait()).await;
        }
    }
}
