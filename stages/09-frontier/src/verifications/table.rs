//! The rows of verifications.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use shared::{RequestContext, Submission};
use uuid::Uuid;

use crate::store::StoreError;

/// What a verifier has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// It ended with the exit code 0.
    Passed,
    /// It ended with another exit code.
    Failed,
    /// It did not run, or did not end by itself.
    Error,
}

/// How far a verification is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) verdict: Option<Verdict>,
    pub(super) error: Option<String>,
    /// Its evaluation, once that is accepted.
    pub(super) verifier: Option<Uuid>,
}

/// Stores the verifier of a batch that is planned in the same transaction.
pub(super) fn plan(
    database: &Connection,
    batch: Uuid,
    verifier: &Submission,
    context: &RequestContext,
) -> Result<(), StoreError> {
    // The key of the request is that of the pair, not of one program.
    let context = RequestContext { idempotency_key: None, ..context.clone() };
    let insert = "INSERT INTO verifications (batch, verifier, context) VALUES (?1, ?2, ?3)";
    let (verifier, context) = (serde_json::to_string(verifier)?, serde_json::to_string(&context)?);
    database.execute(insert, params![batch.as_bytes(), verifier, context])?;
    Ok(())
}

/// The accepted verifications without a verdict.
pub(super) fn undecided(database: &Connection) -> Result<Vec<Uuid>, StoreError> {
    let select = "SELECT batches.id FROM verifications JOIN batches ON batches.id = batch \
                  WHERE verdict IS NULL AND is_accepted ORDER BY batches.id";
    let mut select = database.prepare(select)?;
    let ids = select.query_map([], |row| row.get::<_, [u8; 16]>(0))?;
    ids.map(|id| Ok(Uuid::from_bytes(id?))).collect()
}

/// The program, and the verifier once its id is chosen.
pub(super) fn members(database: &Connection, batch: Uuid) -> Result<Vec<Uuid>, StoreError> {
    let select = "SELECT evaluation FROM batch_members WHERE batch = ?1 ORDER BY position";
    let mut select = database.prepare_cached(select)?;
    let members = select.query_map([batch.as_bytes()], |row| row.get::<_, [u8; 16]>(0))?;
    members.map(|member| Ok(Uuid::from_bytes(member?))).collect()
}

/// Whether its verifier is still to be accepted.
pub(super) fn is_planned(database: &Connection, batch: Uuid) -> Result<bool, StoreError> {
    let select = "SELECT 1 FROM verifications WHERE batch = ?1 AND verifier != ''";
    let found = database.query_row(select, [batch.as_bytes()], |_| Ok(())).optional()?;
    Ok(found.is_some())
}

/// The verifier that is still to be accepted, and the request that made it. None once it was.
pub(super) fn verifier(
    database: &Connection,
    batch: Uuid,
) -> Result<Option<(Submission, RequestContext)>, StoreError> {
    let select = "SELECT verifier, context FROM verifications WHERE batch = ?1 AND verifier != ''";
    let columns = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let found: Option<(String, String)> =
        database.query_row(select, [batch.as_bytes()], columns).optional()?;
    let parse = |(verifier, context): (String, String)| {
        Ok((serde_json::from_str(&verifier)?, serde_json::from_str(&context)?))
    };
    found.map(parse).transpose()
}

/// The verifier will be the evaluation with this id.
pub(super) fn choose_id(database: &Connection, batch: Uuid, id: Uuid) -> Result<(), StoreError> {
    let insert = "INSERT INTO batch_members (batch, position, evaluation) VALUES (?1, 1, ?2)";
    database.execute(insert, [batch.as_bytes(), id.as_bytes()])?;
    Ok(())
}

/// The verifier is an evaluation: what it is of is stored with that.
pub(super) fn accepted(database: &Connection, batch: Uuid) -> Result<(), StoreError> {
    let update = "UPDATE verifications SET verifier = '', context = '' WHERE batch = ?1";
    database.execute(update, [batch.as_bytes()])?;
    Ok(())
}

/// Stores a verdict. The first one stays. A verifier that was not accepted is not needed any more.
pub(super) fn decide(
    database: &Connection,
    batch: Uuid,
    verdict: Verdict,
    error: Option<&str>,
) -> Result<(), StoreError> {
    let delete = "DELETE FROM batch_members WHERE batch = ?1 AND position = 1 \
                  AND (SELECT verifier != '' FROM verifications WHERE batch = ?1)";
    database.execute(delete, [batch.as_bytes()])?;
    let update = "UPDATE verifications SET verdict = ?2, error = ?3, verifier = '', context = '' \
                  WHERE batch = ?1 AND verdict IS NULL";
    let name = serde_json::to_value(verdict)?;
    let name = name.as_str().unwrap_or_default();
    database.execute(update, params![batch.as_bytes(), name, error])?;
    Ok(())
}

/// How far a verification is. None when there is none.
pub(super) fn state(database: &Connection, batch: Uuid) -> Result<Option<State>, StoreError> {
    let select = "SELECT verdict, error, \
                  (SELECT evaluation FROM batch_members WHERE batch = ?1 AND position = 1 AND verifier = '') \
                  FROM verifications WHERE batch = ?1";
    let columns = |row: &rusqlite::Row<'_>| {
        let (verdict, verifier): (Option<String>, Option<[u8; 16]>) = (row.get(0)?, row.get(2)?);
        Ok((
            verdict,
            State { verdict: None, error: row.get(1)?, verifier: verifier.map(Uuid::from_bytes) },
        ))
    };
    let found = database.query_row(select, [batch.as_bytes()], columns).optional()?;
    let Some((verdict, state)) = found else { return Ok(None) };
    let verdict = verdict.map(|name| serde_json::from_value(name.into())).transpose()?;
    Ok(Some(State { verdict, ..state }))
}
