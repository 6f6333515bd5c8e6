//! The environments of an engine, beside its default: a root file system and a pool for each, created when
//! the first program needs them.
//!
//! Guarantee: the files of an environment are those that were built, which is verified then: a changed one is
//! an error of the platform, and no program runs in it. The sandboxes that wait are bounded altogether.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared::Limits;
use stage_04_docker::error_chain;
use tokio::sync::OnceCell;
use tokio_util::task::TaskTracker;

use super::options::{RootfsError, RunscError};
use super::pool::Pool;
use super::profile::SandboxProfile;
use super::sandbox::SandboxFactory;
use super::{blocking, rootfs};
use crate::Environment;

/// The environments of one engine.
pub(super) struct Environments {
    all: HashMap<String, (Environment, OnceCell<Arc<Pool>>)>,
    /// The factory of the default's sandboxes: all but the profile is the same.
    factory: SandboxFactory,
    limits: Limits,
    idle_timeout: Duration,
    /// How many more sandboxes may wait.
    warm_left: Mutex<usize>,
    /// Each pool is started in a task of its own: a program that is cancelled meanwhile leaves no half of one.
    starting: TaskTracker,
}

/// Why a program has no sandbox: what its submitter reads.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnvironmentError {
    #[error("this server has no such environment")]
    Unknown,
    #[error("the files of the environment cannot be used")]
    Files(#[source] RunscError),
    #[error("the environment was not started")]
    NotStarted(#[source] tokio::task::JoinError),
}

impl Environments {
    pub(super) fn new(
        environments: &[Environment],
        factory: SandboxFactory,
        limits: Limits,
        idle_timeout: Duration,
        max_warm: usize,
    ) -> Self {
        let named = |environment: &Environment| environment.profile.name.clone().into_owned();
        let all = environments.iter().map(|one| (named(one), (one.clone(), OnceCell::new())));
        let warm_left = Mutex::new(max_warm);
        let (all, starting) = (all.collect(), TaskTracker::new());
        Self { all, factory, limits, idle_timeout, warm_left, starting }
    }

    /// The digest of an environment's files.
    pub(super) fn digest(&self, name: &str) -> Option<String> {
        self.all.get(name).map(|(environment, _)| environment.digest.clone())
    }

    /// The pool of an environment, which is started if it is the first use. One that cannot be started is
    /// tried again at the next use.
    ///
    /// Cancel safe: the start goes on, and the next use has its result.
    pub(super) async fn pool(self: &Arc<Self>, name: &str) -> Result<Arc<Pool>, EnvironmentError> {
        let (_, pool) = self.all.get(name).ok_or(EnvironmentError::Unknown)?;
        if let Some(pool) = pool.get() {
            return Ok(Arc::clone(pool));
        }
        let (environments, name) = (Arc::clone(self), name.to_owned());
        let starting = self.starting.spawn(async move { environments.start_once(&name).await });
        starting.await.map_err(EnvironmentError::NotStarted)?
    }

    async fn start_once(&self, name: &str) -> Result<Arc<Pool>, EnvironmentError> {
        let (environment, pool) = self.all.get(name).ok_or(EnvironmentError::Unknown)?;
        let started = pool.get_or_try_init(|| self.start(environment)).await;
        started.map(Arc::clone).map_err(|error| {
            tracing::error!(name, error = error_chain(&error), "an environment cannot be used");
            EnvironmentError::Files(error)
        })
    }

    async fn start(&self, environment: &Environment) -> Result<Arc<Pool>, RunscError> {
        let keeps_output_files = self.factory.profile.keeps_output_files;
        let mut profile = SandboxProfile::of(environment, keeps_output_files);
        let (dir, digest) = (Arc::clone(&self.factory.dir), environment.digest.clone());
        let checked = profile.clone();
        blocking(move || {
            if rootfs::check(&checked)? != digest {
                let reason = RootfsError::Changed { path: "the list of its files".to_owned() };
                return Err(RunscError::NoRootfs { path: checked.image, reason });
            }
            dir.add_rootfs(&checked)
        })
        .await?;
        profile.warm_sandboxes = self.claim(environment.warm_sandboxes);
        let factory = SandboxFactory { profile: Arc::new(profile), ..self.factory.clone() };
        let memory_bytes = environment.memory_bytes.min(environment.max_memory_bytes);
        let limits = environment.within(Limits { memory_bytes, ..self.limits });
        Ok(Pool::start(factory, limits, 1, self.idle_timeout))
    }

    /// How many sandboxes wait in each; none in one that was not used yet.
    pub(super) fn ready(&self) -> impl Iterator<Item = (String, usize)> {
        let ready = |pool: &OnceCell<Arc<Pool>>| pool.get().map_or(0, |pool| pool.status().ready);
        self.all.iter().map(move |(name, (_, pool))| (name.clone(), ready(pool)))
    }

    /// How many of `wanted` sandboxes may wait.
    fn claim(&self, wanted: usize) -> usize {
        let mut left = self.warm_left.lock().unwrap_or_else(PoisonError::into_inner);
        let claimed = wanted.min(*left);
        *left -= claimed;
        claimed
    }

    /// Closes the pools that were started, and those that are being started.
    pub(super) async fn close(&self) {
        self.starting.close();
        self.starting.wait().await;
        for pool in self.all.values().filter_map(|(_, pool)| pool.get()) {
            pool.close().await;
        }
    }
}
