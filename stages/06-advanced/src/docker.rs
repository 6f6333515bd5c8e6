//! Sandboxes that stay, through Docker: containers whose first process is the exec supervisor, on its standard input
//! and output.
//!
//! What is less than with gVisor's own engine, because Docker gives no more: the root file system is read-only (a
//! container's writable layer has no limit with most storage drivers), and with `runc` nothing is executed as root,
//! whose user would be that of the host. `/tmp`, `/var/tmp` and the home can be written to, and what is in them counts
//! as memory. The bytes of executions pass through the engine host, which copies them and looks at none.

mod program;
mod with_kept;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shared::{BoxFuture, Engine, SandboxInfo};
use stage_04_docker::{
    DockerEngine, KEPT_COUNTED_PROCESSES, KEPT_HOME, KeptContainer, KeptEnd, KeptOrder, error_chain,
};
use stage_05_gvisor::GVisorEngine;

use crate::Environment;
use crate::sandboxes::{
    AGENT_ID, EndReason, KeptSandboxes, MemoryOverhead, OpenError, OpenSandbox, Opened, Opener,
    Registry, SANDBOX_PATH, SandboxBounds, SandboxEnvironment, SandboxLimits, SandboxOrder,
    SandboxSupport, wait_for_frame,
};
use program::{PROGRAM_PATH, install};
use with_kept::WithKept;

/// How long the exec supervisor of a container may take to greet, on a machine that is busy.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// An engine whose containers are Docker's.
pub(crate) trait HasDocker: Engine + 'static {
    /// The engine of containers.
    fn docker(&self) -> &DockerEngine;
}

impl HasDocker for DockerEngine {
    fn docker(&self) -> &DockerEngine {
        self
    }
}

impl HasDocker for GVisorEngine {
    fn docker(&self) -> &DockerEngine {
        self.docker()
    }
}

/// Why no containers can be kept.
#[derive(Debug, thiserror::Error)]
#[error("cannot install the first process of containers that stay")]
pub(crate) struct InstallError(#[source] std::io::Error);

impl shared::Hint for InstallError {}

/// Adds sandboxes that stay to an engine, if they are wanted.
pub(crate) fn keeping<E: HasDocker>(
    engine: Arc<E>,
    kept: &KeptSandboxes,
    environments: &[Environment],
) -> Result<Arc<dyn Engine>, InstallError> {
    let Some(bounds) = kept.bounds else { return Ok(engine) };
    let usable = |one: &&Environment| one.uses.sandboxes && one.docker_image.is_some();
    let environments = environments.iter().filter(usable).cloned().collect();
    let sandbox = SandboxInfo { image_digest: None, ..engine.sandbox() };
    let program = install().map_err(InstallError)?;
    let opener = Containers { engine: Arc::clone(&engine), bounds, environments, sandbox, program };
    let registry = Registry::new(opener);
    kept.set(registry.clone());
    Ok(Arc::new(WithKept { engine, kept: registry }))
}

/// Opens containers.
struct Containers<E> {
    engine: Arc<E>,
    bounds: SandboxBounds,
    environments: Vec<Environment>,
    sandbox: SandboxInfo,
    /// The exec supervisor, on the host.
    program: PathBuf,
}

impl<E: HasDocker> Containers<E> {
    fn describe(&self, environment: &Environment) -> SandboxEnvironment {
        let max = self.bounds.max;
        let max_memory_bytes = max.memory_bytes.min(environment.max_memory_bytes);
        let max = SandboxLimits { memory_bytes: max_memory_bytes, ..max };
        let mut variables = environment.variables.clone();
        for (name, value) in [("PATH", SANDBOX_PATH), ("HOME", KEPT_HOME)] {
            if variables.iter().all(|(found, _)| found != name) {
                variables.push((name.to_owned(), value.to_owned()));
            }
        }
        SandboxEnvironment {
            name: environment.profile.name.clone().into_owned(),
            digest: environment.digest.clone(),
            // The image has no name for it. A first process that is not root executes as itself.
            user: AGENT_ID.to_string(),
            workdir: KEPT_HOME.to_owned(),
            variables,
            has_root: self.engine.docker().keeps_root(),
            has_writable_root: false,
            default: self.bounds.default.within(max),
            max,
        }
    }

    /// What the runtime is given beside the limit of a container.
    fn overhead(&self) -> MemoryOverhead {
        let limit = |pids| self.engine.docker().kept_memory_limit(0, pids);
        let base_bytes = limit(0);
        let process_bytes = limit(1).saturating_sub(base_bytes);
        MemoryOverhead { base_bytes, process_bytes, max_processes: KEPT_COUNTED_PROCESSES }
    }

    async fn start(&self, order: &SandboxOrder) -> Result<Opened, OpenError> {
        let name = &order.environment;
        let environment = self.environments.iter().find(|one| one.profile.name == *name);
        let image = environment.and_then(|environment| environment.docker_image.as_deref());
        let image = image.ok_or_else(|| OpenError::UnknownEnvironment { name: name.clone() })?;
        let SandboxLimits { memory_bytes, cpus, pids, disk_bytes } = order.limits;
        let program = (self.program.as_path(), PROGRAM_PATH);
        let cpus = cpus.into();
        let kept = KeptOrder { image, program, memory_bytes, cpus, pids, disk_bytes };
        let started = self.engine.docker().start_kept(&kept).await;
        let (socket, container) = started.map_err(|error| {
            tracing::error!(id = %order.id, error = error_chain(&error), "no container");
            OpenError::Failed { reason: error.to_string() }
        })?;
        let greeted = tokio::time::timeout(START_TIMEOUT, wait_for_frame(&socket)).await;
        if !matches!(greeted, Ok(Ok(true))) {
            let reason = "the first process of the container does not greet".to_owned();
            return Err(OpenError::Failed { reason });
        }
        Ok(Opened { socket, sandbox: Box::new(Kept(container)) })
    }
}

impl<E: HasDocker> Opener for Containers<E> {
    fn support(&self) -> SandboxSupport {
        SandboxSupport {
            sandbox: self.sandbox.clone(),
            max_sandboxes: self.bounds.max_sandboxes,
            max_lifetime_seconds: self.bounds.max_lifetime_seconds,
            environments: self.environments.iter().map(|one| self.describe(one)).collect(),
            overhead: self.overhead(),
        }
    }

    fn open<'a>(&'a self, order: &'a SandboxOrder) -> BoxFuture<'a, Result<Opened, OpenError>> {
        Box::pin(self.start(order))
    }
}

/// A container that is open.
struct Kept(KeptContainer);

impl OpenSandbox for Kept {
    fn ended(&mut self) -> BoxFuture<'_, EndReason> {
        Box::pin(async {
            match self.0.ended().await {
                KeptEnd::OutOfMemory => EndReason::MemoryExceeded,
                KeptEnd::Ended => EndReason::SandboxEnded,
            }
        })
    }

    fn remove(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(self.0.remove())
    }
}
