//! What an engine is doing, for tests and for people.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::environments::Environments;
use super::pool::Pool;
use super::{PoolStatus, RunscEngine, RunscOptions, RunscPlatform};
use crate::sandboxes::Registry;

/// The pause between two looks at the pool in [`RunscEngine::is_warm`].
const WARM_CHECK_INTERVAL: Duration = Duration::from_millis(20);

impl RunscEngine {
    /// What the pool of waiting sandboxes is doing.
    pub fn pool(&self) -> PoolStatus {
        self.pool.status()
    }

    /// The platform that was verified.
    pub fn platform(&self) -> RunscPlatform {
        self.pool.factory.platform
    }

    /// Sandboxes of this engine on the machine: waiting, in use, or being removed. Blocks, for
    /// tests.
    pub fn remaining(&self) -> usize {
        self.dir.remaining()
    }

    /// The directory with everything that this engine has on the machine, beside the image's files.
    pub fn directory(&self) -> &Path {
        &self.dir.path
    }

    /// Waits until as many sandboxes wait for programs as should, at most for `timeout`. True when
    /// they do.
    pub async fn is_warm(&self, timeout: Duration) -> bool {
        let started = Instant::now();
        loop {
            let status = self.pool();
            if status.ready >= status.target {
                return true;
            }
            if started.elapsed() >= timeout {
                return false;
            }
            tokio::time::sleep(WARM_CHECK_INTERVAL).await;
        }
    }
}

/// Lets the metrics count the sandboxes that wait. They keep no pool alive.
pub(super) fn count_warm(
    options: &RunscOptions,
    pool: &Arc<Pool>,
    environments: &Arc<Environments>,
    kept: Option<&Arc<Registry>>,
) {
    let (pool, environments) = (Arc::downgrade(pool), Arc::downgrade(environments));
    let kept = kept.map(Arc::downgrade);
    options.warm.follow(move || {
        let (Some(pool), Some(others)) = (pool.upgrade(), environments.upgrade()) else {
            return BTreeMap::new();
        };
        let name = pool.factory.profile.language.name.clone().into_owned();
        let kept = kept.as_ref().and_then(Weak::upgrade).map(|kept| kept.waiting());
        let mut counts = BTreeMap::new();
        // One environment may have both kinds.
        let all = others.ready().chain([(name, pool.status().ready)]);
        for (name, count) in all.chain(kept.unwrap_or_default()) {
            *counts.entry(name).or_default() += count;
        }
        counts
    });
}
