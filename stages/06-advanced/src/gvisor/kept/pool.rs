//! Sandboxes of one environment that wait to be opened, with its default limits.
//!
//! Another pool than that of evaluations: one that is opened stays for minutes or hours, so that few are started, one
//! after another, and none waits for one to come back.
//!
//! Invariant: `ready.len()` + 1 if `fill` is starting one <= `size`. `fill` alone pushes, and looks at the number before
//! each start. `taken` has a permit whenever `fill` has to look again: a permit stays until `fill` waits for it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stage_04_docker::error_chain;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::error::SandboxError;
use super::sandbox::{KeptFactory, KeptSandbox};
use crate::sandboxes::SandboxLimits;

/// The pause before the next start, so that it takes no processor from what was just opened.
const REFILL_DELAY: Duration = Duration::from_millis(250);
/// The pause after a failed start.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// Sandboxes that wait.
pub(super) struct KeptPool {
    factory: KeptFactory,
    limits: SandboxLimits,
    size: usize,
    ready: Mutex<VecDeque<KeptSandbox>>,
    taken: Notify,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl KeptPool {
    /// A pool of `size` sandboxes with these limits.
    pub(super) fn start(factory: KeptFactory, limits: SandboxLimits, size: usize) -> Arc<Self> {
        let pool = Arc::new(Self {
            factory,
            limits,
            size,
            ready: Mutex::default(),
            taken: Notify::new(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        if size > 0 {
            drop(pool.tasks.spawn(Arc::clone(&pool).fill()));
        }
        pool
    }

    fn ready(&self) -> MutexGuard<'_, VecDeque<KeptSandbox>> {
        // No code panics while it holds the lock.
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    pub(super) fn count(&self) -> usize {
        self.ready().len()
    }

    /// A sandbox, and whether it had been waiting. The limits of one that waits are part of how it was started, so that
    /// another is started for other limits, and when none waits.
    pub(super) async fn take(
        &self,
        limits: &SandboxLimits,
    ) -> Result<(KeptSandbox, bool), SandboxError> {
        if *limits == self.limits {
            while let Some(sandbox) = self.pop() {
                self.taken.notify_one();
                // One that has died while it waited is dropped.
                if sandbox.is_ready() {
                    return Ok((sandbox, true));
                }
            }
        }
        Ok((self.factory.start(limits).await?, false))
    }

    fn pop(&self) -> Option<KeptSandbox> {
        self.ready().pop_front()
    }

    async fn fill(self: Arc<Self>) {
        let filling = async {
            loop {
                if self.count() >= self.size {
                    self.taken.notified().await;
                    tokio::time::sleep(REFILL_DELAY).await;
                    continue;
                }
                match self.factory.start(&self.limits).await {
                    Ok(sandbox) => self.ready().push_back(sandbox),
                    Err(error) => {
                        let error = error_chain(&error);
                        tracing::warn!(error, "a sandbox did not start; trying again");
                        tokio::time::sleep(RETRY_INTERVAL).await;
                    }
                }
            }
        };
        self.closing.run_until_cancelled(filling).await;
    }

    /// Ends the task, and gives up the sandboxes that wait.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let ready = std::mem::take(&mut *self.ready());
        drop(ready); // not under the lock
    }
}
