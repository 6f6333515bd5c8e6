//! Whether a platform can work, by the self tests of its components.
//!
//! The rule it keeps: while a component is proven not to work, the platform is not ready and accepts
//! no work. The isolation that was verified at the start may have been lost since. A self test that
//! has no result in time proves nothing, because a busy machine causes that too: it is reported, and
//! the readiness stays as it was.
//!
//! Task tree: the background self tests and each run of `self_test_run` are tasks of `tasks`.
//! [`Health::close`] ends them and waits for them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use shared::TestableComponent;
use stage_02_queue::{Check, self_test};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::self_test_run::SelfTestRun;

/// How soon a component that failed is tested again.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// The last self test of one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentHealth {
    /// Whether it works, as far as that is proven.
    pub passed: bool,
    /// Whether the last self test had no result in time, so that `passed` is from one before.
    pub timed_out: bool,
    /// What was found, or what is wrong.
    pub detail: String,
    /// When it was tested.
    pub tested_at: Timestamp,
    /// How long the test took, in milliseconds.
    pub millis: u64,
}

/// The components of a platform, the last self test of each, and whether the platform shuts down.
pub struct Health {
    /// Components above the platform hold it, and so this: the list is cleared at the shutdown, which
    /// breaks the cycle.
    components: Mutex<Vec<Arc<dyn TestableComponent>>>,
    results: Mutex<BTreeMap<String, ComponentHealth>>,
    /// The last runs on request, the newest last. The newest may be running, no other is.
    pub(super) runs: Mutex<VecDeque<watch::Receiver<SelfTestRun>>>,
    /// Locked while tests run, in the background or on request: one component at a time is tested.
    pub(super) run_lock: tokio::sync::Mutex<()>,
    /// Ends all tests. What starts one takes a token of `tasks` and then looks here.
    pub(super) closing: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Health {
    /// The health of `components`, which are assumed to work: the engine was verified at its start.
    pub fn new(components: Vec<Arc<dyn TestableComponent>>) -> Arc<Self> {
        Arc::new(Self {
            components: Mutex::new(components),
            results: Mutex::default(),
            runs: Mutex::default(),
            run_lock: tokio::sync::Mutex::default(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// Adds a component that is tested with the others: what is built on top of a platform.
    pub fn register_component(&self, component: Arc<dyn TestableComponent>) {
        lock(&self.components).push(component);
    }

    /// All components, from the engine upwards.
    pub fn components(&self) -> Vec<Arc<dyn TestableComponent>> {
        lock(&self.components).clone()
    }

    /// The last self test of each component; None for one that was not tested since the start.
    pub fn results(&self) -> BTreeMap<String, Option<ComponentHealth>> {
        let components = self.components();
        let results = lock(&self.results);
        let result = |name: &str| (name.to_owned(), results.get(name).cloned());
        components.iter().map(|component| result(component.name())).collect()
    }

    /// Whether no component is known to fail.
    pub fn all_passed(&self) -> bool {
        lock(&self.results).values().all(|component| component.passed)
    }

    /// Whether work is accepted.
    pub fn is_ready(&self) -> bool {
        self.all_passed() && !self.closing.is_cancelled()
    }

    /// Accepts no more work, ends the tests that run, and releases the components. When this returns,
    /// no test creates anything any more.
    pub async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        lock(&self.components).clear();
        self.tasks.wait().await;
    }

    // ANCHOR: record
    /// Records the result of a self test, and logs a change.
    pub(super) fn record(&self, check: &Check) {
        let (component, detail) = (&check.component, &check.detail);
        let mut results = lock(&self.results);
        let before = results.get(component).is_none_or(|last| last.passed);
        // A test without a result proves nothing: a busy machine must not close the platform.
        let passed = if check.timed_out { before } else { check.passed };
        let now = ComponentHealth {
            passed,
            timed_out: check.timed_out,
            detail: detail.clone(),
            tested_at: Timestamp::now(),
            millis: check.millis,
        };
        results.insert(component.clone(), now);
        drop(results);
        match (check.timed_out, before, passed) {
            (true, ..) => tracing::warn!(component, detail, "its self test had no result in time"),
            (_, false, true) => tracing::warn!(component, detail, "passes its self test again"),
            (_, true, false) => {
                tracing::error!(component, detail, "fails its self test: no work is accepted");
            }
            _ => {}
        }
    }
    // ANCHOR_END: record

    // ANCHOR: background
    /// Runs the self test of every component each `interval`, until the close.
    pub(super) fn run_in_background(self: &Arc<Self>, interval: Duration) {
        let health = Arc::clone(self);
        self.tasks.spawn(async move {
            let repeated = async {
                let mut pause = interval;
                loop {
                    tokio::time::sleep(pause).await;
                    health.run_background_self_tests().await;
                    let retry = interval.min(RETRY_INTERVAL);
                    pause = if health.all_passed() { interval } else { retry };
                }
            };
            health.closing.run_until_cancelled(repeated).await
        });
    }

    async fn run_background_self_tests(&self) {
        let _guard = self.run_lock.lock().await;
        for component in self.components() {
            self.record(&self_test(component.as_ref()).await);
        }
    }
    // ANCHOR_END: background
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds one of the locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_component_that_is_broken_is_enough_until_it_passes_again() {
        let health = Health::new(Vec::new());
        let record = |component: &str, passed, timed_out| {
            health.record(&Check {
                component: component.to_owned(),
                name: "self test".to_owned(),
                passed,
                timed_out,
                detail: "seen".to_owned(),
                millis: 1,
            });
            health.is_ready()
        };
        assert!(health.is_ready());
        assert!(record("engine", false, true), "no result is no proof that it is broken");
        assert!(record("engine", true, false));
        assert!(!record("engine", false, false));
        assert!(!record("engine", false, true), "no result is no proof that it works again");
        assert!(!record("storage", true, false));
        assert!(record("engine", true, false));
        health.close().await;
        assert!(!health.is_ready());
    }
}
