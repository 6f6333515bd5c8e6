//! How every component of the platform verifies itself.
//!
//! The same code runs in three places: `stage-NN test` on the command line, `POST /self-test`, and
//! `cargo test`. A self test judges the live component by its own counters. A check of the suite works
//! on scratch instances of the same kind, so that no client's data, places or events are touched.

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
