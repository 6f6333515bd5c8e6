//! How many sandboxes one key may have at one moment, and how much memory of the machine: that of their limits, and what
//! each of them may use above its own.
//!
//! A place is taken before a sandbox is opened and returned when nothing of it is left, so that requests that come
//! at once do not pass the quota together.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use shared::Refusal;

/// Seconds after which a place is likely to be free.
const RETRY_AFTER_SECONDS: u64 = 10;

/// The quota of each key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct QuotaLimits {
    pub(super) of_key: u64,
    /// Of a client without a key, where none is needed.
    pub(super) without_key: u64,
    pub(super) memory_bytes: u64,
}

/// What the keys have.
pub(super) struct Quotas {
    limits: QuotaLimits,
    used: Mutex<HashMap<Arc<str>, Used>>,
    refused: AtomicU64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Used {
    sandboxes: u64,
    memory_bytes: u64,
}

/// A place for one sandbox. It is returned when this is dropped.
pub(super) struct Place {
    quotas: Arc<Quotas>,
    owner: Arc<str>,
    memory_bytes: u64,
}

impl Quotas {
    pub(super) fn new(limits: QuotaLimits) -> Arc<Self> {
        Arc::new(Self { limits, used: Mutex::default(), refused: AtomicU64::new(0) })
    }

    fn used(&self) -> MutexGuard<'_, HashMap<Arc<str>, Used>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests that were refused so far.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Takes a place for a sandbox of `owner`.
    ///
    /// # Errors
    ///
    /// 429, when there is none.
    pub(super) fn take(self: &Arc<Self>, owner: &str, memory_bytes: u64) -> Result<Place, Refusal> {
        let QuotaLimits { of_key, without_key, memory_bytes: max_bytes } = self.limits;
        let sandboxes = if owner.is_empty() { without_key } else { of_key };
        let owner = Arc::<str>::from(owner);
        let mut all = self.used();
        let used = all.get(&owner).copied().unwrap_or_default();
        let detail = if used.sandboxes >= sandboxes {
            Some(format!("a key may have at most {sandboxes} sandboxes at one moment"))
        } else if used.memory_bytes.saturating_add(memory_bytes) > max_bytes {
            Some(format!(
                "the sandboxes of a key may use at most {max_bytes} bytes of memory, and this one would use up to \
                 {memory_bytes}"
            ))
        } else {
            None
        };
        if let Some(detail) = detail {
            self.refused.fetch_add(1, Ordering::Relaxed);
            let refusal = Refusal::new(StatusCode::TOO_MANY_REQUESTS, detail);
            return Err(refusal.retry_after(RETRY_AFTER_SECONDS));
        }
        let used = all.entry(Arc::clone(&owner)).or_default();
        used.sandboxes += 1;
        used.memory_bytes = used.memory_bytes.saturating_add(memory_bytes);
        Ok(Place { quotas: Arc::clone(self), owner, memory_bytes })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.quotas.used();
        let Some(used) = all.get_mut(&self.owner) else { return };
        used.sandboxes = used.sandboxes.saturating_sub(1);
        used.memory_bytes = used.memory_bytes.saturating_sub(self.memory_bytes);
        if used.sandboxes == 0 {
            all.remove(&self.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_so_many_sandboxes_and_so_much_memory() {
        let quotas = Quotas::new(QuotaLimits { of_key: 2, without_key: 3, memory_bytes: 100 });
        let first = quotas.take("a", 60).unwrap();
        let refused = quotas.take("a", 41).err().unwrap();
        assert_eq!(
            (refused.status, refused.retry_after),
            (StatusCode::TOO_MANY_REQUESTS, Some(10))
        );
        let second = quotas.take("a", 40).unwrap();
        assert!(quotas.take("a", 0).err().unwrap().detail.contains("at most 2 sandboxes"));
        drop(quotas.take("b", 100).unwrap());
        let open =
            [quotas.take("", 0).unwrap(), quotas.take("", 0).unwrap(), quotas.take("", 0).unwrap()];
        drop(open);
        drop((first, second));
        assert!(quotas.used().is_empty());
        assert_eq!(quotas.refused(), 2);
    }
}
