//! Counts what each key uses, where every change of an evaluation passes: at the journal.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, params};
use shared::{BoxFuture, Evaluation, Event};
use stage_02_queue::{Accepted, Change, Journal, JournalError, Transition};

use super::quotas::{Quotas, day_of};
use crate::audit::{self, AuditLog};
use crate::store::{Store, StoreError};

/// Days whose processor time is kept.
const KEPT_DAYS: i64 = 31;

/// Passes changes on to `inner`, and counts those that were committed.
pub(crate) struct UsageJournal {
    inner: Arc<dyn Journal>,
    quotas: Arc<Quotas>,
    store: Arc<Store>,
}

impl UsageJournal {
    /// A journal in front of `inner`. What keys have used before is read from `store`.
    ///
    /// # Errors
    ///
    /// When the database cannot be used.
    pub(crate) async fn start(
        inner: Arc<dyn Journal>,
        quotas: Arc<Quotas>,
        store: Arc<Store>,
    ) -> Result<Arc<Self>, StoreError> {
        let today = day_of(Timestamp::now());
        let (used, live) = store.write(move |database| restore(database, today)).await?;
        for (key, cpu_ms) in used {
            quotas.restore_cpu(&key, today, cpu_ms);
        }
        // What was queued or ran before the restart is queued again.
        for (owner, count) in live {
            (0..count).for_each(|_| quotas.accepted(&owner));
        }
        Ok(Arc::new(Self { inner, quotas, store }))
    }

    fn count(&self, transition: &Transition) {
        match transition {
            Transition::Accepted(accepted) => {
                self.audit(accepted);
                if let Some(owner) = &accepted.evaluation.owner {
                    self.quotas.accepted(owner);
                }
            }
            Transition::Started(evaluation) => {
                if let Some(owner) = &evaluation.owner {
                    self.quotas.started(owner);
                }
            }
            Transition::Retried(retried) => {
                self.ended(&retried.lost);
                if let Some(owner) = &retried.waiting.owner {
                    self.quotas.accepted(owner);
                }
            }
            Transition::Ended(evaluation) => self.ended(evaluation),
        }
    }

    /// Without a durable journal, which does it with the acceptance.
    fn audit(&self, accepted: &Accepted) {
        if self.inner.is_durable() {
            return;
        }
        if let Some(entry) = audit::of_submission(accepted) {
            AuditLog::append_later(&self.store, entry);
        }
    }

    fn ended(&self, evaluation: &Evaluation) {
        let Some(owner) = evaluation.owner.clone() else { return };
        let (ran, now) = (evaluation.timing.started_at.is_some(), Timestamp::now());
        // An engine that does not know the processor time knows the elapsed time, which is no less.
        let usage = evaluation.usage.map(|usage| usage.cpu_ms.unwrap_or(usage.wall_ms));
        let cpu_ms = usage.unwrap_or(0);
        self.quotas.ended(&owner, ran, cpu_ms, now);
        if cpu_ms == 0 {
            return;
        }
        self.store.write_behind(
            move |database| add_cpu(database, &owner, day_of(now), cpu_ms),
            |result| {
                if let Err(error) = result {
                    tracing::warn!(%error, "the processor time of a key was not recorded");
                }
            },
        );
    }
}

impl Journal for UsageJournal {
    fn commit<'a>(&'a self, change: &'a Change) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            self.inner.commit(change).await?;
            self.count(&change.transition);
            Ok(())
        })
    }

    fn commit_all<'a>(&'a self, changes: &'a [Change]) -> BoxFuture<'a, Result<(), JournalError>> {
        Box::pin(async move {
            self.inner.commit_all(changes).await?;
            for change in changes {
                self.count(&change.transition);
            }
            Ok(())
        })
    }

    fn publish(&self, events: Vec<Event>) {
        self.inner.publish(events);
    }

    fn is_durable(&self) -> bool {
        self.inner.is_durable()
    }
}

fn add_cpu(database: &Connection, key: &str, day: i64, cpu_ms: u64) -> Result<(), StoreError> {
    let insert = "INSERT INTO key_usage (key, day, cpu_ms) VALUES (?1, ?2, ?3) \
                  ON CONFLICT (key, day) DO UPDATE SET cpu_ms = cpu_ms + excluded.cpu_ms";
    let cpu_ms = i64::try_from(cpu_ms).unwrap_or(i64::MAX);
    database.prepare_cached(insert)?.execute(params![key, day, cpu_ms])?;
    Ok(())
}

type Restored = (Vec<(String, u64)>, Vec<(String, u64)>);

/// What each key has used today, and how many evaluations of each owner have not ended.
fn restore(database: &Connection, today: i64) -> Result<Restored, StoreError> {
    database.execute("DELETE FROM key_usage WHERE day < ?1", [today - KEPT_DAYS])?;
    let pairs = |query: &str, parameters: &[&dyn rusqlite::ToSql]| {
        let mut select = database.prepare(query)?;
        let pair = |row: &rusqlite::Row<'_>| {
            let number: i64 = row.get(1)?;
            Ok((row.get(0)?, number.unsigned_abs()))
        };
        let pairs = select.query_map(parameters, pair)?.collect::<Result<Vec<_>, _>>()?;
        Ok::<_, StoreError>(pairs)
    };
    let used = pairs("SELECT key, cpu_ms FROM key_usage WHERE day = ?1", &[&today])?;
    let live = "SELECT owner, count(*) FROM evaluations WHERE outcome IS NULL AND owner <> '' \
                GROUP BY owner";
    Ok((used, pairs(live, &[])?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::QuotaLimits;
    use crate::store::DataDir;

    #[tokio::test]
    async fn processor_time_and_waiting_evaluations_survive_a_restart() {
        let store = Store::open(DataDir::scratch().unwrap()).unwrap();
        let today = day_of(Timestamp::now());
        let write = store.write(move |database| {
            add_cpu(database, "a", today, 6_000)?;
            add_cpu(database, "a", today, 5_000)?;
            add_cpu(database, "b", today - 1, 99_000)?;
            add_cpu(database, "c", today - 40, 99_000)?;
            database.execute_batch(
                "INSERT INTO evaluations (id, status, owner, attempt, submitted_at, record, bytes) \
                 VALUES (x'00', 'queued', 'b', 1, 0, '{}', 0), (x'01', 'running', 'b', 1, 0, '{}', 0)",
            )?;
            Ok(())
        });
        write.await.unwrap();
        let limits = QuotaLimits { queued: 2, capacity: 9, cpu_seconds_per_day: 10 };
        let quotas = Quotas::new(limits);
        let inner = Arc::new(stage_02_queue::InMemoryJournal::new(Arc::new(shared::NoopSink)));
        UsageJournal::start(inner, Arc::clone(&quotas), Arc::clone(&store)).await.unwrap();
        let now = Timestamp::now();
        assert!(quotas.reserve("a", 1, now).is_err(), "its 10 s of today are used");
        assert!(quotas.reserve("b", 1, now).is_err(), "its two places are taken");
        assert!(quotas.reserve("c", 1, now).is_ok());
        let left = store.read(|database| {
            let count: i64 =
                database.query_row("SELECT count(*) FROM key_usage", [], |row| row.get(0))?;
            Ok(count)
        });
        assert_eq!(left.await.unwrap(), 2, "old days are removed");
    }
}
