//! What a reader has done so far: `progress.json` beside the answers.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// The name of the file.
const FILE: &str = "progress.json";

/// What a reader has done about one exercise.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Checks that were run.
    pub attempts: u32,
    /// Hints that were shown.
    pub hints: usize,
    /// Whether one of the checks passed.
    pub passed: bool,
}

/// All records, and the file that they are in.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    records: BTreeMap<String, Record>,
}

impl Progress {
    /// Reads the records of `directory`. There are none before the first exercise.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is malformed.
    pub fn load(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE);
        let records = if path.exists() {
            let text = std::fs::read_to_string(&path)?;
            serde_json::from_str(&text).with_context(|| {
                format!("{} is malformed; repair it, or remove it to begin anew", path.display())
            })?
        } else {
            BTreeMap::new()
        };
        Ok(Self { path, records })
    }

    /// The record of the exercise `id`.
    pub fn of(&self, id: &str) -> Record {
        self.records.get(id).copied().unwrap_or_default()
    }

    /// Changes the record of `id`, and writes the file.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; the one before is whole then.
    pub fn change(&mut self, id: &str, change: impl FnOnce(&mut Record)) -> Result<()> {
        change(self.records.entry(id.to_owned()).or_default());
        if let Some(directory) = self.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let text = serde_json::to_string_pretty(&self.records)?;
        let new = self.path.with_extension("new");
        std::fs::write(&new, text + "\n")?;
        std::fs::rename(&new, &self.path)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_kept_and_a_malformed_file_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let mut progress = Progress::load(directory.path()).unwrap();
        progress.change("01-1", |record| record.attempts += 1).unwrap();
        progress.change("01-1", |record| record.passed = true).unwrap();
        let again = Progress::load(directory.path()).unwrap();
        assert_eq!(again.of("01-1"), Record { attempts: 1, hints: 0, passed: true });
        assert_eq!(again.of("01-2"), Record::default());
        let file = directory.path().join(FILE);
        std::fs::write(&file, "{").unwrap();
        let error = Progress::load(directory.path()).unwrap_err();
        assert!(format!("{error:#}").contains("repair it"), "{error:#}");
        assert_eq!(std::fs::read_to_string(file).unwrap(), "{");
    }
}
