//! Whether a platform can work, by the self tests of its components.
//!
//! The rule it keeps: while a component fails its self test, the platform is not ready and accepts no
//! work. The isolation that was verified at the start may have been lost since.
//!
//! Self tests run in the background and on request. The queue's own test is an evaluation that is
//! visible in the list, so in the background it runs only while it is known to fail.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use shared::component::{check, self_test};
use shared::{Check, TestableComponent};
use tokio_util::sync::CancellationToken;

/// How soon a component that failed is tested again.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// How long a whole suite may take. A check that has not started by then counts as failed.
const SUITE_TIMEOUT: Duration = Duration::from_mins(5);

/// The last self test of one component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ComponentHealth {
    /// Whether it passed.
    pub passed: bool,
    /// What was found, or what is wrong.
    pub detail: String,
    /// When it was tested.
    pub tested_at: Timestamp,
    /// How long the test took, in milliseconds.
    pub millis: u64,
}

/// The result of `POST /self-test`.
#[derive(Debug, Clone, Serialize)]
pub struct SelfTest {
    /// Whether all checks passed.
    pub passed: bool,
    /// How long they took, in milliseconds.
    pub millis: u64,
    /// Each check, in the order in which it ran.
    pub checks: Vec<Check>,
}

/// The components of a platform, the last self test of each, and whether the platform shuts down.
pub struct Health {
    /// Components above the platform hold it, and so this: the list is cleared at the shutdown, which
    /// breaks the cycle.
    components: Mutex<Vec<Arc<dyn TestableComponent>>>,
    /// The component whose self test is visible to users.
    visible: &'static str,
    results: Mutex<BTreeMap<String, ComponentHealth>>,
    closing: AtomicBool,
    /// Locked while tests run: one run at a time.
    run_lock: tokio::sync::Mutex<()>,
}

impl Health {
    /// The health of `components`, which are assumed to work: the engine was verified at its start.
    /// The self test of the one named `visible` runs on request, or while it is known to fail.
    pub fn new(components: Vec<Arc<dyn TestableComponent>>, visible: &'static str) -> Arc<Self> {
        Arc::new(Self {
            components: Mutex::new(components),
            visible,
            results: Mutex::default(),
            closing: AtomicBool::new(false),
            run_lock: tokio::sync::Mutex::default(),
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
        self.all_passed() && !self.closing.load(Ordering::Relaxed)
    }

    /// Accepts no more work, and releases the components.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
        lock(&self.components).clear();
    }

    /// Records the result of a self test, and logs a change.
    pub(super) fn record(&self, check: &Check) {
        let now = ComponentHealth {
            passed: check.passed,
            detail: check.detail.clone(),
            tested_at: Timestamp::now(),
            millis: check.millis,
        };
        let passed = now.passed;
        let before = lock(&self.results).insert(check.component.clone(), now);
        if passed == before.is_none_or(|before| before.passed) {
            return;
        }
        let (component, detail) = (&check.component, &check.detail);
        if passed {
            tracing::warn!(component, detail, "passes its self test again");
        } else {
            tracing::error!(component, detail, "fails its self test: no work is accepted");
        }
    }

    /// Runs self tests every `interval` until `stop` is cancelled.
    pub(super) async fn run_in_background(
        self: Arc<Self>,
        interval: Duration,
        stop: CancellationToken,
    ) {
        let mut pause = interval;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            self.run_background_self_tests().await;
            pause = if self.all_passed() { interval } else { interval.min(RETRY_INTERVAL) };
        }
    }

    // ANCHOR: background
    /// Runs the self tests that users do not see.
    async fn run_background_self_tests(&self) {
        let _guard = self.run_lock.lock().await;
        for component in self.components() {
            let name = component.name();
            let fails = lock(&self.results).get(name).is_some_and(|last| !last.passed);
            if name != self.visible || fails {
                self.record(&self_test(component.as_ref()).await);
            }
        }
    }
    // ANCHOR_END: background

    /// Runs the self test of every component, and with `suite` all of its checks. None when another
    /// run is under way.
    pub async fn self_test(&self, suite: bool) -> Option<SelfTest> {
        let _guard = self.run_lock.try_lock().ok()?;
        let started = Instant::now();
        let mut checks = Vec::new();
        for component in self.components() {
            let own = self_test(component.as_ref()).await;
            self.record(&own);
            checks.push(own);
            if suite {
                run_suite(component.as_ref(), started, &mut checks).await;
            }
        }
        Some(SelfTest {
            passed: checks.iter().all(|check| check.passed),
            millis: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            checks,
        })
    }
}

async fn run_suite(component: &dyn TestableComponent, started: Instant, checks: &mut Vec<Check>) {
    for case in component.test_suite() {
        if started.elapsed() < SUITE_TIMEOUT {
            checks.push(check(component, case).await);
            continue;
        }
        let detail = format!("not run: {} s were over", SUITE_TIMEOUT.as_secs());
        let (component, name) = (component.name().to_owned(), case.name.to_owned());
        checks.push(Check { component, name, passed: false, detail, millis: 0 });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds one of the locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_component_that_fails_is_enough_until_it_passes_again() {
        let health = Health::new(Vec::new(), "queue");
        let record = |component: &str, passed| {
            health.record(&Check {
                component: component.to_owned(),
                name: "self test".to_owned(),
                passed,
                detail: "seen".to_owned(),
                millis: 1,
            });
            health.is_ready()
        };
        assert!(health.is_ready());
        assert!(record("engine", true));
        assert!(!record("engine", false));
        assert!(!record("storage", true));
        assert!(record("engine", true));
        health.close();
        assert!(!health.is_ready());
    }
}
