//! A platform that serves verifies itself again and again, and on request.
//!
//! What runs by the clock leaves no trace that a user would see: the queue's own test is an evaluation
//! that stands in the list, so it runs on request, or while it is known to fail.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use shared::component::{check, self_test};
use shared::{Check, TestableComponent};
use tokio_util::sync::CancellationToken;

use crate::health::SelfTest;
use crate::platform::Platform;

/// How soon a part that failed is looked at again.
const AGAIN: Duration = Duration::from_secs(5);
/// How long a whole suite may take. What has not begun by then counts as failed.
const SUITE_DEADLINE: Duration = Duration::from_mins(5);

/// Verifies the platform until `stop` fires or nobody holds it any more.
pub(crate) async fn watch(platform: Weak<Platform>, every: Duration, stop: CancellationToken) {
    let mut pause = every;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let Some(platform) = platform.upgrade() else { return };
        platform.look().await;
        pause = if platform.health.all_passed() { every } else { every.min(AGAIN) };
    }
}

impl Platform {
    // ANCHOR: look
    /// Runs the self tests that leave no trace.
    pub(crate) async fn look(self: &Arc<Self>) {
        let _turn = self.health.turn.lock().await;
        for part in self.components() {
            let known_bad = self.health.last(part.name()).is_some_and(|last| !last.passed);
            if part.name() != self.parts.queue.name() || known_bad {
                self.health.note(&self_test(part.as_ref()).await);
            }
        }
    }
    // ANCHOR_END: look

    /// Runs the self test of every part, and with `suite` everything that each promises. None when
    /// another run goes on.
    pub async fn self_test(self: &Arc<Self>, suite: bool) -> Option<SelfTest> {
        let _turn = self.health.turn.try_lock().ok()?;
        let started = Instant::now();
        let mut checks = Vec::new();
        for part in self.components() {
            let own = self_test(part.as_ref()).await;
            self.health.note(&own);
            checks.push(own);
            if suite {
                run_suite(part.as_ref(), started, &mut checks).await;
            }
        }
        Some(SelfTest {
            passed: checks.iter().all(|check| check.passed),
            millis: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            checks,
        })
    }
}

async fn run_suite(part: &dyn TestableComponent, started: Instant, checks: &mut Vec<Check>) {
    for case in part.test_suite() {
        if started.elapsed() < SUITE_DEADLINE {
            checks.push(check(part, case).await);
            continue;
        }
        let detail = format!("not run: {} s were over", SUITE_DEADLINE.as_secs());
        let (component, name) = (part.name().to_owned(), case.name.to_owned());
        checks.push(Check { component, name, passed: false, detail, millis: 0 });
    }
}
