//! Removes containers on every path, in the background.
//!
//! The rule it keeps: whatever happens to an evaluation, its container is removed. A [`Container`]
//! that is dropped, for whatever reason, is killed and removed by a task of its own, which retries
//! while Docker does not answer. The next start of any server finds the containers of a killed one by
//! their label; until then their own init ends each of them when its time is over.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::models::ContainerCreateBody;
use stage_02_queue::InstanceId;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::cgroup::{Cgroup, KillOutcome};
use crate::daemon::{Daemon, DaemonError};
use crate::error_chain::error_chain;
use crate::users::UserLease;

/// Names the instance that created a container.
const INSTANCE_LABEL: &str = "crucible.owner";
/// The host user of a container.
const USER_LABEL: &str = "crucible.user";
/// Differs between two engines of one process.
const ENGINE_LABEL: &str = "crucible.engine";
/// Removals in the background before a new container waits for them: an engine that creates containers
/// faster than Docker removes them would fill the machine.
const MAX_PENDING_REMOVALS: usize = 8;
/// How long it waits. What has ended waits for no removal: its client has an end even when Docker removes nothing.
const REMOVALS_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a container may appear late after a create call timed out.
const CREATE_GRACE: Duration = Duration::from_secs(10);
/// How long killing a container's processes may take before Docker does it.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the last removals may take when the engine closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the attempts in progress may take after that.
const LAST_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
/// Before a failed removal is tried again for the first time; each further delay is twice as long.
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(100);
/// The longest delay.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// Creates and removes containers.
pub(crate) struct Reaper {
    daemon: Daemon,
    instance: InstanceId,
    engine: String,
    /// Every creation and every removal is one of these tasks, so that `close` can wait for all.
    tasks: TaskTracker,
    /// Cancelled when the engine stops waiting for removals: a failed one is not retried any more.
    give_up: CancellationToken,
    /// Containers of this engine whose removal is left to the background.
    pending_removals: watch::Sender<usize>,
    /// A container may be dropped outside of the runtime, and its removal still needs one.
    runtime: Handle,
}

/// A container that exists. It is removed when this is dropped.
pub(crate) struct Container {
    /// Empty when it has been removed.
    pub(crate) id: String,
    /// Its cgroup, when the layout is known.
    pub(crate) cgroup: Option<Cgroup>,
    /// What was ordered.
    pub(crate) ordered: Box<ContainerCreateBody>,
    reaper: Arc<Reaper>,
    user: Option<UserLease>,
}

/// One of the removals that a new container waits for.
struct PendingRemoval(Arc<Reaper>);

impl PendingRemoval {
    fn new(reaper: &Arc<Reaper>) -> Self {
        reaper.pending_removals.send_modify(|count| *count += 1);
        Self(Arc::clone(reaper))
    }
}

impl Drop for PendingRemoval {
    fn drop(&mut self) {
        self.0.pending_removals.send_modify(|count| *count -= 1);
    }
}

impl Container {
    /// The host user that it alone has.
    pub(crate) fn user(&self) -> Option<u32> {
        self.user.as_ref().map(|user| user.id)
    }

    /// Kills and removes it before this returns. If that fails, it is retried in the background.
    pub(crate) async fn remove(mut self) {
        if self.reaper.kill_and_remove(&self.id, self.cgroup.as_ref()).await.is_ok() {
            self.id.clear();
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let id = std::mem::take(&mut self.id);
        if !id.is_empty() {
            let held = (PendingRemoval::new(&self.reaper), self.user.take());
            self.reaper.remove_in_background(id, self.cgroup.take(), Duration::ZERO, held);
        }
    }
}

impl Reaper {
    /// A reaper for the containers of this process.
    pub(crate) async fn start(daemon: Daemon) -> Result<Arc<Self>, DaemonError> {
        // Reads /proc.
        let instance = tokio::task::spawn_blocking(InstanceId::this_process).await;
        let shutting_down = |_| DaemonError::ShuttingDown { operation: "start the engine" };
        Ok(Arc::new(Self {
            daemon,
            instance: instance.map_err(shutting_down)?,
            engine: Uuid::new_v4().simple().to_string(),
            tasks: TaskTracker::new(),
            give_up: CancellationToken::new(),
            pending_removals: watch::Sender::new(0),
            runtime: Handle::current(),
        }))
    }

    /// The labels of a new container.
    pub(crate) fn labels(&self, user: Option<u32>) -> HashMap<String, String> {
        let own =
            [(INSTANCE_LABEL, self.instance.to_string()), (ENGINE_LABEL, self.engine.clone())];
        let user = user.map(|user| (USER_LABEL, user.to_string()));
        own.into_iter().chain(user).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    // ANCHOR: create
    /// Creates a container, as soon as not too many others wait for their removal. In a task of its own: the caller may
    /// be dropped before Docker responds, and then the container is removed as soon as it exists.
    pub(crate) async fn create(
        self: &Arc<Self>,
        body: ContainerCreateBody,
        user: Option<UserLease>,
    ) -> Result<Container, DaemonError> {
        let mut pending = self.pending_removals.subscribe();
        let has_room = pending.wait_for(|count| *count < MAX_PENDING_REMOVALS);
        if tokio::time::timeout(REMOVALS_TIMEOUT, has_room).await.is_err() {
            return Err(DaemonError::NotRemoved { after: REMOVALS_TIMEOUT });
        }
        let reaper = Arc::clone(self);
        let ordered = Box::new(body.clone());
        let (sender, receiver) = oneshot::channel();
        let task = async move {
            let name = format!("crucible-{}", Uuid::new_v4().simple());
            let created = match reaper.daemon.create(&name, body).await {
                Ok(id) => Ok(Container { id, cgroup: None, ordered, reaper, user }),
                Err(error @ (DaemonError::Unreachable { .. } | DaemonError::Timeout { .. })) => {
                    // Docker may have created one all the same, or may do so in a moment.
                    let held = (PendingRemoval::new(&reaper), user);
                    reaper.remove_in_background(name, None, CREATE_GRACE, held);
                    Err(error)
                }
                Err(error) => Err(error),
            };
            // Not the task's own output: tokio drops that after the tracker has counted the task as
            // ended, so `close` could miss the removal of a container whose caller is gone.
            drop(sender.send(created));
        };
        drop(self.tasks.spawn_on(task, &self.runtime));
        let shutting_down = DaemonError::ShuttingDown { operation: "create a container" };
        receiver.await.unwrap_or(Err(shutting_down))
    }
    // ANCHOR_END: create

    /// Kills and removes a container. Docker kills by starting the runtime's program once more, which
    /// costs a tenth of the processor time of a whole evaluation (measured: `runc kill` 10 ms, `runsc
    /// kill` 20 ms). So the processes in its cgroup are killed directly, where that is permitted.
    async fn kill_and_remove(&self, id: &str, cgroup: Option<&Cgroup>) -> Result<(), DaemonError> {
        if let Some(cgroup) = cgroup.cloned() {
            let kill = tokio::task::spawn_blocking(move || cgroup.kill());
            let killed = tokio::time::timeout(KILL_TIMEOUT, kill).await;
            if matches!(killed, Ok(Ok(KillOutcome::Killed))) {
                self.daemon.wait(id).await;
            }
        }
        self.daemon.remove(id).await?;
        tracing::debug!(sandbox = id, "container removed");
        Ok(())
    }

    /// Removes a container in the background, with retries until it is removed or the engine gives
    /// up, and drops what was `held` after that. One that does not exist may still appear: it counts as removed when it
    /// has been absent for `create_grace`.
    fn remove_in_background(
        self: &Arc<Self>,
        id: String,
        cgroup: Option<Cgroup>,
        create_grace: Duration,
        held: impl Send + 'static,
    ) {
        let reaper = Arc::clone(self);
        let task = async move {
            // Not from the beginning: the first attempt may take longer than the grace.
            let mut absent_since = None;
            let mut delay = FIRST_RETRY_DELAY;
            loop {
                match reaper.kill_and_remove(&id, cgroup.as_ref()).await {
                    Ok(()) => break,
                    Err(DaemonError::NotFound { .. })
                        if absent_since.get_or_insert_with(Instant::now).elapsed()
                            >= create_grace =>
                    {
                        break;
                    }
                    Err(error) if reaper.give_up.is_cancelled() => {
                        let error = error_chain(&error);
                        tracing::warn!(
                            sandbox = id,
                            error,
                            "a container is left to the next start"
                        );
                        break;
                    }
                    Err(error) => {
                        let error = error_chain(&error);
                        tracing::debug!(sandbox = id, error, "cannot remove a container yet");
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(delay) => {}
                    () = reaper.give_up.cancelled() => {}
                }
                delay = (delay * 2).min(MAX_RETRY_DELAY);
            }
            drop(held);
        };
        drop(self.tasks.spawn_on(task, &self.runtime));
    }

    /// The host users of the containers of all engines.
    pub(crate) async fn users_in_use(&self) -> Result<BTreeSet<u32>, DaemonError> {
        let containers = self.daemon.labelled(USER_LABEL).await?;
        let user =
            |(_, labels): &(_, HashMap<String, String>)| labels.get(USER_LABEL)?.parse().ok();
        Ok(containers.iter().filter_map(user).collect())
    }

    /// Starts to remove the containers of instances that are known to be dead, and returns their
    /// number. A label that this program does not understand proves nothing.
    pub(crate) async fn remove_orphans(self: &Arc<Self>) -> Result<usize, DaemonError> {
        let containers = self.daemon.labelled(INSTANCE_LABEL).await?;
        let own = self.instance.clone();
        let is_orphan = move |labels: &HashMap<String, String>| {
            let instance = labels.get(INSTANCE_LABEL).and_then(|label| InstanceId::parse(label));
            instance.is_some_and(|instance| instance.is_gone(&own))
        };
        // Reads /proc for each of them.
        let orphans = tokio::task::spawn_blocking(move || -> Vec<String> {
            let orphans = containers.into_iter().filter(|(_, labels)| is_orphan(labels));
            orphans.map(|(id, _)| id).collect()
        });
        let shutting_down = |_| DaemonError::ShuttingDown { operation: "find orphans" };
        let orphans = orphans.await.map_err(shutting_down)?;
        let number = orphans.len();
        for id in orphans {
            self.remove_in_background(id, None, Duration::ZERO, ());
        }
        Ok(number)
    }

    /// The number of containers of this engine.
    pub(crate) async fn remaining(&self) -> Result<usize, DaemonError> {
        Ok(self.daemon.labelled(&format!("{ENGINE_LABEL}={}", self.engine)).await?.len())
    }

    /// Waits until every container is removed, at most [`CLOSE_TIMEOUT`] and a last attempt.
    pub(crate) async fn close(&self) {
        self.tasks.close();
        if tokio::time::timeout(CLOSE_TIMEOUT, self.tasks.wait()).await.is_err() {
            self.give_up.cancel();
            // What is left then is removed at the next start.
            tokio::time::timeout(LAST_ATTEMPT_TIMEOUT, self.tasks.wait()).await.ok();
        }
    }
}
