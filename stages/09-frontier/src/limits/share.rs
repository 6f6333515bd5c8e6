//! Permits of a server of which one key has a part at most.
//!
//! Attack: a key holds all of them with requests that are read as slowly as is allowed → no other key gets one. Test:
//! `one_key_does_not_hold_all`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits that keys share.
pub(crate) struct Shares {
    all: Arc<Semaphore>,
    /// What one key has at most.
    each: usize,
    /// Of the keys that hold or want some.
    keys: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// One of them.
pub(crate) struct Permit {
    _all: OwnedSemaphorePermit,
    _own: Option<OwnedSemaphorePermit>,
}

impl Shares {
    /// `all` of them, at most `each` for one key.
    pub(crate) fn new(all: usize, each: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), each, keys: Mutex::default() }
    }

    /// Waits for one. A client without a key, where none is needed, may have all.
    pub(crate) async fn take(&self, key: Option<&str>) -> Option<Permit> {
        let own = match key {
            Some(key) => Some(self.own(key).acquire_owned().await.ok()?),
            None => None,
        };
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Permit { _all: all, _own: own })
    }

    /// The permits of one key.
    fn own(&self, key: &str) -> Arc<Semaphore> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        // A permit holds its semaphore, and so does a request that waits.
        keys.retain(|_, own| Arc::strong_count(own) > 1);
        let own = keys.entry(key.to_owned());
        Arc::clone(own.or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_key_does_not_hold_all() {
        let shares = Shares::new(3, 2);
        let now = async |key: Option<&str>| {
            tokio::time::timeout(std::time::Duration::ZERO, shares.take(key)).await.ok().flatten()
        };
        let held = [now(Some("a")).await.unwrap(), now(Some("a")).await.unwrap()];
        assert!(now(Some("a")).await.is_none());
        let other = now(Some("b")).await.unwrap();
        assert!(now(None).await.is_none(), "there are no more than three");
        drop((held, other));
        assert!(now(Some("a")).await.is_some());
        assert_eq!(shares.keys.lock().unwrap().len(), 1);
    }
}
