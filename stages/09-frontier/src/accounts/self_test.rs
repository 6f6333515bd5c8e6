//! The keys verify themselves: the live ones can be read, and everything else is checked on keys of a
//! scratch database.

use std::sync::Arc;

use jiff::Timestamp;
use shared::component::{CheckResult, SelfTestResult};
use shared::{BoxFuture, TestCase, TestableComponent};

use super::command::{create, new_record};
use super::key::ApiKey;
use super::keys::Keys;
use super::record::Scope;
use super::table;
use crate::store::{DataDir, Store, StoreError};

/// Keys, as a component.
pub(super) struct KeysTest(pub(super) Arc<Keys>);

impl TestableComponent for KeysTest {
    fn name(&self) -> &'static str {
        "accounts"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            let counted = self.0.count().await.map_err(|error| error.to_string());
            let (all, active) = counted?;
            Ok(format!("{all} keys, of which {active} are valid"))
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        vec![
            TestCase::new("a key opens what its scopes allow, and nothing else", scopes()),
            TestCase::new("a wrong, a revoked and an expired key open nothing", refused()),
        ]
    }
}

/// A key with this scope in a scratch database, and the keys of that.
async fn scratch(scope: Scope) -> Result<(Arc<Store>, Arc<Keys>, ApiKey, String), String> {
    let text = |error: StoreError| error.to_string();
    let store = Store::open(DataDir::scratch().map_err(text)?).map_err(text)?;
    let key = ApiKey::generate().map_err(|error| error.to_string())?;
    let record = new_record("scratch".to_owned(), [scope].into_iter().collect(), None);
    let (id, stored) = (record.id.clone(), key.clone());
    store.write(move |database| create(database, &record, &stored)).await.map_err(text)?;
    Ok((Arc::clone(&store), Keys::new(store), key, id))
}

async fn scopes() -> CheckResult {
    for scope in [Scope::Submit, Scope::Read, Scope::Admin] {
        let (_store, keys, key, _) = scratch(scope).await?;
        let found = keys.authenticate(key.reveal()).await.map_err(|error| error.to_string())?;
        let found = found.ok_or_else(|| format!("a new key with {scope} is not found"))?;
        for other in [Scope::Submit, Scope::Read, Scope::Admin] {
            let is_allowed = scope == other || scope == Scope::Admin;
            if found.scopes.allow(other) != is_allowed {
                return Err(format!("a key with {scope} is wrong about {other}"));
            }
        }
    }
    Ok("three keys, each with its scope".to_owned())
}

async fn refused() -> CheckResult {
    let text = |error: StoreError| error.to_string();
    let (store, keys, key, id) = scratch(Scope::Read).await?;
    let wrong = ApiKey::generate().map_err(|error| error.to_string())?;
    for other in [wrong.reveal(), "", "crk_", &key.reveal()[1..]] {
        if keys.authenticate(other).await.map_err(text)?.is_some() {
            return Err("a text that is no key opens something".to_owned());
        }
    }
    let revoked = id.clone();
    let revoke = move |database: &_| table::revoke(database, &revoked, Timestamp::now());
    store.write(revoke).await.map_err(text)?;
    if keys.authenticate(key.reveal()).await.map_err(text)?.is_some() {
        return Err("a revoked key opens something".to_owned());
    }
    let expire = |database: &crate::store::Connection| {
        database.execute("UPDATE keys SET revoked_at = NULL, expires_at = 1", [])?;
        Ok(())
    };
    store.write(expire).await.map_err(text)?;
    match Keys::new(store).authenticate(key.reveal()).await.map_err(text)? {
        Some(_) => Err("an expired key opens something".to_owned()),
        None => Ok("four wrong texts, a revoked key and an expired one were refused".to_owned()),
    }
}
