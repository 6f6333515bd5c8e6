//! Sandboxes that are started before anybody needs them.
//!
//! The rule it keeps: each is used for one evaluation and then taken away; there is no way back into
//! the pool. An evaluation that finds none waiting waits for the next one, in the order they came.
//! When runsc fails, starts are tried again with growing pauses, and nothing else takes their place.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared::Limits;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::sandbox::{Factory, STARTS, Sandbox};

/// The pauses after failures: the first one, doubled up to the last one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What a pool is doing, for metrics and for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct PoolStatus {
    /// Sandboxes that wait for a program.
    pub ready: usize,
    /// Sandboxes that are being started.
    pub starting: usize,
    /// How many should wait.
    pub target: usize,
    /// Starts that have failed, ever.
    pub failures: u64,
    /// What the last failure said, when no start has succeeded since.
    pub last_failure: Option<String>,
}

/// Keeps sandboxes waiting.
pub(super) struct Pool {
    pub(super) factory: Factory,
    /// What the waiting sandboxes are made with.
    limits: Limits,
    size: usize,
    idle: Duration,
    inside: Mutex<Inside>,
    /// One permit for each sandbox that waits.
    waiting: Semaphore,
    /// Fires when there may be something to start.
    wanted: Notify,
    closing: CancellationToken,
    tasks: TaskTracker,
}

struct Inside {
    ready: VecDeque<Sandbox>,
    status: PoolStatus,
    used: Instant,
}

impl Pool {
    /// A pool of `size`, which is filled by `starts` tasks.
    pub(super) fn start(
        factory: Factory,
        limits: Limits,
        size: usize,
        starts: usize,
        idle: Duration,
    ) -> Arc<Self> {
        let status = PoolStatus { target: size, ..PoolStatus::default() };
        let inside = Inside { ready: VecDeque::new(), status, used: Instant::now() };
        let pool = Arc::new(Self {
            factory,
            limits,
            size,
            idle,
            inside: Mutex::new(inside),
            waiting: Semaphore::new(0),
            wanted: Notify::new(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        for _ in 0..starts.min(size) {
            drop(pool.tasks.spawn(Arc::clone(&pool).fill()));
        }
        if size > 1 {
            drop(pool.tasks.spawn(Arc::clone(&pool).shrink()));
        }
        pool
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> PoolStatus {
        let inside = self.inside();
        PoolStatus { ready: inside.ready.len(), ..inside.status.clone() }
    }

    // ANCHOR: take
    /// A sandbox for a program within `limits`, and whether it had been waiting.
    ///
    /// The memory of one that waits is set anew. Another number of processes, of open files or of
    /// bytes on disk is part of how a sandbox is made, so that one is started for them.
    pub(super) async fn take(&self, limits: &Limits) -> Result<(Sandbox, bool), String> {
        let fits = |made: &Limits| {
            (made.pids, made.open_files, made.disk_bytes)
                == (limits.pids, limits.open_files, limits.disk_bytes)
        };
        if self.size == 0 || !fits(&self.limits) {
            return Ok((self.factory.start(limits).await?, false));
        }
        let sandbox = self.next().await?;
        if sandbox.limits.memory_bytes == limits.memory_bytes {
            return Ok((sandbox, true));
        }
        let set = sandbox.site().map(|site| site.groups.set_memory(limits.memory_bytes));
        match set {
            Some(Ok(())) => Ok((sandbox, true)),
            // It needs more than that already; a new one is told from the beginning.
            _ => Ok((self.factory.start(limits).await?, false)),
        }
    }
    // ANCHOR_END: take

    /// The next sandbox that waits. In the order of the callers, and no longer than a start may take.
    async fn next(&self) -> Result<Sandbox, String> {
        self.want(self.size);
        let deadline = tokio::time::Instant::now() + STARTS;
        loop {
            let permit = tokio::time::timeout_at(deadline, self.waiting.acquire()).await;
            let Ok(Ok(permit)) = permit else {
                let why = self.inside().status.last_failure.clone();
                let why = why.unwrap_or_else(|| "all of them are in use".to_owned());
                let seconds = STARTS.as_secs();
                return Err(format!("no sandbox was to be had within {seconds} s: {why}"));
            };
            permit.forget();
            let sandbox = self.inside().ready.pop_front();
            self.wanted.notify_waiters();
            // One that has died while it waited is not worth a failed evaluation.
            if let Some(mut sandbox) = sandbox
                && sandbox.is_up()
            {
                return Ok(sandbox);
            }
        }
    }

    /// Somebody is here: as many as may be should wait.
    fn want(&self, target: usize) {
        let mut inside = self.inside();
        inside.used = Instant::now();
        inside.status.target = target;
        drop(inside);
        self.wanted.notify_waiters();
    }

    // ANCHOR: fill
    /// Starts sandboxes as long as there are too few.
    async fn fill(self: Arc<Self>) {
        let mut pause = PAUSES.0;
        loop {
            let wanted = self.wanted.notified();
            let mut wanted = std::pin::pin!(wanted);
            // From now on no wish is missed.
            wanted.as_mut().enable();
            if !self.claim() {
                tokio::select! {
                    () = wanted => continue,
                    () = self.closing.cancelled() => return,
                }
            }
            let started = tokio::select! {
                started = self.factory.start(&self.limits) => started,
                () = self.closing.cancelled() => return,
            };
            let Err(error) = self.settle(started) else {
                pause = PAUSES.0;
                continue;
            };
            tracing::warn!(%error, "a sandbox did not start; trying again in {pause:?}");
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.closing.cancelled() => return,
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }
    // ANCHOR_END: fill

    /// Whether one more should be started; then it is counted.
    fn claim(&self) -> bool {
        let mut inside = self.inside();
        let wanted = inside.ready.len() + inside.status.starting < inside.status.target;
        inside.status.starting += usize::from(wanted);
        wanted
    }

    fn settle(&self, started: Result<Sandbox, String>) -> Result<(), String> {
        let mut inside = self.inside();
        inside.status.starting -= 1;
        match started {
            Ok(sandbox) => {
                inside.ready.push_back(sandbox);
                inside.status.last_failure = None;
                drop(inside);
                self.waiting.add_permits(1);
                Ok(())
            }
            Err(error) => {
                inside.status.failures += 1;
                inside.status.last_failure = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Lets all but one go when nobody has come for a while.
    async fn shrink(self: Arc<Self>) {
        loop {
            let rested = self.inside().used.elapsed();
            let pause = self.idle.saturating_sub(rested).max(Duration::from_millis(100));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.closing.cancelled() => return,
            }
            let mut inside = self.inside();
            if inside.used.elapsed() < self.idle {
                continue;
            }
            inside.status.target = 1;
            drop(inside);
            while let Ok(permit) = self.waiting.try_acquire() {
                if self.inside().ready.len() <= 1 {
                    break;
                }
                permit.forget();
                let spare = self.inside().ready.pop_back();
                drop(spare);
            }
        }
    }

    /// Expected all that wait, and those that are being started.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let ready = std::mem::take(&mut self.inside().ready);
        drop(ready);
    }
}
