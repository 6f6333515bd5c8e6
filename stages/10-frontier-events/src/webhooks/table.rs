//! Webhooks and their deliveries as rows.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use stage_09_frontier::StoreError;

use super::secret::Secret;
use super::vault::Vault;
use crate::bus::Topic;

/// Deliveries of one webhook that may wait or be parked. What comes then is counted and dropped.
pub(super) const MAX_PENDING: i64 = 10_000;
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

/// What became of the events of a webhook.
pub(super) struct Counts {
    pub(super) delivered: u64,
    pub(super) dropped: u64,
    pub(super) pending: u64,
    pub(super) parked: u64,
}

/// An event that is to be sent.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) number: i64,
    pub(super) id: String,
    pub(super) webhook: String,
    pub(super) kind: String,
    pub(super) body: String,
    pub(super) created_at: Timestamp,
    pub(super) due_at: Timestamp,
    pub(super) attempts: u32,
    pub(super) is_parked: bool,
    pub(super) error: Option<String>,
}

/// Nanoseconds since 1970.
pub(super) fn nanoseconds(time: Timestamp) -> i64 {
    i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)
}

fn time(nanoseconds: i64) -> Timestamp {
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

/// Deletes a webhook, and what it has not got.
pub(super) fn delete(db: &Connection, id: &str) -> Result<(), StoreError> {
    db.execute("DELETE FROM webhook_deliveries WHERE webhook = ?1", [id])?;
    db.execute("DELETE FROM webhooks WHERE id = ?1", [id])?;
    Ok(())
}

pub(super) fn counts(db: &Connection, id: &str) -> Result<Counts, StoreError> {
    let sql = "SELECT delivered, dropped, pending,
                   (SELECT count(*) FROM webhook_deliveries WHERE webhook = ?1 AND parked = 1)
               FROM webhooks WHERE id = ?1";
    let count = |row: &Row<'_>, column| {
        row.get::<_, i64>(column).map(|count| u64::try_from(count).unwrap_or(0))
    };
    Ok(db.prepare_cached(sql)?.query_row([id], |row| {
        Ok(Counts {
            delivered: count(row, 0)?,
            dropped: count(row, 1)?,
            pending: count(row, 2)?,
            parked: count(row, 3)?,
        })
    })?)
}

/// Events of all webhooks that wait, and those that are parked.
pub(super) fn totals(db: &Connection) -> Result<(u64, u64), StoreError> {
    let sql = "SELECT count(*) FROM webhook_deliveries WHERE parked = ?1";
    let mut query = db.prepare_cached(sql)?;
    let mut count = |is_parked: bool| query.query_row([is_parked], |row| row.get::<_, i64>(0));
    Ok((count(false)?.unsigned_abs(), count(true)?.unsigned_abs()))
}

/// Adds a delivery of an event, unless the webhook has too many, or is gone.
pub(super) fn enqueue(db: &Connection, delivery: &Delivery) -> Result<(), StoreError> {
    let sql = "UPDATE webhooks SET pending = pending + 1 WHERE id = ?1 AND pending < ?2";
    if db.prepare_cached(sql)?.execute(params![delivery.webhook, MAX_PENDING])? == 0 {
        let sql = "UPDATE webhooks SET dropped = dropped + 1 WHERE id = ?1";
        db.prepare_cached(sql)?.execute([&delivery.webhook])?;
        return Ok(());
    }
    let created_at = nanoseconds(delivery.created_at);
    db.prepare_cached(
        "INSERT INTO webhook_deliveries (id, webhook, kind, body, created_at, due_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
    )?
    .execute(params![
        delivery.id,
        delivery.webhook,
        delivery.kind,
        delivery.body,
        created_at
    ])?;
    Ok(())
}

const COLUMNS: &str =
    "number, id, webhook, kind, body, created_at, due_at, attempts, parked, error";

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        number: row.get(0)?,
        id: row.get(1)?,
        webhook: row.get(2)?,
        kind: row.get(3)?,
        body: row.get(4)?,
        created_at: time(row.get(5)?),
        due_at: time(row.get(6)?),
        attempts: row.get(7)?,
        is_parked: row.get(8)?,
        error: row.get(9)?,
    })
}

/// What is due, at most `each` of one webhook: one that is slow takes no place of another.
pub(super) fn due(
    db: &Connection,
    now: Timestamp,
    each: usize,
) -> Result<Vec<Delivery>, StoreError> {
    let each = i64::try_from(each).unwrap_or(i64::MAX);
    let sql = format!(
        "SELECT {COLUMNS} FROM (
             SELECT *, row_number() OVER (PARTITION BY webhook ORDER BY due_at, number) AS place
             FROM webhook_deliveries WHERE parked = 0 AND due_at <= ?1)
         WHERE place <= ?2 ORDER BY number"
    );
    let mut query = db.prepare_cached(&sql)?;
    let rows = query.query_map(params![nanoseconds(now), each], delivery)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// When the next one is due.
pub(super) fn next_due(db: &Connection, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT min(due_at) FROM webhook_deliveries WHERE parked = 0 AND due_at > ?1";
    let next = db.prepare_cached(sql)?.query_row([nanoseconds(now)], |row| row.get(0));
    Ok(next.map(|due: Option<i64>| due.map(time))?)
}

/// It was delivered.
pub(super) fn delivered(db: &Connection, number: i64, webhook: &str) -> Result<(), StoreError> {
    if db.execute("DELETE FROM webhook_deliveries WHERE number = ?1", [number])? == 1 {
        let sql = "UPDATE webhooks SET pending = pending - 1, delivered = delivered + 1
                   WHERE id = ?1";
        db.prepare_cached(sql)?.execute([webhook])?;
    }
    Ok(())
}

/// An attempt has failed. Without another time it is parked.
pub(super) fn failed(
    db: &Connection,
    number: i64,
    due_at: Option<Timestamp>,
    error: &str,
) -> Result<(), StoreError> {
    let sql = "UPDATE webhook_deliveries
               SET attempts = attempts + 1, due_at = coalesce(?2, due_at), parked = ?2 IS NULL,
                   error = ?3
               WHERE number = ?1";
    db.prepare_cached(sql)?.execute(params![number, due_at.map(nanoseconds), error])?;
    Ok(())
}

/// Parked deliveries of a webhook are due again, with all of their time. Returns how many.
pub(super) fn redeliver(
    db: &Connection,
    webhook: &str,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let sql = "UPDATE webhook_deliveries
               SET parked = 0, attempts = 0, created_at = ?2, due_at = ?2
               WHERE webhook = ?1 AND parked = 1";
    Ok(db.execute(sql, params![webhook, nanoseconds(now)])?)
}

/// A page of the deliveries of a webhook, the oldest first.
pub(super) fn page(
    db: &Connection,
    webhook: &str,
    after: i64,
    limit: usize,
) -> Result<Vec<Delivery>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM webhook_deliveries WHERE webhook = ?1 AND number > ?2
         ORDER BY number LIMIT ?3"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut query = db.prepare_cached(&sql)?;
    let rows = query.query_map(params![webhook, after, limit], delivery)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
