//! What the operator allows of kept sandboxes.

use super::{OpenError, SandboxEnvironment, SandboxLimits, SandboxOrder};

/// The bounds of all kept sandboxes of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SandboxBounds {
    /// How many at one moment.
    pub max_sandboxes: usize,
    /// How long one exists, in seconds. The process that drives them enforces it, whatever the one that speaks HTTP
    /// does.
    pub max_lifetime_seconds: u64,
    /// Limits of a sandbox whose client names none.
    pub default: SandboxLimits,
    /// The highest limits.
    pub max: SandboxLimits,
}

impl Default for SandboxBounds {
    fn default() -> Self {
        Self {
            max_sandboxes: 64,
            max_lifetime_seconds: 24 * 60 * 60,
            default: SandboxLimits {
                memory_bytes: 512 << 20,
                cpus: 1,
                pids: 256,
                disk_bytes: 256 << 20,
            },
            max: SandboxLimits { memory_bytes: 4 << 30, cpus: 4, pids: 1024, disk_bytes: 2 << 30 },
        }
    }
}

impl SandboxLimits {
    /// The smaller of both numbers of each limit.
    #[must_use]
    pub fn within(self, max: Self) -> Self {
        Self {
            memory_bytes: self.memory_bytes.min(max.memory_bytes),
            cpus: self.cpus.min(max.cpus),
            pids: self.pids.min(max.pids),
            disk_bytes: self.disk_bytes.min(max.disk_bytes),
        }
    }

    /// Compares them with the highest.
    ///
    /// # Errors
    ///
    /// [`OpenError::Limit`] with the first that is 0, or too high.
    pub fn check(&self, max: &Self) -> Result<(), OpenError> {
        let limits = [
            ("memory_bytes", self.memory_bytes, max.memory_bytes),
            ("cpus", self.cpus.into(), max.cpus.into()),
            ("pids", self.pids, max.pids),
            ("disk_bytes", self.disk_bytes, max.disk_bytes),
        ];
        match limits.into_iter().find(|(_, given, max)| !(1..=*max).contains(given)) {
            Some((name, _, max)) => Err(OpenError::Limit { name: name.to_owned(), max }),
            None => Ok(()),
        }
    }
}

impl SandboxOrder {
    /// Compares an order with what there is.
    ///
    /// # Errors
    ///
    /// When the environment is none of `environments`, or a limit is above its highest.
    pub fn check<'a>(
        &self,
        environments: &'a [SandboxEnvironment],
    ) -> Result<&'a SandboxEnvironment, OpenError> {
        let name = self.environment.clone();
        let found = environments.iter().find(|environment| environment.name == name);
        let environment = found.ok_or(OpenError::UnknownEnvironment { name })?;
        self.limits.check(&environment.max)?;
        Ok(environment)
    }
}
