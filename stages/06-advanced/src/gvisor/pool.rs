//! Sandboxes that are started before there is a program for them; all of one profile.
//!
//! Guarantee: each is used for one evaluation and then removed; there is no way back into the pool.
//! An evaluation that finds none ready waits for the next one, in the order of arrival. When
//! `runsc` fails, starts are tried again with growing pauses, and no other engine takes its place.
//!
//! Four things are shared, and these are their invariants:
//!
//! * `state.ready.len()` >= permits of `ready_permits` + callers that have a permit and have not
//!   popped yet. A permit is added after its sandbox was pushed, and a sandbox is popped after its
//!   permit was acquired: so a caller with a permit finds a sandbox. Only `close` breaks this, at the
//!   end.
//! * `state.status.starting` = `fill` tasks between `reserve_start` and `record_start`.
//!   `ready.len() + starting <= size`: `reserve_start` checks and counts under one lock.
//! * `start_wanted` fires after each change that can make `ready.len() + starting < target` true: a
//!   pop, and a new target. A `fill` task registers with it before it looks at the state, so that a
//!   change between its look and its wait wakes it. (A start that failed is retried by the task that
//!   failed.)
//! * `closing` is cancelled once. Every wait of a task selects on it, so that `close` waits for no
//!   start.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared::Limits;
use stage_04_docker::error_chain;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::SandboxError;
use super::memory;
use super::sandbox::{START_TIMEOUT, Sandbox, SandboxFactory};

/// How long the program that has just got a sandbox has the processors, before the next sandbox is started: as long as
/// a short program takes. Not when few sandboxes are ready.
const HEAD_START: Duration = Duration::from_millis(30);
/// The pause after a failed start; doubled with each further failure.
const MIN_RETRY_INTERVAL: Duration = Duration::from_millis(100);
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// The shortest pause between two looks at how long the pool was idle.
const MIN_IDLE_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// What a pool is doing, for metrics and for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct PoolStatus {
    /// Sandboxes that wait for a program.
    pub ready: usize,
    /// Sandboxes that are being started.
    pub starting: usize,
    /// How many should wait.
    pub target: usize,
    /// Starts that have failed since the pool was created.
    pub failures: u64,
    /// Why the last start failed, when no start has succeeded since.
    pub last_failure: Option<String>,
}

/// Sandboxes of one profile that wait for programs.
pub(super) struct Pool {
    pub(super) factory: SandboxFactory,
    /// The limits that the waiting sandboxes are created with.
    limits: Limits,
    /// How many sandboxes wait while the pool is in use; 0 starts each for its program.
    size: usize,
    /// After so long without an evaluation the target is 1.
    idle_timeout: Duration,
    state: Mutex<PoolState>,
    /// A permit for each ready sandbox that no caller has claimed; see the invariants above.
    ready_permits: Semaphore,
    /// Fires when a sandbox may have to be started; see the invariants above.
    start_wanted: Notify,
    /// Ends all tasks.
    closing: CancellationToken,
    tasks: TaskTracker,
}

struct PoolState {
    ready: VecDeque<Sandbox>,
    /// `status.ready` is not used: it is `ready.len()`.
    status: PoolStatus,
    last_used: Instant,
}

impl Pool {
    /// A pool that is filled by at most `concurrent_starts` tasks.
    pub(super) fn start(
        factory: SandboxFactory,
        limits: Limits,
        concurrent_starts: usize,
        idle_timeout: Duration,
    ) -> Arc<Self> {
        let size = factory.profile.warm_sandboxes;
        let status = PoolStatus { target: size, ..PoolStatus::default() };
        let state = PoolState { ready: VecDeque::new(), status, last_used: Instant::now() };
        let pool = Arc::new(Self {
            factory,
            limits,
            size,
            idle_timeout,
            state: Mutex::new(state),
            ready_permits: Semaphore::new(0),
            start_wanted: Notify::new(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        for _ in 0..concurrent_starts.min(size) {
            drop(pool.tasks.spawn(Arc::clone(&pool).fill()));
        }
        if size > 1 {
            drop(pool.tasks.spawn(Arc::clone(&pool).shrink()));
        }
        pool
    }

    /// The state. The lock is never held across an await.
    fn state(&self) -> MutexGuard<'_, PoolState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> PoolStatus {
        let state = self.state();
        PoolStatus { ready: state.ready.len(), ..state.status.clone() }
    }

    // ANCHOR: take
    /// A sandbox for a program within `limits`, and whether it had been waiting.
    ///
    /// The memory limit of a waiting sandbox is set anew. The numbers of processes, open files and
    /// bytes on disk are part of how a sandbox is created, so that one is started for other
    /// numbers.
    pub(super) async fn take(&self, limits: &Limits) -> Result<(Sandbox, bool), SandboxError> {
        let fits = |created: &Limits| {
            (created.pids, created.open_files, created.disk_bytes)
                == (limits.pids, limits.open_files, limits.disk_bytes)
        };
        if self.size == 0 || !fits(&self.limits) {
            return Ok((self.factory.start(limits).await?, false));
        }
        let sandbox = self.next_ready().await?;
        if sandbox.limits.memory_bytes == limits.memory_bytes {
            return Ok((sandbox, true));
        }
        let cgroup = sandbox.process.paths.cgroup.clone();
        let bytes = memory::initial_limit(limits);
        let set = tokio::task::spawn_blocking(move || cgroup.set_memory_limit(bytes)).await;
        if matches!(set, Ok(Ok(()))) {
            return Ok((sandbox, true));
        }
        // It uses more than that already.
        drop(sandbox);
        Ok((self.factory.start(limits).await?, false))
    }
    // ANCHOR_END: take

    /// The next ready sandbox, in the order of the callers, within the start timeout.
    async fn next_ready(&self) -> Result<Sandbox, SandboxError> {
        self.touch();
        let deadline = tokio::time::Instant::now() + START_TIMEOUT;
        loop {
            let permit = tokio::time::timeout_at(deadline, self.ready_permits.acquire()).await;
            let Ok(Ok(permit)) = permit else {
                let last_failure = self.state().status.last_failure.clone();
                return Err(SandboxError::NoneReady { last_failure });
            };
            permit.forget();
            let sandbox = self.state().ready.pop_front();
            self.start_wanted.notify_waiters();
            // One that has died while it waited is not worth a failed evaluation.
            if let Some(sandbox) = sandbox.filter(Sandbox::is_ready) {
                return Ok(sandbox);
            }
        }
    }

    /// Marks the pool as in use, and restores its target.
    fn touch(&self) {
        let mut state = self.state();
        state.last_used = Instant::now();
        state.status.target = self.size;
        drop(state);
        self.start_wanted.notify_waiters();
    }

    // ANCHOR: fill
    /// Starts sandboxes as long as there are too few.
    async fn fill(self: Arc<Self>) {
        let mut pause = MIN_RETRY_INTERVAL;
        loop {
            let mut wanted = std::pin::pin!(self.start_wanted.notified());
            // Registered before the look at the state: a notification after it is not lost.
            wanted.as_mut().enable();
            if !self.reserve_start() {
                tokio::select! {
                    () = wanted => continue,
                    () = self.closing.cancelled() => return,
                }
            }
            let head_start = if self.has_few_ready() { Duration::ZERO } else { HEAD_START };
            let start = async {
                tokio::time::sleep(head_start).await;
                self.factory.start(&self.limits).await
            };
            let started = tokio::select! {
                started = start => started,
                () = self.closing.cancelled() => return,
            };
            if self.record_start(started) {
                pause = MIN_RETRY_INTERVAL;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.closing.cancelled() => return,
            }
            pause = (pause * 2).min(MAX_RETRY_INTERVAL);
        }
    }
    // ANCHOR_END: fill

    /// Whether one more should be started; then it counts as starting.
    fn reserve_start(&self) -> bool {
        let mut state = self.state();
        let is_wanted = state.ready.len() + state.status.starting < state.status.target;
        state.status.starting += usize::from(is_wanted);
        is_wanted
    }

    /// Whether the next programs may have to wait for a sandbox.
    fn has_few_ready(&self) -> bool {
        let state = self.state();
        state.ready.len() * 2 < state.status.target
    }

    /// Whether a reserved start has succeeded; then its sandbox is ready.
    fn record_start(&self, started: Result<Sandbox, SandboxError>) -> bool {
        let mut state = self.state();
        state.status.starting -= 1;
        match started {
            Ok(sandbox) => {
                state.ready.push_back(sandbox);
                state.status.last_failure = None;
                drop(state);
                // After the push: a caller with the permit finds the sandbox.
                self.ready_permits.add_permits(1);
                true
            }
            Err(error) => {
                state.status.failures += 1;
                state.status.last_failure = Some(error.to_string());
                drop(state);
                let error = error_chain(&error);
                tracing::warn!(error, "a sandbox did not start; trying again");
                false
            }
        }
    }

    /// Removes all ready sandboxes but one when the pool has not been used for a while.
    async fn shrink(self: Arc<Self>) {
        loop {
            let idle = self.state().last_used.elapsed();
            let pause = self.idle_timeout.saturating_sub(idle).max(MIN_IDLE_CHECK_INTERVAL);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.closing.cancelled() => return,
            }
            let mut state = self.state();
            if state.last_used.elapsed() < self.idle_timeout {
                continue;
            }
            state.status.target = 1;
            drop(state);
            while let Some(spare) = self.take_spare() {
                drop(spare);
            }
        }
    }

    /// The newest ready sandbox, with its permit, unless it is the only one.
    fn take_spare(&self) -> Option<Sandbox> {
        let permit = self.ready_permits.try_acquire().ok()?;
        let mut state = self.state();
        if state.ready.len() <= 1 {
            return None; // the permit goes back
        }
        permit.forget();
        state.ready.pop_back()
    }

    /// Ends the tasks, and gives up the sandboxes that wait or are being started.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let ready = std::mem::take(&mut self.state().ready);
        drop(ready); // not under the lock
    }
}
