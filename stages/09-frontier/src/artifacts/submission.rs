//! `GET /eval/{id}/submission`: what was submitted, so that its owner can run it again, from any tab and any machine.
//!
//! It is what a client would send, with the limits that were in force. The server has it for as long as it has the
//! evaluation, because a restart may have to run it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::{Map, Value, json as value};
use shared::Submission;
use uuid::Uuid;

use crate::batches::SubmitOptions;
use crate::store::StoreError;
use crate::verifications::is_evaluated;

/// The submission of an evaluation. None when it is not stored.
pub(super) fn find(database: &Connection, id: Uuid) -> Result<Option<Submission>, StoreError> {
    let select = "SELECT submission FROM submissions WHERE evaluation = ?1";
    let found: Option<String> =
        database.prepare_cached(select)?.query_row([id.as_bytes()], |row| row.get(0)).optional()?;
    Ok(found.map(|text| serde_json::from_str(&text)).transpose()?)
}

/// The body of a request that submits it again.
pub(super) fn body(submission: &Submission) -> Result<Value, serde_json::Error> {
    let mut body = value!({
        "code": submission.code,
        "environment": submission.profile,
        "timeout_seconds": submission.limits.timeout_seconds,
        "memory_bytes": submission.limits.memory_bytes,
    });
    let mut add = |name: &str, value: Value| body[name] = value;
    if !submission.stdin.is_empty() {
        add("stdin", content(&submission.stdin));
    }
    // Those of the program that a verifier has verified were not submitted with it.
    let own = submission.files.iter().filter(|file| !is_evaluated(submission, file));
    let files: Map<_, _> = own.map(|file| (file.path.clone(), content(&file.bytes))).collect();
    if !files.is_empty() {
        add("files", Value::Object(files));
    }
    if !submission.labels.is_empty() {
        add("labels", serde_json::to_value(&submission.labels)?);
    }
    if submission.max_attempts > 1 {
        add("max_attempts", submission.max_attempts.into());
    }
    let options = SubmitOptions::of(submission);
    if options.priority != SubmitOptions::default().priority {
        add("priority", serde_json::to_value(options.priority)?);
    }
    if let Some(seconds) = options.queue_timeout_seconds {
        add("queue_timeout_seconds", seconds.into());
    }
    Ok(body)
}

/// Text, or bytes as base64.
fn content(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => value!({ "base64": STANDARD.encode(bytes) }),
    }
}
