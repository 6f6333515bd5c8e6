//! The rows of batches, of which comparisons and verifications are kinds.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use crate::store::StoreError;

/// What a batch was made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BatchKind {
    /// Many programs.
    Batch,
    /// One program in two environments.
    Comparison,
    /// A program, and the one that verifies it.
    Verification,
}

impl BatchKind {
    const ALL: [Self; 3] = [Self::Batch, Self::Comparison, Self::Verification];

    fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Comparison => "comparison",
            Self::Verification => "verification",
        }
    }
}

/// A batch as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: Uuid,
    /// The empty string stands for no owner.
    pub(crate) owner: String,
    pub(crate) created_at: Timestamp,
    pub(crate) kind: BatchKind,
    /// What a comparison is of.
    pub(crate) detail: String,
    /// Its evaluations, in the order in which they were submitted.
    pub(crate) members: Vec<Uuid>,
}

/// Stores a batch whose evaluations are not accepted yet.
pub(super) fn plan(database: &Connection, row: &Row) -> Result<(), StoreError> {
    let insert = "INSERT INTO batches (id, owner, created_at, is_accepted, kind, detail) \
                  VALUES (?1, ?2, ?3, 0, ?4, ?5)";
    let (created, kind) = (row.created_at.as_microsecond(), row.kind.as_str());
    database.execute(insert, params![row.id.as_bytes(), row.owner, created, kind, row.detail])?;
    let insert = "INSERT INTO batch_members (batch, position, evaluation) VALUES (?1, ?2, ?3)";
    let mut insert = database.prepare_cached(insert)?;
    for (position, member) in row.members.iter().enumerate() {
        let position = i64::try_from(position).unwrap_or(i64::MAX);
        insert.execute(params![row.id.as_bytes(), position, member.as_bytes()])?;
    }
    Ok(())
}

/// Its evaluations are accepted.
pub(super) fn accept(database: &Connection, id: Uuid) -> Result<(), StoreError> {
    database.execute("UPDATE batches SET is_accepted = 1 WHERE id = ?1", [id.as_bytes()])?;
    Ok(())
}

/// None of its evaluations was accepted.
pub(super) fn discard(database: &Connection, id: Uuid) -> Result<(), StoreError> {
    database.execute("DELETE FROM batches WHERE id = ?1 AND is_accepted = 0", [id.as_bytes()])?;
    Ok(())
}

/// Decides about batches that a crash has left: their evaluations were accepted in one transaction,
/// so that one of them stands for all.
pub(super) fn recover(database: &Connection) -> Result<(), StoreError> {
    database.execute_batch(
        "UPDATE batches SET is_accepted = 1 WHERE is_accepted = 0 AND EXISTS \
             (SELECT 1 FROM batch_members JOIN evaluations ON evaluations.id = evaluation \
              WHERE batch = batches.id); \
         DELETE FROM batches WHERE is_accepted = 0;",
    )?;
    Ok(())
}

/// The batch with this id.
pub(super) fn get(database: &Connection, id: Uuid) -> Result<Option<Row>, StoreError> {
    let select =
        "SELECT owner, created_at, kind, detail FROM batches WHERE id = ?1 AND is_accepted";
    let mut select = database.prepare_cached(select)?;
    let columns = |row: &rusqlite::Row<'_>| {
        Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?, row.get(3)?))
    };
    let found: Option<(String, i64, String, String)> =
        select.query_row([id.as_bytes()], columns).optional()?;
    let Some((owner, created, kind, detail)) = found else { return Ok(None) };
    let kind = BatchKind::ALL.into_iter().find(|one| one.as_str() == kind);
    let members = "SELECT evaluation FROM batch_members WHERE batch = ?1 ORDER BY position";
    let mut members = database.prepare_cached(members)?;
    let members = members.query_map([id.as_bytes()], |row| row.get::<_, [u8; 16]>(0))?;
    let members = members.map(|member| Ok(Uuid::from_bytes(member?)));
    Ok(Some(Row {
        id,
        owner,
        created_at: Timestamp::from_microsecond(created).unwrap_or_default(),
        kind: kind.unwrap_or(BatchKind::Batch),
        detail,
        members: members.collect::<Result<_, rusqlite::Error>>()?,
    }))
}

/// The status of each evaluation of a batch that is in the database.
pub(super) fn statuses(database: &Connection, id: Uuid) -> Result<Vec<(Uuid, String)>, StoreError> {
    let select = "SELECT evaluations.id, status FROM batch_members \
                  JOIN evaluations ON evaluations.id = evaluation WHERE batch = ?1";
    let mut select = database.prepare_cached(select)?;
    let status = |row: &rusqlite::Row<'_>| {
        Ok((Uuid::from_bytes(row.get::<_, [u8; 16]>(0)?), row.get::<_, String>(1)?))
    };
    let statuses = select.query_map([id.as_bytes()], status)?.collect::<Result<_, _>>()?;
    Ok(statuses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{DataDir, Store};

    #[tokio::test]
    async fn a_crash_leaves_a_batch_with_its_evaluations_or_neither() {
        let store = Store::open(DataDir::scratch().unwrap()).unwrap();
        let row = |members: usize| Row {
            id: Uuid::now_v7(),
            owner: "a".into(),
            created_at: Timestamp::from_second(7).unwrap(),
            kind: BatchKind::Comparison,
            detail: "of two".into(),
            members: (0..members).map(|_| Uuid::now_v7()).collect(),
        };
        let (lost, kept) = (row(3), row(2));
        let (first, second) = (lost.clone(), kept.clone());
        let written = store.write(move |database| {
            plan(database, &first)?;
            plan(database, &second)?;
            for member in &second.members {
                database.execute(
                    "INSERT INTO evaluations \
                     (id, status, owner, attempt, submitted_at, record, bytes) \
                     VALUES (?1, 'queued', 'a', 1, 0, '{}', 0)",
                    [member.as_bytes()],
                )?;
            }
            assert_eq!(get(database, second.id)?, None, "it is not accepted yet");
            recover(database)?;
            Ok((get(database, first.id)?, get(database, second.id)?))
        });
        assert_eq!(written.await.unwrap(), (None, Some(kept)));
        let left = store.read(|database| {
            let count = "SELECT count(*) FROM batch_members";
            Ok(database.query_row(count, [], |row| row.get::<_, i64>(0))?)
        });
        assert_eq!(left.await.unwrap(), 2, "members go with their batch");
    }
}
