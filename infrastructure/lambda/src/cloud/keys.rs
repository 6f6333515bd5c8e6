//! API keys in the table: their digests, with a name, scopes and an end. The key itself is shown once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use stage_09_frontier::{ApiKey, KeyDigest, Scope, Scopes};
use uuid::Uuid;

use super::CloudError;
use super::row::seconds_in;
use super::table::{Item, Key, Search, Table, number, number_of, text, text_of};

/// The `pk` of all keys.
const KEYS: &str = "keys";
/// Keys that are looked through for an id.
const MAX_KEYS: usize = 10_000;
/// Administrators that this process remembers.
const MAX_ADMINS: usize = 1_000;

/// A valid key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRecord {
    /// Its id, which is the owner of what it submits.
    pub(crate) id: String,
    /// What it may do.
    pub(crate) scopes: Scopes,
}

/// The keys of a table.
pub(crate) struct Keys {
    table: Arc<Table>,
    /// Those of the last requests: whether each is an administrator's. A hint for lists, and never for access.
    admins: Mutex<HashMap<String, bool>>,
}

fn key_of(digest: &KeyDigest) -> Key {
    Key::new(KEYS, data_encoding::HEXLOWER.encode(digest.as_bytes()))
}

fn read(item: &Item) -> Option<KeyRecord> {
    let now = seconds_in(Duration::ZERO);
    let is_over = number_of::<i64>(item, "expires").is_some_and(|end| end <= now);
    if is_over || item.contains_key("revoked") {
        return None;
    }
    let scopes = Scopes::from_bits(number_of(item, "scopes")?);
    Some(KeyRecord { id: text_of(item, "id")?.to_owned(), scopes })
}

impl Keys {
    pub(super) fn new(table: Arc<Table>) -> Arc<Self> {
        Arc::new(Self { table, admins: Mutex::default() })
    }

    /// The key with this text, if it is valid now. A revoked key is refused from the next request on.
    pub(crate) async fn authenticate(&self, key: &str) -> Result<Option<KeyRecord>, CloudError> {
        let found = self.table.get(&key_of(&KeyDigest::of(key))).await?;
        let Some(key) = found.as_ref().and_then(read) else { return Ok(None) };
        let mut admins = self.admins.lock().unwrap_or_else(PoisonError::into_inner);
        if admins.len() >= MAX_ADMINS {
            admins.clear();
        }
        admins.insert(key.id.clone(), key.scopes.is_admin());
        drop(admins);
        Ok(Some(key))
    }

    /// Whether a list for this key, which was authenticated for the same request, has everything.
    pub(super) fn is_admin(&self, id: &str) -> bool {
        let admins = self.admins.lock().unwrap_or_else(PoisonError::into_inner);
        admins.get(id).copied().unwrap_or_default()
    }

    /// Makes a key. Its id and its text.
    pub(crate) async fn create(
        &self,
        name: &str,
        scopes: &[Scope],
        days: Option<u32>,
    ) -> Result<(String, ApiKey), CloudError> {
        let key = ApiKey::generate().map_err(|_| CloudError::Random)?;
        let id = Uuid::now_v7().to_string();
        let scopes: Scopes = scopes.iter().copied().collect();
        let mut item = key_of(&key.digest()).item();
        item.insert("id".to_owned(), text(&*id));
        item.insert("name".to_owned(), text(name));
        item.insert("scopes".to_owned(), number(scopes.bits()));
        item.insert("created".to_owned(), number(Timestamp::now().as_millisecond()));
        if let Some(days) = days {
            let lifetime = Duration::from_hours(24) * days;
            item.insert("expires".to_owned(), number(seconds_in(lifetime)));
        }
        self.table.put(item).await?;
        Ok((id, key))
    }

    /// Refuses a key from now on. False when there is none of this id.
    pub(crate) async fn revoke(&self, id: &str) -> Result<bool, CloudError> {
        let search = Search {
            condition: "#pk = :pk",
            values: vec![("pk", text(KEYS))],
            ..Search::default()
        };
        let keys = self.table.all(search, MAX_KEYS).await?;
        let found = keys.into_iter().find(|item| text_of(item, "id") == Some(id));
        let Some(mut item) = found else { return Ok(false) };
        item.insert("revoked".to_owned(), number(Timestamp::now().as_millisecond()));
        self.table.put(item).await?;
        Ok(true)
    }
}
