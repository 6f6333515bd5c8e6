//! Evaluations as rows: what each transition writes. Each function runs within a transaction.

use rusqlite::{Connection, params};
use serde_json::json;
use shared::{Evaluation, Outcome, Output, Status};
use stage_02_queue::Accepted;
use uuid::Uuid;

use crate::event_log::{event_bytes, newest_number};
use crate::files::{FileStorage, HeldFile, digest};
use crate::store::StoreError;
use crate::time::nanoseconds;

/// Text of an output from which on it is a file.
pub(crate) const MAX_INLINE_BYTES: usize = 32 << 10;
/// What an evaluation takes beside its texts, approximately: indexes, attempts, events.
const ROW_BYTES: usize = 2048;

/// An evaluation that has ended, as it is stored.
pub(crate) struct Ended {
    evaluation: Evaluation,
    stdout: Option<HeldFile>,
    stderr: Option<HeldFile>,
    /// The digests of what the program left, in the order of its list.
    artifacts: Vec<String>,
    /// The file with all of it.
    pack: Option<HeldFile>,
}

impl Ended {
    /// Whether a part of it becomes a file.
    pub(crate) fn has_files(evaluation: &Evaluation) -> bool {
        let outputs = [&evaluation.stdout, &evaluation.stderr];
        !evaluation.artifacts.is_empty() || outputs.into_iter().any(is_large)
    }

    /// Writes large outputs, and what the program left, to files. It blocks while it does.
    pub(crate) fn new(
        mut evaluation: Evaluation,
        files: &std::sync::Arc<FileStorage>,
    ) -> Result<Self, StoreError> {
        let file = |output: &mut Output| -> Result<Option<HeldFile>, StoreError> {
            if !is_large(output) {
                return Ok(None);
            }
            files.put(&[std::mem::take(&mut output.text).as_bytes()]).map(Some)
        };
        let (stdout, stderr) = (file(&mut evaluation.stdout)?, file(&mut evaluation.stderr)?);
        let contents: Vec<&[u8]> =
            evaluation.artifacts.iter().map(|artifact| &artifact.content[..]).collect();
        let artifacts = contents.iter().map(|content| digest(content)).collect();
        let pack = if contents.is_empty() { None } else { Some(files.put(&contents)?) };
        Ok(Self { evaluation, stdout, stderr, artifacts, pack })
    }

    pub(crate) fn evaluation(&self) -> &Evaluation {
        &self.evaluation
    }

    fn files(&self) -> impl Iterator<Item = &HeldFile> {
        self.stdout.iter().chain(&self.stderr).chain(&self.pack)
    }
}

fn is_large(output: &Output) -> bool {
    output.text.len() > MAX_INLINE_BYTES
}

// ANCHOR: accepted
/// Stores an evaluation that was accepted, and what it needs to run.
pub(crate) fn insert_accepted(db: &Connection, accepted: &Accepted) -> Result<(), StoreError> {
    let Accepted { evaluation, submission, context } = accepted;
    insert(db, evaluation)?;
    let text = serde_json::to_string(submission)?;
    let bytes = integer(text.len());
    db.prepare_cached("INSERT INTO submissions VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        evaluation.id.into_bytes(),
        text,
        submission.max_attempts,
        serde_json::to_string(context)?,
    ])?;
    db.prepare_cached("UPDATE evaluations SET bytes = ?2 WHERE id = ?1")?
        .execute(params![evaluation.id.into_bytes(), bytes])?;
    Ok(())
}
// ANCHOR_END: accepted

fn insert(db: &Connection, evaluation: &Evaluation) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO evaluations (id, status, owner, attempt, submitted_at, record, bytes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0)",
    )?
    .execute(params![
        evaluation.id.into_bytes(),
        status(evaluation.status)?,
        evaluation.owner.as_deref().unwrap_or_default(),
        evaluation.attempt,
        nanoseconds(evaluation.timing.submitted_at),
        serde_json::to_string(evaluation)?,
    ])?;
    Ok(())
}

/// Records that an evaluation runs, or waits again for another attempt.
pub(crate) fn update_live(db: &Connection, live: &Evaluation) -> Result<(), StoreError> {
    db.prepare_cached(
        "UPDATE evaluations SET status = ?2, attempt = ?3, record = ?4
         WHERE id = ?1 AND outcome IS NULL",
    )?
    .execute(params![
        live.id.into_bytes(),
        status(live.status)?,
        live.attempt,
        serde_json::to_string(live)?,
    ])?;
    if live.status == Status::Running { write_attempt(db, live) } else { Ok(()) }
}

/// Writes the record of the present attempt.
pub(crate) fn write_attempt(db: &Connection, evaluation: &Evaluation) -> Result<(), StoreError> {
    let Evaluation { timing, sandbox, evidence, error, .. } = evaluation;
    let detail = json!({ "sandbox": sandbox, "evidence": evidence, "error": error });
    db.prepare_cached("INSERT OR REPLACE INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(
        params![
            evaluation.id.into_bytes(),
            evaluation.attempt,
            evaluation.outcome.map(Outcome::as_str),
            timing.started_at.map(nanoseconds),
            timing.finished_at.map(nanoseconds),
            detail.to_string(),
        ],
    )?;
    Ok(())
}

// ANCHOR: ended
/// Stores the end of an evaluation, after its events. False when it has ended before.
pub(crate) fn write_end(db: &Connection, ended: &Ended) -> Result<bool, StoreError> {
    let evaluation = &ended.evaluation;
    let id = evaluation.id.into_bytes();
    let record = serde_json::to_string(evaluation)?;
    let files: u64 = ended.files().map(HeldFile::bytes).sum();
    // Attack: a program prints in a thousand small pieces what it could print in one → its events
    // count as well, so that what it fills is deleted before what is small.
    let files = usize::try_from(files).unwrap_or(usize::MAX);
    let bytes = ROW_BYTES + record.len() + files + event_bytes(db, evaluation.id)?;
    let updated = db
        .prepare_cached(
            "UPDATE evaluations SET status = ?2, outcome = ?3, attempt = ?4, ended_at = ?5,
                 record = ?6, stdout_file = ?7, stderr_file = ?8, bytes = bytes + ?9,
                 last_event = ?10
             WHERE id = ?1 AND outcome IS NULL",
        )?
        .execute(params![
            id,
            status(evaluation.status)?,
            evaluation.outcome.map(Outcome::as_str),
            evaluation.attempt,
            evaluation.timing.finished_at.map(nanoseconds),
            record,
            ended.stdout.as_ref().map(HeldFile::digest),
            ended.stderr.as_ref().map(HeldFile::digest),
            integer(bytes),
            integer(usize::try_from(newest_number(db)?).unwrap_or(usize::MAX)),
        ])?;
    if updated == 0 {
        return Ok(false);
    }
    if evaluation.timing.started_at.is_some() {
        write_attempt(db, evaluation)?;
    }
    let mut label = db.prepare_cached("INSERT INTO labels VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (key, value) in &evaluation.labels {
        let outcome = evaluation.outcome.map(Outcome::as_str);
        let owner = evaluation.owner.as_deref().unwrap_or_default();
        label.execute(params![key, value, outcome, id, owner])?;
    }
    let pack = ended.pack.as_ref().map(HeldFile::digest);
    let mut artifact = db.prepare_cached("INSERT INTO artifacts VALUES (?1, ?2, ?3, ?4)")?;
    for (number, digest) in (0_i64..).zip(&ended.artifacts) {
        artifact.execute(params![id, number, digest, pack])?;
    }
    for file in ended.files() {
        db.prepare_cached(
            "INSERT INTO files VALUES (?1, ?2, 1) ON CONFLICT DO UPDATE SET uses = uses + 1",
        )?
        .execute(params![file.digest(), i64::try_from(file.bytes()).unwrap_or(i64::MAX)])?;
    }
    count(db, 1, evaluation.id)?;
    Ok(true)
}
// ANCHOR_END: ended

/// Stores an evaluation that has ended and was never accepted here.
pub(crate) fn insert_ended(db: &Connection, ended: &Ended) -> Result<(), StoreError> {
    let exists = db
        .prepare_cached("SELECT 1 FROM evaluations WHERE id = ?1")?
        .exists([ended.evaluation.id.into_bytes()])?;
    if !exists {
        insert(db, &ended.evaluation)?;
    }
    write_end(db, ended).map(drop)
}

/// Deletes an evaluation that has ended. Returns the files that nothing refers to any more, or None
/// when there is no such evaluation.
pub(crate) fn delete(db: &Connection, id: Uuid) -> Result<Option<Vec<String>>, StoreError> {
    let is_there = db
        .prepare_cached("SELECT 1 FROM evaluations WHERE id = ?1 AND outcome IS NOT NULL")?
        .exists([id.into_bytes()])?;
    if !is_there {
        return Ok(None);
    }
    let files: Vec<Option<String>> = db
        .prepare_cached(
            "SELECT stdout_file FROM evaluations WHERE id = ?1
             UNION ALL SELECT stderr_file FROM evaluations WHERE id = ?1
             UNION ALL SELECT digest FROM artifacts WHERE evaluation = ?1 AND pack IS NULL
             UNION ALL SELECT DISTINCT pack FROM artifacts WHERE evaluation = ?1",
        )?
        .query_map([id.into_bytes()], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    count(db, -1, id)?;
    crate::event_log::drop_events(db, id)?;
    db.prepare_cached("DELETE FROM evaluations WHERE id = ?1")?.execute([id.into_bytes()])?;
    let mut unused = Vec::new();
    for digest in files.into_iter().flatten() {
        db.prepare_cached("UPDATE files SET uses = uses - 1 WHERE digest = ?1")?
            .execute([&digest])?;
        let removed = db
            .prepare_cached("DELETE FROM files WHERE digest = ?1 AND uses <= 0")?
            .execute([&digest])?;
        if removed > 0 {
            unused.push(digest);
        }
    }
    Ok(Some(unused))
}

/// Adds or subtracts an evaluation in the counters.
fn count(db: &Connection, sign: i64, id: Uuid) -> Result<(), StoreError> {
    let change = db.prepare_cached(
        "UPDATE counters SET value = value + ?1 * CASE name
             WHEN 'entries' THEN 1
             ELSE (SELECT bytes FROM evaluations WHERE id = ?2) END
         WHERE name IN ('entries', 'bytes')",
    );
    change?.execute(params![sign, id.into_bytes()])?;
    Ok(())
}

/// The name of a status.
fn status(status: Status) -> Result<String, StoreError> {
    let name = serde_json::to_value(status)?;
    Ok(name.as_str().unwrap_or_default().to_owned())
}

fn integer(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
