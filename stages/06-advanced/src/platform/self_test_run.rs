//! Runs of the self tests: each is a task of its own.
//!
//! A client starts a run and reads its result later, or waits for it. The task owns the work: a client
//! that disconnects changes nothing, and the shutdown ends the task and waits for it, so that it has
//! removed what it created before the engine is closed.
//!
//! One run at a time: each starts sandboxes, and a second one finds out nothing new. A request during
//! a run joins it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use shared::{Refusal, TestableComponent};
use stage_02_queue::{Check, check, self_test};
use tokio::sync::watch;
use uuid::Uuid;

use super::health::{Health, lock};

/// How long a whole suite may take. A check that has not started by then counts as failed.
const SUITE_TIMEOUT: Duration = Duration::from_mins(5);
/// Runs whose results can be read; the first to start is forgotten first.
const MAX_STORED_RUNS: usize = 16;

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SelfTestStatus {
    /// Some of its checks have no result yet.
    Running,
    /// All checks have a result.
    Completed,
    /// It was ended before that, because the platform shuts down.
    Cancelled,
}

/// One run of the self tests.
#[derive(Debug, Clone, Serialize)]
pub struct SelfTestRun {
    /// Its id.
    pub id: Uuid,
    /// Where it is.
    pub status: SelfTestStatus,
    /// Whether it runs the suite of each component beside its self test.
    pub suite: bool,
    /// Whether all checks passed. None until it is completed.
    pub passed: Option<bool>,
    /// When it was requested first.
    pub started_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The results so far, in the order of the checks.
    pub checks: Vec<Check>,
}

impl SelfTestRun {
    /// Whether it has ended.
    pub fn is_final(&self) -> bool {
        self.status != SelfTestStatus::Running
    }
}

impl Health {
    /// Starts a run of the self test of every component, and with `suite` of all its checks. While
    /// another run is under way it returns that one, whatever it runs.
    ///
    /// # Errors
    ///
    /// Refused when the platform is shutting down.
    pub fn start_self_test(self: &Arc<Self>, suite: bool) -> Result<SelfTestRun, Refusal> {
        // With a token first: either the shutdown waits for the task, or it is seen here.
        let token = self.tasks.token();
        if self.closing.is_cancelled() {
            return Err(Refusal::shutting_down());
        }
        let mut runs = lock(&self.runs);
        let last = runs.back().map(|run| run.borrow().clone());
        if let Some(running) = last.filter(|run| !run.is_final()) {
            return Ok(running);
        }
        let run = SelfTestRun {
            id: Uuid::now_v7(),
            status: SelfTestStatus::Running,
            suite,
            passed: None,
            started_at: Timestamp::now(),
            finished_at: None,
            checks: Vec::new(),
        };
        let (sender, receiver) = watch::channel(run.clone());
        if runs.len() == MAX_STORED_RUNS {
            runs.pop_front();
        }
        runs.push_back(receiver);
        drop(runs);
        let (health, record) = (Arc::clone(self), Record(sender));
        self.tasks.spawn(async move {
            let checks = health.run_checks(suite, &record);
            if health.closing.run_until_cancelled(checks).await.is_some() {
                record.end(SelfTestStatus::Completed);
            }
        });
        drop(token);
        Ok(run)
    }

    /// A run, if it is still stored.
    pub fn self_test_run(&self, id: Uuid) -> Option<SelfTestRun> {
        self.receiver(id).map(|run| run.borrow().clone())
    }

    /// The same, as soon as it has ended, or as it is after `timeout`.
    pub async fn wait_for_self_test(&self, id: Uuid, timeout: Duration) -> Option<SelfTestRun> {
        let mut run = self.receiver(id)?;
        // After the timeout the run is returned as it is.
        tokio::time::timeout(timeout, run.wait_for(SelfTestRun::is_final)).await.ok();
        let now = run.borrow().clone();
        Some(now)
    }

    fn receiver(&self, id: Uuid) -> Option<watch::Receiver<SelfTestRun>> {
        lock(&self.runs).iter().find(|run| run.borrow().id == id).cloned()
    }

    async fn run_checks(&self, suite: bool, record: &Record) {
        // Not beside the background self tests.
        let _guard = self.run_lock.lock().await;
        let started = Instant::now();
        for component in self.components() {
            let own = self_test(component.as_ref()).await;
            self.record(&own);
            record.add(own);
            if suite {
                run_suite(component.as_ref(), started, record).await;
            }
        }
    }
}

async fn run_suite(component: &dyn TestableComponent, started: Instant, record: &Record) {
    for case in component.test_suite() {
        if started.elapsed() < SUITE_TIMEOUT {
            record.add(check(component, case).await);
            continue;
        }
        let detail = format!("not run: {} s were over", SUITE_TIMEOUT.as_secs());
        let (component, name) = (component.name().to_owned(), case.name.to_owned());
        record.add(Check { component, name, passed: false, timed_out: true, detail, millis: 0 });
    }
}

/// Where a run writes its results. Dropped before the end, it records that the run was cancelled, so
/// that no client waits for a task that is gone.
struct Record(watch::Sender<SelfTestRun>);

impl Record {
    fn add(&self, check: Check) {
        self.0.send_modify(|run| run.checks.push(check));
    }

    fn end(&self, status: SelfTestStatus) {
        self.0.send_if_modified(|run| {
            if run.is_final() {
                return false;
            }
            let passed = run.checks.iter().all(|check| check.passed);
            run.status = status;
            run.passed = (status == SelfTestStatus::Completed).then_some(passed);
            run.finished_at = Some(Timestamp::now());
            true
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.end(SelfTestStatus::Cancelled);
    }
}
