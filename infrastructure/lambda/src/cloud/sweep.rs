//! The sweep, which a schedule starts every minute: it publishes what was committed and not published, and gives
//! back what a lost worker has had.

use std::time::Duration;

use serde::Serialize;
use shared::Verdict;
use shared::evaluation::Status;
use tokio::time::Instant;
use uuid::Uuid;

use super::evaluations::MAX_COUNTED;
use super::row::{QUEUED, RUNNING, UNPUBLISHED, millis_in};
use super::table::{DUE_INDEX, Search, id_of, number, text};
use super::transitions::{Ended, while_lost};
use super::{Cloud, CloudError};

/// Evaluations that one sweep looks at, of each kind: what is left is the next one's.
const MAX_SWEPT: usize = 500;
/// How long a sweep goes on. Lambda ends the function after 29 s.
const MAX_TIME: Duration = Duration::from_secs(20);

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
        let (mut swept, mut failed, end) = (Swept::default(), 0, Instant::now() + MAX_TIME);
        for id in self.due(RUNNING).await? {
            if Instant::now() >= end {
                break;
            }
            let Some(row) = self.row(id).await? else { continue };
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
        let mut waiting = self.due(UNPUBLISHED).await?;
        // A ticket of its own waits in the queue, as long as all workers are busy.
        if self.places().await? > self.queue(RUNNING, MAX_COUNTED).await?.len() {
            waiting.extend(self.due(QUEUED).await?);
        }
        for id in waiting {
            if Instant::now() >= end {
                break;
            }
            let Some(row) = self.row(id).await? else { continue };
            let is_due = row.number::<i64>("due") <= millis_in(Duration::ZERO);
            if row.status == Status::Queued && is_due {
                let is_published = self.publish(&row, row.attempt).await;
                swept.published += usize::from(is_published);
                failed += usize::from(!is_published);
            }
        }
        // An error of the function rings its alarm.
        if failed > 0 { Err(CloudError::NotPublished { count: failed }) } else { Ok(swept) }
    }
    // ANCHOR_END: sweep

    /// What is due of what has this `queue`, the first ones.
    async fn due(&self, queue: &str) -> Result<Vec<Uuid>, CloudError> {
        let search = Search {
            index: Some(DUE_INDEX),
            condition: "#queue = :queue AND #due <= :now",
            values: vec![("queue", text(queue)), ("now", number(millis_in(Duration::ZERO)))],
            // A page of an index has 1 MB otherwise, which is some 14,000 keys.
            limit: i32::try_from(MAX_SWEPT).ok(),
            ..Search::default()
        };
        Ok(self.table.all(search, MAX_SWEPT).await?.iter().filter_map(id_of).collect())
    }
}
