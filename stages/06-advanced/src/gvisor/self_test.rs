//! The engine verifies itself: what every container engine guarantees, and what only this one has
//! to.

use shared::component::SelfTestResult;
use shared::{BoxFuture, TestCase, TestableComponent};

use super::RunscEngine;

impl TestableComponent for RunscEngine {
    fn name(&self) -> &'static str {
        "runsc engine"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            let seen = self.verify_isolation().await?;
            let pool = self.pool();
            Ok(format!("{seen}; {} of {} sandboxes wait", pool.ready, pool.target))
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        stage_04_docker::common_suite(self)
    }
}
