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
const MAX_SWEEP_TIME: Duration = Duration::from_secs(20);

/// What a sweep has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Swept {
    /// Tickets that were published.
    published: usize,
    /// Evaluations that wait again, because the lease of their worker had expired.
    requeued: usize,
    /// Evaluations that have ended with that.
    lost: usize,
    /// What could not be repaired: then the sweep is an error.
    #[serde(skip)]
    failed: usize,
}

impl Cloud {
    // ANCHOR: sweep
    /// Repairs what a function or a worker has left that was killed. Two sweeps at once do no harm: each change has
    /// a condition.
    pub(crate) async fn sweep(&self) -> Result<Swept, CloudError> {
        let (mut swept, end) = (Swept::default(), Instant::now() + MAX_SWEEP_TIME);
        for queue in [RUNNING, UNPUBLISHED, QUEUED] {
            // A ticket of its own waits in the queue, as long as all workers are busy.
            if queue == QUEUED && !self.has_idle_worker().await? {
                continue;
            }
            for id in self.due(queue).await? {
                if Instant::now() >= end {
                    break;
                }
                // One that cannot be repaired keeps no other one from it.
                if let Err(error) = self.repair(id, &mut swept).await {
                    tracing::error!(%error, %id, "an evaluation is not repaired");
                    swept.failed += 1;
                }
            }
        }
        // An error of the function rings its alarm.
        match swept.failed {
            0 => Ok(swept),
            count => Err(CloudError::NotRepaired { count }),
        }
    }

    /// Publishes what waits, and gives back what runs, if it is still due: the index may be older than the item.
    async fn repair(&self, id: Uuid, swept: &mut Swept) -> Result<(), CloudError> {
        let Some(row) = self.row(id).await? else { return Ok(()) };
        let due = row.number::<i64>("due");
        if due > millis_in(Duration::ZERO) {
            return Ok(());
        }
        if row.status == Status::Queued {
            let is_published = self.publish(&row, row.attempt).await;
            swept.published += usize::from(is_published);
            swept.failed += usize::from(!is_published);
        } else if row.status == Status::Running {
            let seconds = self.options.lease.as_secs_f64();
            let why = format!("its worker gave no sign of life for {seconds} s");
            let verdict = Verdict::worker_lost("lease", why);
            let lost = while_lost(row.text("token").unwrap_or_default(), due);
            match self.lose(&row, lost, verdict).await? {
                Ended::Requeued => swept.requeued += 1,
                Ended::Recorded => swept.lost += 1,
                Ended::Fenced => {}
            }
        }
        Ok(())
    }
    // ANCHOR_END: sweep

    async fn has_idle_worker(&self) -> Result<bool, CloudError> {
        Ok(self.places().await? > self.queue(RUNNING, MAX_COUNTED).await?.len())
    }

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
