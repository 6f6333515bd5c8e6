//! The files of one evaluation, without its outputs.

use std::sync::Arc;

use rusqlite::OptionalExtension as _;
use shared::Evaluation;
use uuid::Uuid;

use super::SqliteStorage;
use crate::artifacts::StoredArtifact;
use crate::files::{FileStorage, Part};
use crate::store::StoreError;

impl SqliteStorage {
    /// The files that an evaluation has left, in the order of its list. None when no such evaluation has
    /// ended.
    pub(crate) async fn artifacts(
        &self,
        id: Uuid,
    ) -> Result<Option<Vec<StoredArtifact>>, StoreError> {
        let read = self.inner.store.read(move |db| {
            let record = db
                .prepare_cached(
                    "SELECT record FROM evaluations WHERE id = ?1 AND outcome IS NOT NULL",
                )?
                .query_row([id.into_bytes()], |row| row.get::<_, String>(0))
                .optional()?;
            let Some(record) = record else { return Ok(None) };
            let evaluation: Evaluation = serde_json::from_str(&record)?;
            let digests = db
                .prepare_cached(
                    "SELECT digest, pack FROM artifacts WHERE evaluation = ?1 ORDER BY number",
                )?
                .query_map([id.into_bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<Vec<(String, Option<String>)>, _>>()?;
            let mut end = 0;
            let stored = evaluation.artifacts.into_iter().zip(digests);
            let stored = stored.map(|(artifact, (digest, pack))| {
                let bytes = artifact.bytes;
                // In a pack they follow each other in the order of the list.
                let offset = if pack.is_some() { end } else { 0 };
                end += bytes;
                let file = pack.unwrap_or_else(|| digest.clone());
                StoredArtifact { artifact, part: Part { file, offset, bytes, digest } }
            });
            Ok(Some(stored.collect()))
        });
        let found = read.await?;
        Ok(found.filter(|_| !self.inner.unpublished.ids().contains(&id)))
    }

    /// Reads the database that evaluations are stored in.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&rusqlite::Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.inner.store.read(query).await
    }

    /// Where the files are.
    pub(crate) fn files(&self) -> Arc<FileStorage> {
        Arc::clone(&self.inner.files)
    }
}
