//! Finds the key of a request.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use super::key::KeyDigest;
use super::record::KeyRecord;
use super::table;
use crate::store::{Store, StoreError};

/// How long a key is remembered after it was read: a revoked key works no longer than that.
pub(super) const CACHE_LIFETIME: Duration = Duration::from_secs(1);
/// Keys that are remembered. With more in use at once, each is read from the database.
const MAX_CACHED: usize = 4096;
/// The use of a key is written no more often than this.
const TOUCH_INTERVAL: SignedDuration = SignedDuration::from_mins(1);

/// The keys in the database.
pub struct Keys {
    store: Arc<Store>,
    /// Ties the remembered keys to the uses that are being written: each use is written once.
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    found: HashMap<KeyDigest, (Arc<KeyRecord>, Instant)>,
    /// The ids of administrators among them.
    admins: HashMap<String, KeyDigest>,
    /// Keys whose use is being written.
    touching: HashSet<String>,
}

impl Keys {
    /// The keys of a database.
    pub fn new(store: Arc<Store>) -> Arc<Self> {
        Arc::new(Self { store, cache: Mutex::default() })
    }

    /// The key with this text, if it is valid now.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn authenticate(
        self: &Arc<Self>,
        text: &str,
    ) -> Result<Option<Arc<KeyRecord>>, StoreError> {
        let digest = KeyDigest::of(text);
        let key = match self.remembered(&digest) {
            Some(key) => key,
            None => match self.store.read(move |database| table::find(database, &digest)).await? {
                Some(key) => self.remember(digest, Arc::new(key)),
                None => return Ok(None),
            },
        };
        let now = Timestamp::now();
        if !key.is_active(now) {
            return Ok(None);
        }
        self.touch(&key, now);
        Ok(Some(key))
    }

    /// Whether the key with this id is valid now: for a stream that was opened with it.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn is_active(&self, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        let key = self.store.read(move |database| table::get(database, &id)).await?;
        Ok(key.is_some_and(|key| key.is_active(Timestamp::now())))
    }

    /// How many keys there are, and how many of them are valid.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn count(&self) -> Result<(u64, u64), StoreError> {
        self.store.read(|database| table::count(database, Timestamp::now())).await
    }

    /// Whether the key with this id has the scope `admin`. Only for a key that made the request: one
    /// that is not remembered has not.
    pub fn is_admin(&self, id: &str) -> bool {
        self.cache().admins.contains_key(id)
    }

    fn remembered(&self, digest: &KeyDigest) -> Option<Arc<KeyRecord>> {
        let cache = self.cache();
        let (key, read) = cache.found.get(digest)?;
        (read.elapsed() < CACHE_LIFETIME).then(|| Arc::clone(key))
    }

    fn remember(&self, digest: KeyDigest, key: Arc<KeyRecord>) -> Arc<KeyRecord> {
        let mut cache = self.cache();
        if cache.found.len() >= MAX_CACHED {
            let Cache { found, admins, .. } = &mut *cache;
            found.retain(|_, (_, read)| read.elapsed() < CACHE_LIFETIME);
            admins.retain(|_, digest| found.contains_key(digest));
        }
        if cache.found.len() < MAX_CACHED || cache.found.contains_key(&digest) {
            if key.scopes.is_admin() {
                cache.admins.insert(key.id.clone(), digest);
            }
            cache.found.insert(digest, (Arc::clone(&key), Instant::now()));
        }
        key
    }

    /// Writes that a key is used, behind the request and once a minute.
    fn touch(self: &Arc<Self>, key: &KeyRecord, now: Timestamp) {
        let recent = |last: Timestamp| now.duration_since(last) < TOUCH_INTERVAL;
        if key.last_used_at.is_some_and(recent) || !self.cache().touching.insert(key.id.clone()) {
            return;
        }
        let (keys, id, written) = (Arc::clone(self), key.id.clone(), key.id.clone());
        self.store.write_behind(
            move |database| table::touch(database, &written, now),
            move |result| {
                if let Err(error) = result {
                    tracing::warn!(key = id, %error, "the use of a key was not recorded");
                }
                keys.cache().touching.remove(&id);
            },
        );
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // No code panics while it holds the lock.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::command::new_record;
    use crate::accounts::record::Scope;
    use crate::store::DataDir;

    #[tokio::test]
    async fn the_cache_has_a_size() {
        let keys = Keys::new(Store::open(DataDir::scratch().unwrap()).unwrap());
        for number in 0..MAX_CACHED + 1000 {
            let record = new_record("n".to_owned(), [Scope::Admin].into_iter().collect(), None);
            keys.remember(KeyDigest::of(&number.to_string()), Arc::new(record));
        }
        let sizes = || {
            let cache = keys.cache();
            (cache.found.len(), cache.admins.len())
        };
        assert!(sizes().0 <= MAX_CACHED && sizes().1 <= MAX_CACHED);
        // A text that is no key is looked up, and not remembered.
        let before = sizes();
        assert!(keys.authenticate("crk_nothing").await.unwrap().is_none());
        assert_eq!(sizes(), before);
        assert!(!keys.is_admin("nobody"));
    }
}
