//! The item of an evaluation.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use shared::Submission;
use shared::evaluation::{Evaluation, SandboxInfo, Status};
use uuid::Uuid;

use super::CloudError;
use super::blobs::{RECORD, SUBMISSION};
use super::table::{Change, Item, Key, number, number_of, text, text_of};
use super::{Cloud, blobs::Checked};

/// What an evaluation that waits has as its `queue` until its ticket is published, what it has after that, and what one
/// has that runs. Attack: more evaluations wait than a sweep looks at, and hide those without a ticket → these are a queue
/// of their own.
pub(super) const UNPUBLISHED: &str = "unpublished";
pub(super) const QUEUED: &str = "queued";
pub(super) const RUNNING: &str = "running";

/// An evaluation as its item has it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) item: Item,
    pub(super) id: Uuid,
    pub(super) status: Status,
    pub(super) attempt: u32,
}

/// The key of an evaluation's item.
pub(super) fn key(id: Uuid) -> Key {
    Key::new(format!("eval#{id}"), "state")
}

/// Milliseconds since the epoch, so much later than now.
pub(super) fn millis_in(time: Duration) -> i64 {
    let time = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    Timestamp::now().as_millisecond().saturating_add(time)
}

/// Seconds since the epoch, as `expires` has them, so much later than now.
pub(super) fn seconds_in(time: Duration) -> i64 {
    millis_in(time) / 1000
}

/// The name of a status, as it is in JSON.
pub(super) fn status_text(status: Status) -> &'static str {
    match status {
        Status::Queued => "queued",
        Status::Running => "running",
        Status::Completed => "completed",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
    }
}

/// Where what waits is expected to run.
pub(super) fn expected(engine: &str) -> SandboxInfo {
    SandboxInfo { engine: engine.to_owned(), ..SandboxInfo::default() }
}

impl Row {
    /// The evaluation that an item is.
    pub(super) fn read(item: Item) -> Result<Self, CloudError> {
        let invalid = |attribute| CloudError::Item {
            item: text_of(&item, "pk").unwrap_or_default().to_owned(),
            attribute,
        };
        let id = text_of(&item, "id").and_then(|id| id.parse().ok());
        let status = text_of(&item, "status").map(|status| serde_json::from_value(status.into()));
        let (id, status) = (
            id.ok_or_else(|| invalid("id"))?,
            status.and_then(Result::ok).ok_or_else(|| invalid("status"))?,
        );
        let attempt = number_of(&item, "attempt").ok_or_else(|| invalid("attempt"))?;
        Ok(Self { item, id, status, attempt })
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        text_of(&self.item, name)
    }

    pub(super) fn number<T: std::str::FromStr + Default>(&self, name: &str) -> T {
        number_of(&self.item, name).unwrap_or_default()
    }

    /// Whether this is the token of the session that runs it.
    pub(super) fn has_token(&self, token: &str) -> bool {
        self.status == Status::Running && self.text("token") == Some(token)
    }

    /// Whether the session of this token has recorded its end.
    pub(super) fn is_recorded_by(&self, token: &str) -> bool {
        self.status.is_final() && self.text("last_token") == Some(token)
    }

    /// Whether its client has cancelled it while it ran.
    pub(super) fn is_cancelled(&self) -> bool {
        self.item.contains_key("cancel")
    }

    pub(super) fn environment(&self) -> &str {
        self.text("environment").unwrap_or_default()
    }
}

impl Cloud {
    /// The evaluation with this id, as its last transition has left it. What has expired is absent: the table deletes it
    /// some day, and the bucket may have deleted its objects already. Test: `what_has_expired_is_not_found`.
    pub(super) async fn row(&self, id: Uuid) -> Result<Option<Row>, CloudError> {
        let now = seconds_in(Duration::ZERO);
        let is_valid = |item: &Item| number_of(item, "expires").is_none_or(|at: i64| at > now);
        self.table.get(&key(id)).await?.filter(is_valid).map(Row::read).transpose()
    }

    /// The evaluation as clients see it, without the output of one that runs.
    pub(super) async fn record(&self, row: &Row) -> Result<Evaluation, CloudError> {
        Ok(self.sized_record(row).await?.0)
    }

    /// The same, and the bytes of its JSON.
    pub(super) async fn sized_record(&self, row: &Row) -> Result<(Evaluation, usize), CloudError> {
        let json = self.blobs.check_out(&row.item, RECORD).await?;
        Ok((serde_json::from_slice(&json)?, json.len()))
    }

    pub(super) async fn submission(&self, row: &Row) -> Result<Submission, CloudError> {
        Ok(serde_json::from_slice(&self.blobs.check_out(&row.item, SUBMISSION).await?)?)
    }

    /// The item of an evaluation that was accepted. What is too large for it is written now.
    pub(super) async fn item(
        &self,
        evaluation: &Evaluation,
        submission: &Submission,
        group: &str,
    ) -> Result<Item, CloudError> {
        let id = evaluation.id;
        let mut item = key(id).item();
        let mut add = |name: &str, value: AttributeValue| item.insert(name.to_owned(), value);
        add("kind", text("evaluation"));
        add("id", text(id.to_string()));
        add("owner", text(evaluation.owner.as_deref().unwrap_or("-")));
        add("group", text(group));
        add("status", text(status_text(evaluation.status)));
        add("attempt", number(evaluation.attempt));
        add("max_attempts", number(submission.max_attempts));
        add("environment", text(&*submission.profile));
        add("queue", text(UNPUBLISHED));
        add("due", number(millis_in(self.options.republish)));
        add("expires", number(seconds_in(self.options.retention)));
        let values = [
            (SUBMISSION, format!("{id}/submission"), serde_json::to_string(submission)?),
            (RECORD, format!("{id}/accepted"), serde_json::to_string(evaluation)?),
        ];
        for (name, object, value) in values {
            let (attribute, _, value) = self.blobs.check_in(name, &object, value).await?;
            item.insert(attribute.to_owned(), value);
        }
        Ok(item)
    }

    /// The change with another record of the evaluation.
    ///
    /// Attack: a worker whose session is lost, or a sweep with an old item, writes the object of a record that another
    /// has written → no two writes have the same key. Test: `each_write_of_a_record_has_an_object_of_its_own`.
    pub(super) async fn with_record(
        &self,
        change: Change,
        evaluation: &Evaluation,
    ) -> Result<Change, CloudError> {
        let (record, write) = (serde_json::to_string(evaluation)?, Uuid::now_v7());
        self.with_value(change, RECORD, &format!("{}/{write}/record", evaluation.id), record).await
    }

    async fn with_value(
        &self,
        change: Change,
        name: Checked,
        object: &str,
        value: String,
    ) -> Result<Change, CloudError> {
        let (present, absent, value) = self.blobs.check_in(name, object, value).await?;
        let change = change.set(present, value).remove(absent);
        Ok(change.set("status_at", number(Timestamp::now().as_millisecond())))
    }
}
