//! An engine whose answers name the files that a program ran with.

use std::sync::Arc;

use shared::component::SelfTestResult;
use shared::{
    BoxFuture, Engine, Job, OutputBuffer, SandboxInfo, TestCase, TestableComponent, Verdict,
};
use stage_06_advanced::Profiles;
use tokio_util::sync::CancellationToken;

/// An engine with environments.
pub(crate) struct WithEnvironments {
    inner: Arc<dyn Engine>,
    profiles: Profiles,
}

impl WithEnvironments {
    /// `inner`, which runs programs of `profiles`.
    pub(crate) fn wrap(inner: Arc<dyn Engine>, profiles: Profiles) -> Arc<dyn Engine> {
        Arc::new(Self { inner, profiles })
    }
}

impl Engine for WithEnvironments {
    fn sandbox(&self) -> SandboxInfo {
        self.inner.sandbox()
    }

    fn sandbox_for(&self, job: &Job) -> SandboxInfo {
        let sandbox = self.inner.sandbox_for(job);
        match self.profiles.environment(&job.submission.profile) {
            Some(environment) => {
                SandboxInfo { image_digest: Some(environment.digest.clone()), ..sandbox }
            }
            None => sandbox,
        }
    }

    /// One that was accepted before a restart may have lost its environment.
    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        output: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict> {
        if self.profiles.find(&job.submission.profile).is_none() {
            let verdict = Verdict::engine_error("its environment was removed from this server");
            return Box::pin(async { verdict });
        }
        self.inner.evaluate(job, output, cancel)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}

impl TestableComponent for WithEnvironments {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        self.inner.self_test()
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        self.inner.test_suite()
    }
}
