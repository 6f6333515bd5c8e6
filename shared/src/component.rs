//! How every component of the platform verifies itself.
//!
//! The same code runs in three places: `stage-NN test` on the command line, `POST /self-test`, and
//! `cargo test`. A self test judges the live component by its own counters. A check of the suite works
//! on scratch instances of the same kind, so that no client's data, places or events are touched.

use std::time::{Duration, Instant};

use crate::BoxFuture;

/// What a check found (`Ok`), or what is wrong and what to do about it (`Err`).
pub type CheckResult = Result<String, String>;

/// The same for a self test, which decides whether work is accepted.
pub type SelfTestResult = Result<String, SelfTestError>;

/// Why a self test did not pass.
#[derive(Debug, Clone, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum SelfTestError {
    /// The component is proven not to work.
    #[error("{0}")]
    Broken(String),
    /// There was no result in time. That may be load, and so says nothing about the component.
    #[error("{0}")]
    TimedOut(String),
}

impl From<String> for SelfTestError {
    fn from(what: String) -> Self {
        Self::Broken(what)
    }
}

/// One named check of a component.
pub struct TestCase<'a> {
    /// The property that is checked, such as `the network is off`.
    pub name: &'static str,
    /// The check itself.
    pub run: BoxFuture<'a, SelfTestResult>,
}

impl<'a> TestCase<'a> {
    /// A check called `name`.
    pub fn new(
        name: &'static str,
        run: impl Future<Output = CheckResult> + Send + 'a,
    ) -> TestCase<'a> {
        TestCase { name, run: Box::pin(async { Ok(run.await?) }) }
    }
}

/// The result of one check.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Check {
    /// The component that was checked.
    pub component: String,
    /// The property that was checked.
    pub name: String,
    /// Whether it holds.
    pub passed: bool,
    /// Whether it has no result because its time was over.
    pub timed_out: bool,
    /// What was found, or what is wrong.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// A component that can verify itself while it is in use.
pub trait TestableComponent: Send + Sync {
    /// The component's name in reports.
    fn name(&self) -> &'static str;

    /// A quick check of the live component: can it work now? However busy it is, it can.
    fn self_test(&self) -> BoxFuture<'_, SelfTestResult>;

    /// A check for each property of the component, to be run one by one. None of them changes the
    /// state of the live one.
    fn test_suite(&self) -> Vec<TestCase<'_>>;
}

/// How long one check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_mins(1);

/// Runs the self test of `component`.
pub async fn self_test(component: &dyn TestableComponent) -> Check {
    check(component, TestCase { name: "self test", run: component.self_test() }).await
}

/// Runs one check of `component`, with a deadline. Its future is dropped then, and what it has
/// created with it.
pub async fn check(component: &dyn TestableComponent, case: TestCase<'_>) -> Check {
    let started = Instant::now();
    let finding = tokio::time::timeout(CHECK_TIMEOUT, case.run).await.unwrap_or_else(|_| {
        Err(SelfTestError::TimedOut(format!("no result within {CHECK_TIMEOUT:?}")))
    });
    Check {
        component: component.name().to_owned(),
        name: case.name.to_owned(),
        passed: finding.is_ok(),
        timed_out: matches!(finding, Err(SelfTestError::TimedOut(_))),
        detail: finding.unwrap_or_else(|error| error.to_string()),
        millis: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Part;

    impl TestableComponent for Part {
        fn name(&self) -> &'static str {
            "part"
        }

        fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
            Box::pin(async { Ok("well".to_owned()) })
        }

        fn test_suite(&self) -> Vec<TestCase<'_>> {
            vec![
                TestCase::new("it breaks", async { Err("broken".to_owned()) }),
                TestCase::new("it hangs", std::future::pending()),
                TestCase::new("it goes on", async { Ok("fine".to_owned()) }),
            ]
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_breaks_or_hangs_fails_and_the_next_one_runs() {
        let mut seen = Vec::new();
        let own = self_test(&Part).await;
        seen.push((own.name, own.passed, own.timed_out));
        for case in Part.test_suite() {
            let check = check(&Part, case).await;
            seen.push((check.name, check.passed, check.timed_out));
        }
        let expected = [
            ("self test", true, false),
            ("it breaks", false, false),
            ("it hangs", false, true),
            ("it goes on", true, false),
        ];
        let expected = expected.map(|(name, passed, late)| (name.to_owned(), passed, late));
        assert_eq!(seen, expected);
    }
}
