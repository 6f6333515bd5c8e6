//! The archive: where an evaluation goes when it has ended.
//!
//! The ledger has what waits and what runs. What has ended it inserts, once, into an [`Archive`]:
//! here into [`InMemoryArchive`], which retains the newest; a later stage has a durable one.

mod in_memory;

pub use in_memory::{ArchiveLimits, InMemoryArchive, UsageMismatch};

use std::sync::Arc;

use shared::{BoxError, BoxFuture, Evaluation, Page, Query};
use uuid::Uuid;

use crate::evaluation_json::json_size;

/// Bytes of JSON on one page of a list, unless the first evaluation alone has more.
pub const MAX_PAGE_BYTES: usize = 2 << 20;

/// Why the archive could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the archive of evaluations cannot be read")]
pub struct ArchiveError(#[source] pub BoxError);

// ANCHOR: archive
/// Stores the evaluations that have ended.
pub trait Archive: Send + Sync {
    /// Inserts an evaluation, after its end was committed.
    ///
    /// Called while the ledger is locked and before waiters wake, so that they always find it. It
    /// must neither block nor call the ledger.
    fn insert(&self, ended: Evaluation);

    /// The evaluation with this id, if it is stored.
    fn get(&self, id: Uuid) -> BoxFuture<'_, Result<Option<Evaluation>, ArchiveError>>;

    /// A page of what is stored, newest first, of at most [`MAX_PAGE_BYTES`].
    fn list<'a>(&'a self, query: &'a Query) -> BoxFuture<'a, Result<Page, ArchiveError>>;
}
// ANCHOR_END: archive

/// Whether an evaluation passes the filters of a query. The limit and the cursor are not considered.
pub fn matches(query: &Query, evaluation: &Evaluation) -> bool {
    let has_label = |(key, value): &(String, String)| evaluation.labels.get(key) == Some(value);
    query.status.is_none_or(|status| status == evaluation.status)
        && query.outcome.is_none_or(|outcome| Some(outcome) == evaluation.outcome)
        && query.owner.as_ref().is_none_or(|owner| Some(owner) == evaluation.owner.as_ref())
        && query.label.as_ref().is_none_or(has_label)
}

/// The range of ids older than the cursor of a query.
pub(crate) fn older_than(query: &Query) -> impl std::ops::RangeBounds<Uuid> + use<> {
    use std::ops::Bound::{Excluded, Unbounded};
    (Unbounded, query.cursor.map_or(Unbounded, Excluded))
}

/// The first `limit` of `newest_first` and at most [`MAX_PAGE_BYTES`] of JSON, but at least one; and
/// the cursor of the next page if there are more.
pub(crate) fn paginate<T>(
    newest_first: impl IntoIterator<Item = T>,
    limit: usize,
    evaluation: impl Fn(T) -> Arc<Evaluation>,
) -> Page {
    let (mut items, mut left, mut more) = (Vec::<Arc<Evaluation>>::new(), MAX_PAGE_BYTES, false);
    for one in newest_first {
        more = items.len() == limit;
        if more {
            break;
        }
        let one = evaluation(one);
        let size = json_size(one.as_ref(), left);
        more = size.is_none() && !items.is_empty();
        if more {
            break;
        }
        left -= size.unwrap_or(left);
        items.push(one);
    }
    let next_cursor = items.last().filter(|_| more).map(|last| last.id);
    Page { items, next_cursor }
}
