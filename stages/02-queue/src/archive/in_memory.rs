//! An archive in memory, bounded by number and by bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::{BoxFuture, Evaluation, Page, Query};
use uuid::Uuid;

use super::{Archive, ArchiveError, matches, older_than, paginate};
use crate::blocking::off_runtime;

/// How much an archive in memory may store, or stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Evaluations.
    pub entries: usize,
    /// Bytes of all of them together, approximately.
    pub bytes: usize,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self { entries: 1000, bytes: 64 << 20 }
    }
}

/// The recorded usage of an archive is not the real one.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("recorded are {recorded:?}, stored are {real:?}")]
pub struct UsageMismatch {
    /// As counted on the way.
    pub recorded: ArchiveLimits,
    /// As counted now.
    pub real: ArchiveLimits,
}

/// Stores the evaluations that ended last. At its limits, the one that ended first is removed.
pub struct InMemoryArchive {
    limits: ArchiveLimits,
    /// Ties `evaluations`, `order` and `bytes` to each other: they change together.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    evaluations: BTreeMap<Uuid, Arc<Evaluation>>,
    /// Their ids, the first to end first.
    order: VecDeque<Uuid>,
    bytes: usize,
}

impl InMemoryArchive {
    /// An empty archive.
    pub fn new(limits: ArchiveLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Inserts `ended`, and returns the ids of those that were removed to make room for it.
    pub fn store(&self, ended: Evaluation) -> Vec<Uuid> {
        let (mut state, mut removed) = (self.state(), Vec::new());
        state.remove(ended.id);
        state.bytes += approximate_size(&ended);
        state.order.push_back(ended.id);
        state.evaluations.insert(ended.id, Arc::new(ended));
        while state.order.len() > self.limits.entries || state.bytes > self.limits.bytes {
            // The one that has just ended stays, however large: a client may wait for it.
            let oldest = state.order.front().copied().filter(|_| state.order.len() > 1);
            let Some(oldest) = oldest else { break };
            state.remove(oldest);
            removed.push(oldest);
        }
        removed
    }

    /// Removes an evaluation. False when there is none of this id.
    pub fn remove(&self, id: Uuid) -> bool {
        self.state().remove(id)
    }

    /// How much is stored now.
    pub fn usage(&self) -> ArchiveLimits {
        let state = self.state();
        ArchiveLimits { entries: state.order.len(), bytes: state.bytes }
    }

    /// How much may be stored.
    pub fn limits(&self) -> ArchiveLimits {
        self.limits
    }

    /// Checks that the recorded usage is the real one.
    ///
    /// # Errors
    ///
    /// When they differ.
    pub fn check_invariants(&self) -> Result<ArchiveLimits, UsageMismatch> {
        let (recorded, state) = (self.usage(), self.state());
        let bytes: usize = state.evaluations.values().map(|one| approximate_size(one)).sum();
        let entries = state.evaluations.len();
        let real = ArchiveLimits { entries, bytes };
        if real == recorded { Ok(recorded) } else { Err(UsageMismatch { recorded, real }) }
    }

    /// The evaluation with this id, if it is stored.
    pub fn find(&self, id: Uuid) -> Option<Evaluation> {
        // Copied without the lock: it may have megabytes of output.
        let found = self.state().evaluations.get(&id).map(Arc::clone);
        found.map(Arc::unwrap_or_clone)
    }

    /// A page of what is stored, newest first.
    pub fn page(&self, query: &Query) -> Page {
        paginate(self.candidates(query), query.limit, |one| one)
    }

    /// What a page may have, newest first: one more than its limit.
    fn candidates(&self, query: &Query) -> Vec<Arc<Evaluation>> {
        let state = self.state();
        let older = state.evaluations.range(older_than(query)).rev();
        let matching = older.map(|(_, one)| one).filter(|one| matches(query, one));
        matching.take(query.limit.saturating_add(1)).map(Arc::clone).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Archive for InMemoryArchive {
    fn insert(&self, ended: Evaluation) {
        self.store(ended);
    }

    fn get(&self, id: Uuid) -> BoxFuture<'_, Result<Option<Evaluation>, ArchiveError>> {
        Box::pin(std::future::ready(Ok(self.find(id))))
    }

    fn list<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Page, ArchiveError>> {
        Box::pin(async {
            let (candidates, limit) = (self.candidates(query), query.limit);
            let bytes = candidates.iter().map(|one| approximate_size(one)).sum();
            let page = off_runtime(bytes, move || paginate(candidates, limit, |one| one));
            page.await.map_err(|error| ArchiveError(error.into()))
        })
    }
}

impl State {
    fn remove(&mut self, id: Uuid) -> bool {
        let Some(evaluation) = self.evaluations.remove(&id) else { return false };
        self.bytes -= approximate_size(&evaluation);
        // The oldest goes most often, and it stands in front.
        if let Some(at) = self.order.iter().position(|other| *other == id) {
            self.order.remove(at);
        }
        true
    }
}

/// The size of an evaluation in bytes, approximately.
fn approximate_size(evaluation: &Evaluation) -> usize {
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
    use shared::{Limits, Outcome, Output, Status};

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
            sandbox: None,
            owner: None,
            timing: Timing {
                submitted_at: Timestamp::now(),
                started_at: None,
                finished_at: None,
                queue_wait_ms: None,
            },
            attempt: 1,
            labels: [("run".to_owned(), label.to_owned())].into(),
            artifacts: Vec::new(),
            error: None,
        }
    }

    fn ids(page: &Page) -> Vec<Uuid> {
        page.items.iter().map(|one| one.id).collect()
    }

    #[test]
    fn the_first_to_end_makes_room() {
        let archive = InMemoryArchive::new(ArchiveLimits { entries: 2, bytes: 1 << 20 });
        let [first, second, third] = ["a", "b", "c"].map(|label| ended(0, label));
        assert!(archive.store(first.clone()).is_empty());
        assert!(archive.store(second.clone()).is_empty());
        assert_eq!(archive.store(third), [first.id]);
        assert_eq!((archive.find(first.id), archive.find(second.id)), (None, Some(second)));
        assert_eq!(archive.check_invariants().unwrap().entries, 2);
    }

    #[test]
    fn bytes_are_bounded_but_the_last_one_stays() {
        let archive = InMemoryArchive::new(ArchiveLimits { entries: 100, bytes: 10_000 });
        let [small, large] = [100, 50_000].map(|output| ended(output, ""));
        archive.store(small.clone());
        assert_eq!(archive.store(large.clone()), [small.id]);
        assert_eq!(archive.find(large.id), Some(large));
        archive.store(small.clone());
        assert_eq!(archive.usage().entries, 1);
        assert!(archive.check_invariants().unwrap().bytes < 10_000);
        assert!(archive.remove(small.id) && !archive.remove(small.id));
        assert_eq!(archive.usage(), ArchiveLimits { entries: 0, bytes: 0 });
    }

    #[test]
    fn pages_are_newest_first_and_hold_what_was_asked_for() {
        let archive = InMemoryArchive::new(ArchiveLimits::default());
        let all = ["a", "b", "a", "a"].map(|label| ended(0, label));
        for one in &all {
            archive.insert(one.clone());
        }
        let label = Some(("run".to_owned(), "a".to_owned()));
        let query = Query { label, limit: 2, ..Query::default() };
        let first = archive.page(&query);
        assert_eq!(ids(&first), [all[3].id, all[2].id]);
        assert_eq!(first.next_cursor, Some(all[2].id));
        let rest = archive.page(&Query { cursor: first.next_cursor, ..query });
        assert_eq!((ids(&rest), rest.next_cursor), (vec![all[0].id], None));
        let failed = Query { status: Some(Status::Failed), limit: 9, ..Query::default() };
        assert!(archive.page(&failed).items.is_empty());
    }
}
