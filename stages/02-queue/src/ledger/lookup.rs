//! Lookups in the ledger and in the archive, as one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::EvaluationsError::NotFound;
use shared::{Evaluation, EvaluationsError, Page, Query};
use uuid::Uuid;

use super::live::Live;
use super::{Ledger, LedgerStats, internal};
use crate::archive::paginate;
use crate::blocking::off_runtime;

impl Ledger {
    /// The evaluation with this id, live or from the archive.
    ///
    /// # Errors
    ///
    /// Not found, or internal when the archive cannot be read.
    pub async fn get(&self, id: Uuid) -> Result<Evaluation, EvaluationsError> {
        // What ends between the two lookups is found by the second: the archive has it before the
        // table loses it.
        let live = self.table().get(id);
        match live {
            Some(live) => Ok(live.snapshot()),
            None => self.parts.archive.get(id).await.map_err(internal)?.ok_or(NotFound),
        }
    }

    /// The same, as soon as it has ended, or after `timeout`.
    ///
    /// # Errors
    ///
    /// Not found, or internal when the archive cannot be read.
    pub async fn wait(&self, id: Uuid, timeout: Duration) -> Result<Evaluation, EvaluationsError> {
        let end = self.table().end(id);
        if let Some(mut end) = end
            && let Ok(Ok(ended)) =
                tokio::time::timeout(timeout, end.wait_for(Option::is_some)).await
            && let Some(ended) = ended.as_ref()
        {
            return Ok(Evaluation::clone(ended));
        }
        // After the timeout it is returned as it is. It may also have ended when nothing waited yet.
        self.get(id).await
    }

    /// A page of live and archived evaluations, newest first.
    ///
    /// # Errors
    ///
    /// Internal when the archive cannot be read.
    pub async fn list(&self, query: &Query) -> Result<Page, EvaluationsError> {
        let (candidates, limit) = (self.table().candidates(query), query.limit);
        let snapshot = |one: Live| Arc::new(one.snapshot());
        let bytes = candidates.iter().map(Live::max_output_bytes).fold(0, usize::saturating_add);
        let live = off_runtime(bytes, move || paginate(candidates, limit, snapshot));
        let live = live.await.map_err(internal)?;
        let archived = self.parts.archive.list(query).await.map_err(internal)?;
        let items = live.items.iter().chain(&archived.items);
        let bytes = items.map(|one| one.stdout.text.len() + one.stderr.text.len()).sum();
        off_runtime(bytes, move || merge(live, archived, limit)).await.map_err(internal)
    }

    /// How many evaluations there are.
    pub fn stats(&self) -> LedgerStats {
        self.table().stats()
    }
}

/// One page of what is live and what is archived.
pub(crate) fn merge(live: Page, archived: Page, limit: usize) -> Page {
    // A page that was cut knows nothing of what is older than its last item.
    let known_from = live.next_cursor.max(archived.next_cursor);
    // By id: what ended between the two lookups is in both, and the archived one is the newer.
    let both = live.items.into_iter().chain(archived.items).map(|one| (one.id, one));
    let mut both: BTreeMap<_, _> = both.collect();
    if let Some(from) = known_from {
        both = both.split_off(&from);
    }
    let mut page = paginate(both.into_values().rev(), limit, |one| one);
    if known_from.is_some() {
        page.next_cursor = page.items.last().map(|last| last.id);
    }
    page
}
