//! What an engine is doing, for tests and for people.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{PoolStatus, RunscEngine, RunscPlatform};

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
