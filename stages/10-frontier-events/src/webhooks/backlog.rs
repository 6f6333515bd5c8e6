//! What webhooks have not got yet, as rows.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use stage_09_frontier::StoreError;

use super::table::{nanoseconds, time};

/// Deliveries of one webhook that may wait or be parked. What comes then is counted and dropped.
pub(super) const MAX_PENDING: i64 = 10_000;
/// Bytes of them.
const MAX_PENDING_BYTES: i64 = 64 << 20;

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

/// Adds a delivery of an event, unless the webhook has too many or too large ones, or is gone.
pub(super) fn enqueue(db: &Connection, delivery: &Delivery) -> Result<(), StoreError> {
    let sql = "UPDATE webhooks SET pending = pending + 1
               WHERE id = ?1 AND pending < ?2
                   AND coalesce((SELECT bytes FROM webhook_backlogs WHERE webhook = ?1), 0) < ?3";
    let limits = params![delivery.webhook, MAX_PENDING, MAX_PENDING_BYTES];
    if db.prepare_cached(sql)?.execute(limits)? == 0 {
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
    add_bytes(db, &delivery.webhook, i64::try_from(delivery.body.len()).unwrap_or(i64::MAX))
}

/// Changes what is known of the size of a backlog.
fn add_bytes(db: &Connection, webhook: &str, bytes: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO webhook_backlogs (webhook, bytes) VALUES (?1, ?2)
               ON CONFLICT (webhook) DO UPDATE SET bytes = bytes + excluded.bytes";
    db.prepare_cached(sql)?.execute(params![webhook, bytes])?;
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
///
/// The webhooks are found one after the other in an index, and of each only the rows that are returned are read: a
/// receiver that is down may have ten thousand of them.
pub(super) fn due(
    db: &Connection,
    now: Timestamp,
    each: usize,
) -> Result<Vec<Delivery>, StoreError> {
    let each = i64::try_from(each).unwrap_or(i64::MAX);
    let sql = format!(
        "WITH RECURSIVE waiting (webhook) AS (
             SELECT min(webhook) FROM webhook_deliveries WHERE parked = 0
             UNION ALL
             SELECT (SELECT min(webhook) FROM webhook_deliveries
                     WHERE parked = 0 AND webhook > waiting.webhook)
             FROM waiting WHERE webhook IS NOT NULL)
         SELECT {COLUMNS} FROM webhook_deliveries WHERE number IN (
             SELECT first.number FROM waiting JOIN webhook_deliveries AS first
             ON first.number IN (
                 SELECT number FROM webhook_deliveries
                 WHERE parked = 0 AND webhook = waiting.webhook AND due_at <= ?1
                 ORDER BY due_at, number LIMIT ?2))
         ORDER BY number"
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
    let sql = "DELETE FROM webhook_deliveries WHERE number = ?1 RETURNING octet_length(body)";
    let bytes =
        db.prepare_cached(sql)?.query_row([number], |row| row.get::<_, i64>(0)).optional()?;
    let Some(bytes) = bytes else { return Ok(()) };
    let sql = "UPDATE webhooks SET pending = pending - 1, delivered = delivered + 1
               WHERE id = ?1";
    db.prepare_cached(sql)?.execute([webhook])?;
    add_bytes(db, webhook, -bytes)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn database(webhooks: &[&str]) -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(include_str!("../../schema.sql")).unwrap();
        for id in webhooks {
            let sql = "INSERT INTO webhooks (id, sees_all, url, topics, secret, created_at)
                       VALUES (?1, 1, '', '[]', '', 0)";
            db.execute(sql, [id]).unwrap();
        }
        db
    }

    fn add(db: &Connection, webhook: &str, body: &str, due_at: i64) {
        let delivery = Delivery {
            number: 0,
            id: format!("{webhook}-1"),
            webhook: webhook.to_owned(),
            kind: "platform.ready".to_owned(),
            body: body.to_owned(),
            created_at: time(due_at),
            due_at: time(due_at),
            attempts: 0,
            is_parked: false,
            error: None,
        };
        enqueue(db, &delivery).unwrap();
    }

    #[test]
    fn a_backlog_has_a_limit_in_bytes() {
        let db = database(&["a", "b"]);
        let body = "é".repeat(1 << 19);
        for _ in 0..65 {
            add(&db, "a", &body, 1);
        }
        add(&db, "b", &body, 1);
        let of_a = counts(&db, "a").unwrap();
        assert_eq!((of_a.pending, of_a.dropped), (64, 1));
        assert_eq!(counts(&db, "b").unwrap().pending, 1);
        // What was delivered makes room, once.
        for _ in 0..2 {
            delivered(&db, 1, "a").unwrap();
        }
        add(&db, "a", &body, 1);
        add(&db, "a", &body, 1);
        let of_a = counts(&db, "a").unwrap();
        assert_eq!((of_a.pending, of_a.dropped, of_a.delivered), (64, 2, 1));
        // A database of an earlier version has no such count.
        let count = "SELECT sum(bytes) FROM webhook_backlogs";
        let before: i64 = db.query_row(count, [], |row| row.get(0)).unwrap();
        db.execute_batch("DROP TABLE webhook_backlogs").unwrap();
        db.execute_batch(include_str!("../../schema.sql")).unwrap();
        assert_eq!(db.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap(), before);
        assert_eq!(before, 65 << 20);
    }

    #[test]
    fn some_of_each_webhook_are_due_and_the_oldest_come_first() {
        let db = database(&["a", "b", "c"]);
        for (webhook, due_at) in [("b", 3), ("a", 2), ("a", 1), ("a", 2), ("c", 9), ("b", 4)] {
            add(&db, webhook, "", due_at);
        }
        failed(&db, 6, None, "parked").unwrap();
        let due: Vec<_> = due(&db, time(4), 2)
            .unwrap()
            .into_iter()
            .map(|one| (one.webhook, one.number))
            .collect();
        let expected = [("b", 1), ("a", 2), ("a", 3)];
        assert_eq!(due, expected.map(|(webhook, number)| (webhook.to_owned(), number)));
        assert_eq!(next_due(&db, time(4)).unwrap(), Some(time(9)));
        assert!(super::due(&database(&[]), time(4), 2).unwrap().is_empty());
    }
}
