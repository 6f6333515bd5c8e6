//! Whether a platform is fit for work, by the tests of its parts.
//!
//! The rule it keeps: while a part fails its own test, the platform is not ready, and takes no work:
//! a wall that stood at the start may have fallen since.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use shared::{Check, QueueStats, SandboxInfo};

use crate::storage::Usage;

/// The last self test of one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Component {
    /// Whether it passed.
    pub passed: bool,
    /// What was seen, or what was wrong.
    pub detail: String,
    /// When it was.
    pub tested_at: Timestamp,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// What runs on what, and whether it is fit for work.
#[derive(Debug, Clone, Serialize)]
pub struct PlatformStatus {
    /// The stage, by the name of its package.
    pub stage: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Whether it takes work now.
    pub ready: bool,
    /// One line on what stands between a program and the machine.
    pub isolation: &'static str,
    /// The same in detail: engine, runtime and its version, image.
    pub sandbox: SandboxInfo,
    /// When the platform was put together.
    pub started_at: Timestamp,
    /// How long ago that was, in seconds.
    pub uptime_seconds: u64,
    /// What the queue looks like.
    pub queue: QueueStats,
    /// How much is stored.
    pub storage: Usage,
    /// Each part's last self test, by its name; null for one that was not tested since the start.
    pub components: BTreeMap<String, Option<Component>>,
}

/// The result of `POST /self-test`.
#[derive(Debug, Clone, Serialize)]
pub struct SelfTest {
    /// Whether all passed.
    pub passed: bool,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// Each check, in the order in which it ran.
    pub checks: Vec<Check>,
}

/// The last self test of each part, and whether the platform goes down.
#[derive(Default)]
pub(crate) struct Health {
    tested: Mutex<BTreeMap<String, Component>>,
    closing: AtomicBool,
    /// Held while tests run: one run at a time.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Health {
    /// Writes the result of a self test down. Says so in the log when it is another than before.
    pub(crate) fn note(&self, check: &Check) {
        let now = Component {
            passed: check.passed,
            detail: check.detail.clone(),
            tested_at: Timestamp::now(),
            millis: check.millis,
        };
        let passed = now.passed;
        let before = self.tested().insert(check.component.clone(), now);
        if passed == before.is_none_or(|before| before.passed) {
            return;
        }
        let (component, detail) = (&check.component, &check.detail);
        if passed {
            tracing::warn!(component, detail, "passes its self test again");
        } else {
            tracing::error!(component, detail, "fails its self test: no work is taken");
        }
    }

    /// The last self test of a part. None when there was none since the start.
    pub(crate) fn last(&self, component: &str) -> Option<Component> {
        self.tested().get(component).cloned()
    }

    /// Whether no part has failed. A platform begins so: its engine was proven before it was handed
    /// over.
    pub(crate) fn all_passed(&self) -> bool {
        self.tested().values().all(|component| component.passed)
    }

    /// Whether work is taken.
    pub(crate) fn is_ready(&self) -> bool {
        self.all_passed() && !self.closing.load(Ordering::Relaxed)
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    fn tested(&self) -> MutexGuard<'_, BTreeMap<String, Component>> {
        self.tested.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_part_that_fails_is_enough_until_it_passes_again() {
        let health = Health::default();
        let note = |component: &str, passed| {
            health.note(&Check {
                component: component.to_owned(),
                name: "self test".to_owned(),
                passed,
                detail: "seen".to_owned(),
                millis: 1,
            });
            health.is_ready()
        };
        assert!(health.is_ready());
        assert!(note("engine", true));
        assert!(!note("engine", false));
        assert!(!note("storage", true));
        assert!(note("engine", true));
        health.close();
        assert!(!health.is_ready());
    }
}
