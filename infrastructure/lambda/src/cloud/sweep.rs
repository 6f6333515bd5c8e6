//! The sweep, which a schedule starts every minute: it publishes what was committed and not published, and gives
//! back what a lost worker has had.

use std::time::Duration;

use serde::Serialize;
use shared::Verdict;
use shared::evaluation::Status;

use super::row::{QUEUED, RUNNING, Row, millis_in};
use super::table::{DUE_INDEX, Search, id_of, number, text};
use super::transitions::{Ended, while_lost};
use super::{Cloud, CloudError};

/// Evaluations that one sweep looks at, of each kind: what is left is the next one's.
const MAX_SWEPT: usize = 500;

/// What a sweep has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Swept {
    /// Tickets that were published.
    published: usize,
    /// Evaluations that wait again, because the lease of their worker had expired.
    requeued: usize,
    /// Evaluations that have ended with that.
    lost: usize,
}

impl Cloud {
    // ANCHOR: sweep
    /// Repairs what a function or a worker has left that was killed. Two sweeps at once do no harm: each change has
    /// a condition.
    pub(crate) async fn sweep(&self) -> Result<Swept, CloudError> {
        let mut swept = Swept::default();
        for row in self.due(RUNNING).await? {
            let (due, token) = (row.number::<i64>("due"), row.text("token").unwrap_or_default());
            // The index may be older than the item.
            if row.status != Status::Running || due > millis_in(Duration::ZERO) {
                continue;
            }
            let seconds = self.options.lease.as_secs_f64();
            let why = format!("its worker gave no sign of life for {seconds} s");
            let verdict = Verdict::worker_lost("lease", why);
            match self.lose(&row, while_lost(token, due), verdict).await? {
                Ended::Requeued => swept.requeued += 1,
                Ended::Recorded => swept.lost += 1,
                Ended::Fenced => {}
            }
        }
        let is_idle = self.places().await? > self.queue(RUNNING).await?.len();
        for row in self.due(QUEUED).await? {
            // A ticket of its own waits in the queue, as long as all workers are busy.
            let was_published = row.item.contains_key("published");
            let is_due = row.number::<i64>("due") <= millis_in(Duration::ZERO);
            if row.status == Status::Queued && is_due && (is_idle || !was_published) {
                swept.published += usize::from(self.publish(&row, row.attempt).await);
            }
        }
        Ok(swept)
    }
    // ANCHOR_END: sweep

    /// What is due of what waits, or of what runs.
    async fn due(&self, queue: &str) -> Result<Vec<Row>, CloudError> {
        let search = Search {
            index: Some(DUE_INDEX),
            condition: "#queue = :queue AND #due <= :now",
            values: vec![("queue", text(queue)), ("now", number(millis_in(Duration::ZERO)))],
            ..Search::default()
        };
        let mut rows = Vec::new();
        for item in self.table.all(search, MAX_SWEPT).await? {
            if let Some(id) = id_of(&item) {
                rows.extend(self.row(id).await?);
            }
        }
        Ok(rows)
    }
}
