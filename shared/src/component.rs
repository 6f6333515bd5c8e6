//! How every component of the platform verifies itself.
//!
//! The same code runs in three places: `stage-NN test` on the command line, `POST /self-test`, and
//! `cargo test`. A check examines the live component, never a substitute.

use std::time::{Duration, Instant};

use crate::BoxFuture;

/// What a check found (`Ok`), or what is wrong and what to do about it (`Err`).
pub type CheckResult = Result<String, String>;

/// One named check of a component.
pub struct TestCase<'a> {
    /// The property that is checked, such as `the network is off`.
    pub name: &'static str,
    /// The check itself.
    pub run: BoxFuture<'a, CheckResult>,
}

impl<'a> TestCase<'a> {
    /// A check called `name`.
    pub fn new(
        name: &'static str,
        run: impl Future<Output = CheckResult> + Send + 'a,
    ) -> TestCase<'a> {
        TestCase { name, run: Box::pin(run) }
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
    /// What was found, or what is wrong.
    pub detail: String,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// A component that can verify itself while it is in use.
pub trait TestableComponent: Send + Sync {
    /// The component's name in reports.
    fn name(&self) -> &'static str;

    /// A quick check of the live component: can it work now?
    fn self_test(&self) -> BoxFuture<'_, CheckResult>;

    /// A check for each property of the component, to be run one by one.
    fn test_suite(&self) -> Vec<TestCase<'_>>;
}

/// How long one check may take before it counts as failed.
const CHECK_TIMEOUT: Duration = Duration::from_mins(1);

/// Runs the self test and then the whole suite of `component`, and calls `each` with every result as
/// soon as it is known. Returns true when all passed.
pub async fn verify(component: &dyn TestableComponent, mut each: impl FnMut(Check)) -> bool {
    let own = self_test(component).await;
    let mut all_passed = own.passed;
    each(own);
    for case in component.test_suite() {
        let check = check(component, case).await;
        all_passed &= check.passed;
        each(check);
    }
    all_passed
}

/// Runs the self test of `component`.
pub async fn self_test(component: &dyn TestableComponent) -> Check {
    check(component, TestCase { name: "self test", run: component.self_test() }).await
}

/// Runs one check of `component`, with a deadline.
pub async fn check(component: &dyn TestableComponent, case: TestCase<'_>) -> Check {
    let started = Instant::now();
    let finding = tokio::time::timeout(CHECK_TIMEOUT, case.run).await.unwrap_or_else(|_| {
        Err(format!("no answer within {} s: the component hangs", CHECK_TIMEOUT.as_secs()))
    });
    Check {
        component: component.name().to_owned(),
        name: case.name.to_owned(),
        passed: finding.is_ok(),
        detail: finding.unwrap_or_else(|error| error),
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

        fn self_test(&self) -> BoxFuture<'_, CheckResult> {
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
        let all = verify(&Part, |check| seen.push((check.name, check.passed))).await;
        assert!(!all);
        let expected =
            [("self test", true), ("it breaks", false), ("it hangs", false), ("it goes on", true)];
        assert_eq!(seen, expected.map(|(name, passed)| (name.to_owned(), passed)));
    }
}
