//! Writes the audit log of a running server.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::{RequestContext, Submission};
use stage_02_queue::Accepted;
use tokio_util::sync::CancellationToken;

use super::chain::{Entry, Hash, Head};
use super::table;
use crate::limits::{Decision, RateLimit};
use crate::store::{Store, StoreError};

/// How often the head is logged, for an operator who stores the log elsewhere.
const HEAD_INTERVAL: Duration = Duration::from_hours(1);
/// Rows of one actor in a minute about what was refused.
const MAX_REFUSED_PER_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(59); // 60
/// The actor of a command.
pub(crate) const COMMAND_LINE: &str = "command-line";
/// The actor of what the platform does by itself.
const PLATFORM: &str = "platform";
/// The actor of a request without a key.
const ANONYMOUS: &str = "anonymous";

/// What can be in the column `action`.
pub(crate) mod actions {
    /// A key was made.
    pub(crate) const KEY_CREATE: &str = "key.create";
    /// A key was revoked.
    pub(crate) const KEY_REVOKE: &str = "key.revoke";
    /// A program was accepted.
    pub(crate) const SUBMIT: &str = "evaluation.submit";
    /// An evaluation was cancelled.
    pub(crate) const CANCEL: &str = "evaluation.cancel";
    /// A batch was accepted.
    pub(crate) const BATCH_SUBMIT: &str = "batch.submit";
    /// A batch was cancelled.
    pub(crate) const BATCH_CANCEL: &str = "batch.cancel";
    /// A comparison was accepted.
    pub(crate) const COMPARISON_SUBMIT: &str = "comparison.submit";
    /// A verification was accepted.
    pub(crate) const VERIFICATION_SUBMIT: &str = "verification.submit";
    /// A key was used for what its scopes do not allow.
    pub(crate) const REFUSE: &str = "access.refuse";
    /// An administrator requested an evaluation of another key.
    pub(crate) const ADMIN: &str = "admin.access";
    /// A sandbox was opened.
    pub(crate) const SANDBOX_CREATE: &str = "sandbox.create";
    /// A sandbox was removed by a client.
    pub(crate) const SANDBOX_REMOVE: &str = "sandbox.remove";
    /// A command was started in a sandbox.
    pub(crate) const SANDBOX_EXEC: &str = "sandbox.exec";
    /// Files of a sandbox were written by a client.
    pub(crate) const SANDBOX_WRITE: &str = "sandbox.write";
    /// Files of a sandbox were read by a client.
    pub(crate) const SANDBOX_READ: &str = "sandbox.read";
    /// The probes were fired at this server.
    pub(crate) const SECURITY_TEST: &str = "security.test";
}

/// The audit log in a database.
pub struct AuditLog {
    pub(super) store: Arc<Store>,
    refused: RateLimit,
    /// Rows about what was refused that were not written, by actor.
    omitted: Mutex<HashMap<String, u64>>,
}

impl AuditLog {
    /// The log in `store`.
    pub fn new(store: Arc<Store>) -> Arc<Self> {
        let refused = RateLimit::per_minute("audit", MAX_REFUSED_PER_MINUTE);
        Arc::new(Self { store, refused, omitted: Mutex::default() })
    }

    /// Appends a row about what a request did, and returns when it is on disk.
    ///
    /// # Errors
    ///
    /// When it was not written.
    pub async fn record(&self, entry: Entry) -> Result<(), StoreError> {
        self.store.write(move |database| table::append(database, &entry).map(drop)).await
    }

    /// Appends a row behind the request, so that it costs no flush. It does not take the last of the disk: work that is
    /// accepted needs that for its end. Then the row is in the log of the server.
    pub fn record_later(&self, entry: Entry) {
        Self::append_later(&self.store, entry);
    }

    /// The same for what is refused.
    ///
    /// Attack: a key asks for what it may not, two hundred times a second, until the rows about that have filled the disk →
    /// a minute has so many of them, and the next row has the number of those that are missing. Test:
    /// `rows_about_refusals_are_bounded_and_counted`.
    pub fn record_refused(&self, entry: Entry) {
        if let Some(entry) = self.counted(entry) {
            Self::append_later(&self.store, entry);
        }
    }

    /// Appends a row to the log in `store`, as [`AuditLog::record_later`].
    pub(crate) fn append_later(store: &Arc<Store>, entry: Entry) {
        let (of_writer, of_log) = (Arc::clone(store), entry.clone());
        store.write_behind(
            move |database| {
                of_writer.check_space()?;
                table::append(database, &entry).map(drop)
            },
            move |result| {
                if let Err(error) = result {
                    let Entry { actor, action, target, .. } = of_log;
                    tracing::error!(%error, actor, action, target, "a row of the audit log was not written");
                }
            },
        );
    }

    /// The row with the number of those that its actor is missing before it. None when it is one too many.
    fn counted(&self, mut entry: Entry) -> Option<Entry> {
        let is_allowed = matches!(self.refused.check(&entry.actor), Decision::Allowed(_));
        let mut omitted = self.omitted.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_allowed {
            *omitted.entry(entry.actor).or_default() += 1;
            return None;
        }
        let count = omitted.remove(&entry.actor);
        if let (Some(count), Ok(mut detail)) = (count, entry.detail.parse::<Value>()) {
            detail["rows_omitted"] = count.into();
            entry.detail = detail.to_string();
        }
        Some(entry)
    }

    /// Appends a row in a transaction of its caller, which has to be one of the writer.
    ///
    /// # Errors
    ///
    /// When it was not written.
    pub fn append_in(database: &rusqlite::Connection, entry: &Entry) -> Result<(), StoreError> {
        table::append(database, entry).map(drop)
    }

    /// The newest row.
    ///
    /// # Errors
    ///
    /// When the database cannot be read.
    pub async fn head(&self) -> Result<Head, StoreError> {
        self.store.read(table::head).await
    }

    /// Logs the head now and every hour, until `stop` is cancelled.
    pub async fn log_heads(self: Arc<Self>, stop: CancellationToken) {
        loop {
            match self.head().await {
                Ok(head) => tracing::info!(%head, "audit head"),
                Err(error) => tracing::error!(%error, "the audit log cannot be read"),
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(HEAD_INTERVAL) => {}
            }
        }
    }
}

impl Entry {
    /// What the request of `context` did to `target`.
    pub fn of(context: &RequestContext, action: &str, target: &str, detail: &Value) -> Self {
        Self {
            time: Timestamp::now().as_microsecond(),
            actor: context.principal.clone().unwrap_or_else(|| ANONYMOUS.to_owned()),
            peer: context.peer.map(|peer| peer.to_string()).unwrap_or_default(),
            request_id: context.request_id.clone(),
            action: action.to_owned(),
            target: target.to_owned(),
            detail: detail.to_string(),
        }
    }

    /// What the platform did, or what happened to it, without a request.
    pub fn of_platform(time: Timestamp, action: &str, target: &str, detail: &str) -> Self {
        Self {
            time: time.as_microsecond(),
            actor: PLATFORM.to_owned(),
            peer: String::new(),
            request_id: String::new(),
            action: action.to_owned(),
            target: target.to_owned(),
            detail: detail.to_owned(),
        }
    }

    /// What a command did to `target`.
    pub fn of_command(action: &str, target: &str, detail: &Value) -> Self {
        let context = RequestContext::internal();
        Self { actor: COMMAND_LINE.to_owned(), ..Self::of(&context, action, target, detail) }
    }
}

/// The row of a submission, if a client made it. What the platform does by itself is not in the log. The
/// journal appends it in the transaction that accepts the submission: neither is there without the other.
pub(crate) fn of_submission(accepted: &Accepted) -> Option<Entry> {
    let Accepted { evaluation, submission, context } = accepted;
    let is_of_client = context.peer.is_some() || context.principal.is_some();
    is_of_client.then(|| {
        let (id, detail) = (evaluation.id.to_string(), submission_detail(submission));
        Entry::of(context, actions::SUBMIT, &id, &detail)
    })
}

/// What the log has of a program: the hash of its text, and sizes.
fn submission_detail(submission: &Submission) -> Value {
    let code = Hash(Sha256::digest(&submission.code).into()).to_string();
    serde_json::json!({
        "code_sha256": code,
        "code_bytes": submission.code.len(),
        "stdin_bytes": submission.stdin.len(),
        "files": submission.files.len(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::DataDir;

    #[tokio::test]
    async fn rows_about_refusals_are_bounded_and_counted() {
        let store = Store::open(DataDir::scratch().unwrap()).unwrap();
        let log = AuditLog::new(Arc::clone(&store));
        let entry = |actor: &str| {
            let context =
                RequestContext { principal: Some(actor.to_owned()), ..RequestContext::internal() };
            Entry::of(&context, actions::REFUSE, "GET /audit", &serde_json::json!({}))
        };
        for _ in 0..1000 {
            log.record_refused(entry("a"));
        }
        log.record_refused(entry("b"));
        store.write(|_| Ok(())).await.unwrap();
        let written = log.head().await.unwrap().number;
        assert!(
            (61..200).contains(&written),
            "one more for each second that this takes: {written}"
        );
        let omitted = log.omitted.lock().unwrap()["a"];
        assert_eq!(omitted + u64::try_from(written).unwrap(), 1001);
        // The row of the next minute.
        let later = AuditLog {
            refused: RateLimit::per_minute("audit", MAX_REFUSED_PER_MINUTE),
            ..Arc::into_inner(log).unwrap()
        };
        let row = later.counted(entry("a")).unwrap();
        assert_eq!(row.detail, serde_json::json!({ "rows_omitted": omitted }).to_string());
        assert!(later.counted(entry("a")).unwrap().detail == "{}");
    }
}
