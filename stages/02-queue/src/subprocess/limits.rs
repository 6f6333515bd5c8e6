//! Watches the limits that are for all processes of a program together: processor time and memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::{Job, Limits};

use super::process_group::ProcessGroup;
use super::process_tree::{ProcessTree, SAMPLE_INTERVAL};
use super::verdict::StopReason;

/// Compares what the processes of one program use with its limits.
///
/// `/proc` is read away from the threads of the runtime: a process that is short of memory delays a
/// reader of its files. The lock is held for a whole sample, so that the last one, after a limit was
/// reached, begins where the one before it ended.
pub(super) struct LimitWatch(Arc<Mutex<ProcessTree>>);

impl LimitWatch {
    /// That of the program of `job`, which runs in `group`.
    pub(super) fn of(group: &ProcessGroup, job: &Job) -> Self {
        Self(Arc::new(Mutex::new(ProcessTree::of(group.leader(), &job.id.to_string()))))
    }

    // ANCHOR: limits
    /// Returns when all processes together have passed a limit.
    pub(super) async fn limit_reached(&self, limits: &Limits) -> StopReason {
        let Limits { cpu_seconds, memory_bytes, .. } = *limits;
        loop {
            tokio::time::sleep(SAMPLE_INTERVAL).await;
            let passed = self.with(move |tree| {
                let sample = tree.sample();
                if sample.cpu.as_secs_f64() >= cpu_seconds {
                    return Some(StopReason::CpuLimit);
                }
                // The exact sum takes longer, and is needed only when the upper bound is too large.
                let is_suspect = sample.resident_bytes > memory_bytes;
                let memory = if is_suspect { tree.memory_bytes() } else { 0 };
                (memory > memory_bytes).then_some(StopReason::MemoryLimit(memory))
            });
            if let Some(Some(limit)) = passed.await {
                return limit;
            }
        }
    }
    // ANCHOR_END: limits

    /// The processor time of all processes. After a limit, those that have left the group are killed.
    pub(super) async fn end(&self, stop: StopReason) -> Duration {
        let cpu = self.with(move |tree| {
            let sample = tree.last_sample();
            if matches!(stop, StopReason::CpuLimit | StopReason::MemoryLimit(_)) {
                tree.kill();
            }
            sample.cpu
        });
        cpu.await.unwrap_or_default()
    }

    /// None when the runtime is shutting down.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut ProcessTree) -> T + Send + 'static,
    ) -> Option<T> {
        let tree = Arc::clone(&self.0);
        let work = move || work(&mut tree.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(work).await.ok()
    }
}
