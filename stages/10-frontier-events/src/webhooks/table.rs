//! Webhooks as rows.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use stage_09_frontier::StoreError;

use super::secret::Secret;
use super::vault::Vault;
use crate::bus::Topic;

/// Begins the id of a webhook of the rule file.
pub(crate) const FIXED_PREFIX: &str = "rule-";

/// A webhook.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// The id of the key that has made it.
    pub owner: Option<String>,
    /// Whether it gets the events of all evaluations, and not of its owner's.
    pub sees_all: bool,
    /// Where it leads.
    pub url: String,
    /// Which events it gets.
    pub topics: Vec<Topic>,
    /// What signs. None if the key of the server does not open it any more.
    pub secret: Option<Secret>,
    /// The secret before that, which signs as well until then.
    pub old_secret: Option<(Secret, Timestamp)>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Nanoseconds since 1970.
pub(super) fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

pub(super) fn time(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default()
}

/// A row that this version cannot read.
fn unreadable(what: &str) -> StoreError {
    StoreError::Corrupt { found: format!("a webhook whose {what} cannot be read") }
}

/// All webhooks, the oldest first.
pub(super) fn list(db: &Connection, vault: &Vault) -> Result<Vec<Webhook>, StoreError> {
    let mut query = db.prepare_cached(
        "SELECT id, owner, sees_all, url, topics, secret, old_secret, old_until, created_at
         FROM webhooks ORDER BY created_at, id",
    )?;
    query.query_and_then([], |row| webhook(row, vault))?.collect()
}

fn webhook(row: &Row<'_>, vault: &Vault) -> Result<Webhook, StoreError> {
    let id: String = row.get(0)?;
    let topics: Vec<String> = serde_json::from_str(&row.get::<_, String>(4)?)?;
    let topics = topics.iter().map(|topic| topic.parse()).collect::<Result<_, _>>();
    let secret = |text: String| vault.open_secret(&id, &text);
    let old = row.get::<_, Option<String>>(6)?.and_then(secret);
    let old_until = row.get::<_, Option<i64>>(7)?.map(time);
    Ok(Webhook {
        owner: row.get(1)?,
        sees_all: row.get(2)?,
        url: row.get(3)?,
        topics: topics.map_err(|_| unreadable("topics"))?,
        secret: secret(row.get(5)?),
        old_secret: old.zip(old_until),
        created_at: time(row.get(8)?),
        id,
    })
}

/// Inserts a webhook with its secret, which is sealed.
pub(super) fn insert(db: &Connection, webhook: &Webhook, sealed: &str) -> Result<(), StoreError> {
    let topics: Vec<_> = webhook.topics.iter().map(ToString::to_string).collect();
    db.execute(
        "INSERT INTO webhooks (id, owner, sees_all, url, topics, secret, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT (id) DO UPDATE SET url = excluded.url, topics = excluded.topics,
             secret = excluded.secret",
        params![
            webhook.id,
            webhook.owner,
            webhook.sees_all,
            webhook.url,
            serde_json::to_string(&topics)?,
            sealed,
            nanoseconds(webhook.created_at),
        ],
    )?;
    Ok(())
}

/// Replaces the webhooks of the rule file. What those that stay have not sent stays as well.
pub(super) fn replace_fixed(
    db: &Connection,
    fixed: &[(Webhook, String)],
) -> Result<(), StoreError> {
    let mut query = db.prepare("SELECT id FROM webhooks WHERE substr(id, 1, length(?1)) = ?1")?;
    let before = query.query_map([FIXED_PREFIX], |row| row.get(0))?;
    for gone in before.collect::<Result<Vec<String>, _>>()? {
        if fixed.iter().all(|(kept, _)| kept.id != gone) {
            delete(db, &gone)?;
        }
    }
    fixed.iter().try_for_each(|(webhook, sealed)| insert(db, webhook, sealed))
}

/// The secrets that an earlier version has stored in clear: the id of each webhook, the secret and the one before it.
pub(super) fn in_clear(
    db: &Connection,
) -> Result<Vec<(String, Secret, Option<Secret>)>, StoreError> {
    let mut query = db.prepare(
        "SELECT id, secret, old_secret FROM webhooks WHERE substr(secret, 1, 6) = 'whsec_'",
    )?;
    let secret = |text: String| text.parse::<Secret>().map_err(|_| unreadable("secret"));
    let rows = query.query_and_then([], |row| {
        let old = row.get::<_, Option<String>>(2)?.map(secret).transpose()?;
        Ok((row.get(0)?, secret(row.get(1)?)?, old))
    })?;
    rows.collect()
}

/// Replaces secrets in clear by sealed ones: the id of each webhook, its secret and the one before it.
pub(super) fn seal(
    db: &Connection,
    sealed: &[(String, String, Option<String>)],
) -> Result<(), StoreError> {
    // What was there is overwritten, and not only marked as free.
    db.pragma_update(None, "secure_delete", true)?;
    for (id, secret, old) in sealed {
        let sql = "UPDATE webhooks SET secret = ?2, old_secret = ?3 WHERE id = ?1";
        db.execute(sql, params![id, secret, old])?;
    }
    Ok(db.pragma_update(None, "secure_delete", false)?)
}

/// Sets another secret. The one so far signs as well until `until`.
pub(super) fn rotate(
    db: &Connection,
    id: &str,
    sealed: &str,
    until: Timestamp,
) -> Result<(), StoreError> {
    db.execute(
        "UPDATE webhooks SET old_secret = secret, old_until = ?2, secret = ?3 WHERE id = ?1",
        params![id, nanoseconds(until), sealed],
    )?;
    Ok(())
}

/// The number of webhooks of a key, or of those without one.
pub(super) fn count_of(db: &Connection, owner: Option<&str>) -> Result<usize, StoreError> {
    let sql = "SELECT count(*) FROM webhooks
               WHERE owner IS ?1 AND substr(id, 1, length(?2)) <> ?2";
    let count: i64 = db.query_row(sql, params![owner, FIXED_PREFIX], |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// Deletes a webhook, and what it has not got.
pub(super) fn delete(db: &Connection, id: &str) -> Result<(), StoreError> {
    db.execute("DELETE FROM webhook_deliveries WHERE webhook = ?1", [id])?;
    db.execute("DELETE FROM webhook_backlogs WHERE webhook = ?1", [id])?;
    db.execute("DELETE FROM webhooks WHERE id = ?1", [id])?;
    Ok(())
}
