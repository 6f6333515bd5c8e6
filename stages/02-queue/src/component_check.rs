//! One check of a component, with a deadline, and its result.
//!
//! `test` on the command line and the runs of the self tests over HTTP call it for every component.

use std::time::{Duration, Instant};

use shared::component::SelfTestError;
use shared::{TestCase, TestableComponent, harmless};

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
        detail: harmless(&finding.unwrap_or_else(|error| error.to_string())),
        millis: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use shared::BoxFuture;
    use shared::component::SelfTestResult;

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
                TestCase::new("it breaks", async { Err("\u{1b}[1m".to_owned()) }),
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
            assert!(!check.detail.contains('\u{1b}'));
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
