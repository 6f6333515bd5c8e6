//! Lookups in the ledger and in the archive, as one.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::EvaluationsError::NotFound;
use shared::{Evaluation, EvaluationsError, Page, Query};
use uuid::Uuid;

use super::{Ledger, LedgerStats, internal};
use crate::archive::paginate;

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
            Some(evaluation) => Ok(evaluation),
            None => self.parts.archive.get(id).await.map_err(internal)?.ok_or(NotFound),
        }
    }

    /// The same, as soon as it has ended, or after `timeout`.
    ///
    /// # Errors
    ///
    /// Not found, or internal when the archive cannot be read.
    pub async fn wait(&self, id: Uuid, timeout: Duration) -> Result<Evaluation, EvaluationsError> {
        let ended = self.table().ended(id);
        if let Some(ended) = ended {
            // After the timeout the evaluation is returned as it is.
            tokio::time::timeout(timeout, ended.cancelled()).await.ok();
        }
        self.get(id).await
    }

    /// A page of live and archived evaluations, newest first.
    ///
    /// # Errors
    ///
    /// Internal when the archive cannot be read.
    pub async fn list(&self, query: &Query) -> Result<Page, EvaluationsError> {
        let live = self.table().list(query);
        let archived = self.parts.archive.list(query).await.map_err(internal)?;
        let more = live.next_cursor.or(archived.next_cursor).is_some();
        // By id: what ended between the two lookups is in both, and the archived one is the newer.
        // Beyond the end of either page, the other one has what this page would skip.
        let end = live.next_cursor.max(archived.next_cursor);
        let both = live.items.into_iter().chain(archived.items);
        let both = both.filter(|one| end.is_none_or(|end| one.id >= end)).map(|one| (one.id, one));
        let both: BTreeMap<_, _> = both.collect();
        let mut page = paginate(both.into_values().rev(), query.limit, |one| one);
        if more {
            page.next_cursor = page.items.last().map(|last| last.id);
        }
        Ok(page)
    }

    /// How many evaluations there are.
    pub fn stats(&self) -> LedgerStats {
        self.table().stats()
    }
}
