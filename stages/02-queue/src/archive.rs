//! Where evaluations go when they have ended, and how the queue's own archive forgets them.
//!
//! The queue holds what waits and what runs. What has ended it hands over, once, to an [`Archive`]:
//! here to [`InMemoryArchive`], which keeps the newest in memory; a later stage gives it a real store.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::{Evaluation, Page, Query};
use uuid::Uuid;

// ANCHOR: archive
/// Takes over the evaluations that have ended.
pub trait Archive: Send + Sync {
    /// Takes one over.
    ///
    /// Called while the queue is locked, and before anybody who waits for the end is told: whoever
    /// was told finds the evaluation here. It must neither block nor call the queue.
    fn keep(&self, ended: Evaluation);

    /// The evaluation with this id, if it is still kept.
    fn get(&self, id: Uuid) -> Option<Evaluation>;

    /// A page of what is kept, newest first.
    fn list(&self, query: &Query) -> Page;
}
// ANCHOR_END: archive

/// How much an archive in memory may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Evaluations.
    pub entries: usize,
    /// Bytes of all of them together, about.
    pub bytes: usize,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self { entries: 1000, bytes: 64 << 20 }
    }
}

/// Keeps the evaluations that ended last. The one that ended first makes room for the newest.
pub struct InMemoryArchive {
    bounds: ArchiveLimits,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    evaluations: BTreeMap<Uuid, Evaluation>,
    /// Their ids, the first to end first.
    order: VecDeque<Uuid>,
    bytes: usize,
}

impl InMemoryArchive {
    /// An empty archive.
    pub fn new(bounds: ArchiveLimits) -> Self {
        Self { bounds, kept: Mutex::default() }
    }

    /// Keeps `ended`, and gives the ids of those that had to make room for it.
    pub fn put(&self, ended: Evaluation) -> Vec<Uuid> {
        let (mut kept, mut gone) = (self.kept(), Vec::new());
        kept.remove(ended.id);
        kept.bytes += weight(&ended);
        kept.order.push_back(ended.id);
        kept.evaluations.insert(ended.id, ended);
        while kept.order.len() > self.bounds.entries || kept.bytes > self.bounds.bytes {
            // The one that has just ended stays, however large: somebody waits for it.
            let oldest = kept.order.front().copied().filter(|_| kept.order.len() > 1);
            let Some(oldest) = oldest else { break };
            kept.remove(oldest);
            gone.push(oldest);
        }
        gone
    }

    /// Forgets an evaluation. False when there is no such one.
    pub fn remove(&self, id: Uuid) -> bool {
        self.kept().remove(id)
    }

    /// How much is held now.
    pub fn held(&self) -> ArchiveLimits {
        let kept = self.kept();
        ArchiveLimits { entries: kept.order.len(), bytes: kept.bytes }
    }

    /// What it may hold.
    pub fn bounds(&self) -> ArchiveLimits {
        self.bounds
    }

    /// Counts again what is held, and compares it with what was counted on the way.
    ///
    /// # Errors
    ///
    /// What does not agree.
    pub fn audit(&self) -> Result<ArchiveLimits, String> {
        let (held, kept) = (self.held(), self.kept());
        let bytes: usize = kept.evaluations.values().map(weight).sum();
        let entries = kept.evaluations.len();
        if (ArchiveLimits { entries, bytes }) == held {
            Ok(held)
        } else {
            Err(format!("{held:?} are on the books, {entries} entries of {bytes} bytes are held"))
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Archive for InMemoryArchive {
    fn keep(&self, ended: Evaluation) {
        self.put(ended);
    }

    fn get(&self, id: Uuid) -> Option<Evaluation> {
        self.kept().evaluations.get(&id).cloned()
    }

    fn list(&self, query: &Query) -> Page {
        let kept = self.kept();
        let below = kept.evaluations.range(older_than(query)).rev();
        page(below.map(|(_, it)| it).filter(|it| query.wants(it)), query.limit, Clone::clone)
    }
}

impl Kept {
    fn remove(&mut self, id: Uuid) -> bool {
        let Some(evaluation) = self.evaluations.remove(&id) else { return false };
        self.bytes -= weight(&evaluation);
        // The oldest goes most often, and it stands in front.
        if let Some(at) = self.order.iter().position(|other| *other == id) {
            self.order.remove(at);
        }
        true
    }
}

/// The ids that a query's cursor leaves.
pub(crate) fn older_than(query: &Query) -> impl std::ops::RangeBounds<Uuid> + use<> {
    use std::ops::Bound::{Excluded, Unbounded};
    (Unbounded, query.cursor.map_or(Unbounded, Excluded))
}

/// The first `limit` of `newest_first`, and where to go on when there are more.
pub(crate) fn page<T>(
    mut newest_first: impl Iterator<Item = T>,
    limit: usize,
    evaluation: impl Fn(T) -> Evaluation,
) -> Page {
    let items: Vec<_> = newest_first.by_ref().take(limit).map(evaluation).collect();
    let more = newest_first.next().is_some();
    let next_cursor = items.last().filter(|_| more).map(|last| last.id);
    Page { items, next_cursor }
}

/// About how many bytes an evaluation takes.
fn weight(evaluation: &Evaluation) -> usize {
    let labels = evaluation.labels.iter().map(|(key, value)| 64 + key.len() + value.len());
    let texts = [&evaluation.stdout.text, &evaluation.stderr.text];
    // A kilobyte stands for the evidence and the small strings.
    size_of::<Evaluation>()
        + 1024
        + texts.iter().map(|text| text.len()).sum::<usize>()
        + labels.sum::<usize>()
        + evaluation.error.as_ref().map_or(0, String::len)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use shared::evaluation::Timing;
    use shared::{Limits, Outcome, Output, SandboxInfo, Status};

    use super::*;

    fn ended(output: usize, label: &str) -> Evaluation {
        Evaluation {
            id: Uuid::now_v7(),
            status: Status::Completed,
            outcome: Some(Outcome::Exited),
            exit_code: Some(0),
            signal: None,
            stdout: Output::new(&vec![b'x'; output], output as u64),
            stderr: Output::default(),
            usage: None,
            limits: Limits {
                timeout_seconds: 1.0,
                cpu_seconds: 1.0,
                memory_bytes: 1,
                pids: 1,
                output_bytes: 1,
                disk_bytes: 1,
                open_files: 1,
            },
            evidence: None,
            sandbox: SandboxInfo::default(),
            timing: Timing {
                submitted_at: Timestamp::now(),
                started_at: None,
                finished_at: None,
                queue_wait_ms: None,
            },
            attempt: 1,
            labels: [("run".to_owned(), label.to_owned())].into(),
            error: None,
        }
    }

    fn ids(page: &Page) -> Vec<Uuid> {
        page.items.iter().map(|one| one.id).collect()
    }

    #[test]
    fn the_first_to_end_makes_room() {
        let recent = InMemoryArchive::new(ArchiveLimits { entries: 2, bytes: 1 << 20 });
        let [first, second, third] = ["a", "b", "c"].map(|label| ended(0, label));
        assert!(recent.put(first.clone()).is_empty());
        assert!(recent.put(second.clone()).is_empty());
        assert_eq!(recent.put(third), [first.id]);
        assert_eq!((recent.get(first.id), recent.get(second.id)), (None, Some(second)));
        assert_eq!(recent.audit().unwrap().entries, 2);
    }

    #[test]
    fn bytes_are_bounded_but_the_last_one_stays() {
        let recent = InMemoryArchive::new(ArchiveLimits { entries: 100, bytes: 10_000 });
        let [small, large] = [100, 50_000].map(|output| ended(output, ""));
        recent.put(small.clone());
        assert_eq!(recent.put(large.clone()), [small.id]);
        assert_eq!(recent.get(large.id), Some(large));
        recent.put(small.clone());
        assert_eq!(recent.held().entries, 1);
        assert!(recent.audit().unwrap().bytes < 10_000);
        assert!(recent.remove(small.id) && !recent.remove(small.id));
        assert_eq!(recent.held(), ArchiveLimits { entries: 0, bytes: 0 });
    }

    #[test]
    fn pages_are_newest_first_and_hold_what_was_asked_for() {
        let recent = InMemoryArchive::new(ArchiveLimits::default());
        let all = ["a", "b", "a", "a"].map(|label| ended(0, label));
        for one in &all {
            recent.keep(one.clone());
        }
        let label = Some(("run".to_owned(), "a".to_owned()));
        let query = Query { label, limit: 2, ..Query::default() };
        let first = recent.list(&query);
        assert_eq!(ids(&first), [all[3].id, all[2].id]);
        assert_eq!(first.next_cursor, Some(all[2].id));
        let rest = recent.list(&Query { cursor: first.next_cursor, ..query });
        assert_eq!((ids(&rest), rest.next_cursor), (vec![all[0].id], None));
        let failed = Query { status: Some(Status::Failed), limit: 9, ..Query::default() };
        assert!(recent.list(&failed).items.is_empty());
    }
}
