//! The container engine of stage 4 on gVisor.
//!
//! The rule it keeps: fail closed. There is one runtime, and its isolation is verified before the
//! first program; where it is missing or not in use, the engine does not start. There is no other
//! runtime to fall back to.

use shared::{BoxFuture, Engine, Job, OutputBuffer, SandboxInfo, Verdict};
use stage_04_docker::{DockerArgs, DockerEngine, EngineError};
use tokio_util::sync::CancellationToken;

use crate::runtime::RUNSC;

// ANCHOR: engine
/// Runs each program in a container with a kernel of its own.
pub struct GVisorEngine {
    pub(crate) inner: DockerEngine,
}

impl GVisorEngine {
    /// The container engine on gVisor, after its isolation was verified.
    ///
    /// # Errors
    ///
    /// When Docker, runsc or the image is missing, or a container does not run under gVisor.
    pub async fn start(args: &DockerArgs) -> Result<Self, EngineError> {
        Ok(Self { inner: DockerEngine::start(args, RUNSC).await? })
    }

    /// The engine below.
    pub fn docker(&self) -> &DockerEngine {
        &self.inner
    }
}

impl Engine for GVisorEngine {
    fn sandbox(&self) -> SandboxInfo {
        self.inner.sandbox()
    }

    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        output: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict> {
        self.inner.evaluate(job, output, cancel)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.inner.close()
    }
}
// ANCHOR_END: engine
