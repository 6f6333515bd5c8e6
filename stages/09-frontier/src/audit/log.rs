//! Writes the audit log of a running server.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use shared::{RequestContext, Submission};
use stage_02_queue::Accepted;
use tokio_util::sync::CancellationToken;

use super::chain::{Entry, Hash, Head};
use super::table;
use crate::store::{Store, StoreError};

/// How often the head is logged, for an operator who stores the log elsewhere.
const HEAD_INTERVAL: Duration = Duration::from_hours(1);
/// The actor of a command.
pub(crate) const COMMAND_LINE: &str = "command-line";
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
}

impl AuditLog {
    /// The log in `store`.
    pub fn new(store: Arc<Store>) -> Arc<Self> {
        Arc::new(Self { store })
    }

    /// Appends a row about what a request did, and returns when it is on disk.
    ///
    /// # Errors
    ///
    /// When it was not written.
    pub async fn record(&self, entry: Entry) -> Result<(), StoreError> {
        self.store.write(move |database| table::append(database, &entry).map(drop)).await
    }

    /// Appends a row behind the request: for what is refused or read, so that it costs no flush.
    pub fn record_later(&self, entry: Entry) {
        self.store.write_then(
            move |database| table::append(database, &entry).map(drop),
            |result| {
                if let Err(error) = result {
                    tracing::error!(%error, "a row of the audit log was not written");
                }
            },
        );
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
