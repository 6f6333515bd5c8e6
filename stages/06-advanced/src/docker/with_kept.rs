//! An engine of containers that are used once, and one of containers that stay: both are closed together.

use std::sync::Arc;

use shared::component::SelfTestResult;
use shared::{
    BoxFuture, Engine, Job, OutputBuffer, SandboxInfo, TestCase, TestableComponent, Verdict,
};
use tokio_util::sync::CancellationToken;

use crate::sandboxes::Registry;

/// Both of them.
pub(super) struct WithKept<E> {
    pub(super) engine: Arc<E>,
    pub(super) kept: Arc<Registry>,
}

impl<E: Engine> Engine for WithKept<E> {
    fn sandbox(&self) -> SandboxInfo {
        self.engine.sandbox()
    }

    fn sandbox_for(&self, job: &Job) -> SandboxInfo {
        self.engine.sandbox_for(job)
    }

    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        output: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict> {
        self.engine.evaluate(job, output, cancel)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            // First: the engine waits for the removal of all of its containers.
            self.kept.close().await;
            self.engine.close().await;
        })
    }
}

impl<E: Engine> TestableComponent for WithKept<E> {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        self.engine.self_test()
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        self.engine.test_suite()
    }
}
