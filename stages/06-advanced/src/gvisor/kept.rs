//! Sandboxes that stay, on gVisor: root inside, a root file system that can be written to, and the same isolation
//! from the host as those of evaluations.
//!
//! ```text
//! engine host (root)
//! └─ runsc run --overlay2=root:memory    one task for each sandbox owns all below it (`process`)
//!    ├─ runsc-gofer    (root, filtered)  opens the image's files, to read them
//!    └─ runsc-sandbox  (nobody)          gVisor's kernel; what is written to the root is its memory
//!       └─ PID 1 exec supervisor (root inside, Docker's capabilities)
//!          ├─ an execution (the user `agent`, or root inside)
//!          └─ another one ...
//! ```
//!
//! What a root inside changes: nothing on the host. Its user, its capabilities and its devices are those of gVisor's
//! kernel, which runs as `nobody`, without a capability, in namespaces of its own. What it changes inside: the exec
//! supervisor is no longer trusted, because root can replace it. Its socket is therefore handed to the process without
//! rights, and nothing that it reports reaches another sandbox.
//!
//! 1. `spec`: the specification, wholly under a snapshot;
//! 2. `root`: the files that an environment gets beside its image's;
//! 3. `sandbox`: one sandbox, from its start to its end;
//! 4. `pool`: a few that wait;
//! 5. `verify`: the isolation of one, looked at from outside, before an environment is used.
//!
//! What it does not protect: a program inside can end its own sandbox, and can fill its own memory, which ends it.

mod pool;
mod root;
mod sandbox;
mod spec;
mod verify;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use shared::{BoxFuture, SandboxInfo};
use stage_04_docker::error_chain;
use tokio::sync::OnceCell;

use super::options::{RootfsError, RunscError, RunscOptions};
use super::profile::SandboxProfile;
use super::sandbox::SandboxFactory;
use super::{blocking, rootfs};
use crate::Environment;
use crate::sandboxes::{
    AGENT_HOME, AGENT_USER, OpenError, Opened, Opener, Registry, SANDBOX_PATH, SandboxBounds,
    SandboxEnvironment, SandboxOrder, SandboxSupport,
};
use pool::KeptPool;
use sandbox::KeptFactory;

/// What wraps the root file system: the sandbox's own memory, which its cgroup counts. The release of 2024 knows no
/// limit of an overlay alone.
const OVERLAY_ARGUMENT: &str = "--overlay2=root:memory";

/// Opens sandboxes that stay.
pub(super) struct Kept {
    environments: HashMap<String, (Environment, OnceCell<Arc<KeptPool>>)>,
    /// What sandboxes of evaluations are made with; of it, all but the profile is the same.
    factory: SandboxFactory,
    bounds: SandboxBounds,
    sandbox: SandboxInfo,
    /// How many more sandboxes may wait.
    warm_left: Mutex<usize>,
}

/// Why no sandbox can be opened of an environment.
#[derive(Debug, thiserror::Error)]
enum KeptError {
    #[error("its files cannot be used")]
    Files(#[source] RunscError),
    #[error("its isolation could not be verified")]
    NotVerified(#[source] super::isolation_check::IsolationError),
}

/// Starts what opens sandboxes that stay, if they are wanted: as `factory` makes those of evaluations, on the same
/// engine.
pub(super) fn start(
    options: &RunscOptions,
    factory: SandboxFactory,
    sandbox: &SandboxInfo,
) -> Option<Arc<Registry>> {
    let bounds = options.kept.bounds?;
    let sandbox = SandboxInfo { image_digest: None, ..sandbox.clone() };
    let max_warm = options.warm_environments.into();
    let kept = Kept::new(&options.environments, factory, bounds, sandbox, max_warm);
    let kept = Registry::new(kept);
    options.kept.set(kept.clone());
    Some(kept)
}

impl Kept {
    fn new(
        environments: &[Environment],
        factory: SandboxFactory,
        bounds: SandboxBounds,
        sandbox: SandboxInfo,
        max_warm: usize,
    ) -> Self {
        let usable = environments.iter().filter(|environment| environment.uses.sandboxes);
        let named = |one: &Environment| (one.profile.name.clone().into_owned(), one.clone());
        let environments = usable.map(named).map(|(name, one)| (name, (one, OnceCell::new())));
        let warm_left = Mutex::new(max_warm);
        Self { environments: environments.collect(), factory, bounds, sandbox, warm_left }
    }

    fn describe(&self, name: &str, environment: &Environment) -> SandboxEnvironment {
        let path = ("PATH".to_owned(), SANDBOX_PATH.to_owned());
        let mut variables = environment.variables.clone();
        if variables.iter().all(|(name, _)| name != "PATH") {
            variables.push(path);
        }
        let max = self.bounds.max;
        let max_memory_bytes = max.memory_bytes.min(environment.max_memory_bytes);
        let max = crate::SandboxLimits { memory_bytes: max_memory_bytes, ..max };
        let own = self.bounds.default;
        let own = crate::SandboxLimits {
            memory_bytes: own.memory_bytes.max(environment.memory_bytes),
            pids: own.pids.max(environment.pids),
            ..own
        };
        SandboxEnvironment {
            name: name.to_owned(),
            digest: environment.digest.clone(),
            user: AGENT_USER.to_owned(),
            workdir: AGENT_HOME.to_owned(),
            variables,
            has_root: true,
            has_writable_root: true,
            default: own.within(max),
            max,
        }
    }

    /// The pool of an environment, which is prepared and verified at its first use. One that could not be is tried
    /// again at the next.
    async fn pool(&self, name: &str) -> Result<Arc<KeptPool>, OpenError> {
        let unknown = || OpenError::UnknownEnvironment { name: name.to_owned() };
        let (environment, pool) = self.environments.get(name).ok_or_else(unknown)?;
        let started = pool.get_or_try_init(|| self.start(name, environment)).await;
        started.map(Arc::clone).map_err(|error| {
            tracing::error!(name, error = error_chain(&error), "an environment cannot be kept");
            OpenError::Failed { reason: error.to_string() }
        })
    }

    async fn start(
        &self,
        name: &str,
        environment: &Environment,
    ) -> Result<Arc<KeptPool>, KeptError> {
        let (dir, digest) = (Arc::clone(&self.factory.dir), environment.digest.clone());
        let checked = SandboxProfile::of(environment, false);
        let image = environment.image.clone();
        let root = self.factory.dir.kept_root(name);
        let path = root.clone();
        blocking(move || {
            if rootfs::check(&checked)? != digest {
                let reason = RootfsError::Changed { path: "the list of its files".to_owned() };
                return Err(RunscError::NoRootfs { path: image, reason });
            }
            dir.add_kept_root(&image, &path, |layer| root::add_files(&image, layer))
        })
        .await
        .map_err(KeptError::Files)?;
        let mut arguments = self.factory.arguments.clone();
        arguments.push(OVERLAY_ARGUMENT);
        let base = SandboxFactory { arguments, ..self.factory.clone() };
        let factory = KeptFactory { base, root };
        let limits = self.describe(name, environment).default;
        let seen = verify::verify(&factory, &limits).await.map_err(KeptError::NotVerified)?;
        tracing::info!(name, seen, "isolation of sandboxes that stay verified");
        let warm = self.claim(environment.warm_sandboxes);
        Ok(KeptPool::start(factory, limits, warm))
    }

    /// How many of `wanted` sandboxes may wait.
    fn claim(&self, wanted: usize) -> usize {
        let mut left = self.warm_left.lock().unwrap_or_else(PoisonError::into_inner);
        let claimed = wanted.min(*left);
        *left -= claimed;
        claimed
    }
}

impl Opener for Kept {
    fn waiting(&self) -> Vec<(String, usize)> {
        let ready = |pool: &OnceCell<Arc<KeptPool>>| pool.get().map_or(0, |pool| pool.count());
        self.environments.iter().map(|(name, (_, pool))| (name.clone(), ready(pool))).collect()
    }

    fn support(&self) -> SandboxSupport {
        let environments = self.environments.iter();
        let mut environments: Vec<_> =
            environments.map(|(name, (environment, _))| self.describe(name, environment)).collect();
        environments.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        SandboxSupport {
            sandbox: self.sandbox.clone(),
            max_sandboxes: self.bounds.max_sandboxes,
            max_lifetime_seconds: self.bounds.max_lifetime_seconds,
            environments,
            overhead: spec::overhead(),
        }
    }

    fn open<'a>(&'a self, order: &'a SandboxOrder) -> BoxFuture<'a, Result<Opened, OpenError>> {
        Box::pin(async {
            let pool = self.pool(&order.environment).await?;
            let (sandbox, was_waiting) = pool.take(&order.limits).await.map_err(|error| {
                tracing::error!(id = %order.id, error = error_chain(&error), "no sandbox");
                OpenError::Failed { reason: error.to_string() }
            })?;
            let name = &sandbox.process.paths.id;
            tracing::debug!(id = %order.id, sandbox = name, was_waiting, "sandbox opened");
            Ok(sandbox.into_opened())
        })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            for pool in self.environments.values().filter_map(|(_, pool)| pool.get()) {
                pool.close().await;
            }
        })
    }
}
