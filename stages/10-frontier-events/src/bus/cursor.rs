//! Where durable subscribers are: the number of the last event that each has handled.

use rusqlite::{Connection, OptionalExtension as _, params};
use stage_09_frontier::{Store, StoreError};

/// The tables of this stage. A server of stage 09 does not look at them.
const SCHEMA: &str = include_str!("../../schema.sql");

/// Creates the tables of this stage.
pub(super) async fn create_table(store: &Store) -> Result<(), StoreError> {
    store.write(|db| Ok(db.execute_batch(SCHEMA)?)).await
}

/// The cursor of a subscriber, if it has one.
pub(super) fn read(db: &Connection, name: &str) -> Result<Option<u64>, StoreError> {
    let sql = "SELECT number FROM bus_cursors WHERE name = ?1";
    let number =
        db.prepare_cached(sql)?.query_row([name], |row| row.get::<_, i64>(0)).optional()?;
    Ok(number.map(|number| u64::try_from(number).unwrap_or(0)))
}

/// Moves the cursor of a subscriber.
pub(super) fn write(db: &Connection, name: &str, number: u64) -> Result<(), StoreError> {
    let sql = "INSERT INTO bus_cursors (name, number) VALUES (?1, ?2)
               ON CONFLICT (name) DO UPDATE SET number = excluded.number";
    let number = i64::try_from(number).unwrap_or(i64::MAX);
    db.prepare_cached(sql)?.execute(params![name, number])?;
    Ok(())
}
