//! What has come of a security test, and where it is stored: one row, which is that of the last test.
//!
//! A server stores the tests that it starts, and `--security-test` its own, if it finds the database of the server.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};
use serde::{Deserialize, Serialize};
use shared::cli::{BuildError, eprint_line};

use crate::StorageKind;
use crate::args::FrontierArgs;
use crate::store::{Beside, DataDir, StoreError};

/// The last test, and whether there can be one.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Test {
    pub(super) status: Status,
    /// Why it cannot be started.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) missing: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) ended_at: Option<Timestamp>,
    pub(super) verdicts: Vec<Line>,
    /// Why there are no verdicts.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) error: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    #[default]
    Never,
    Running,
    Ended,
}

/// One verdict, as the ladder prints it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Line {
    probe: String,
    verdict: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    error: Option<String>,
    must_contain: bool,
}

impl Test {
    /// A test of this group that begins now. The empty word stands for all groups.
    pub(super) fn started(group: &str) -> Self {
        let group = Some(group.to_owned()).filter(|group| !group.is_empty());
        let started_at = Some(Timestamp::now());
        Self { status: Status::Running, group, started_at, ..Self::default() }
    }

    /// The same test, which has ended now.
    pub(super) fn ended(self, verdicts: Result<Vec<Line>, BuildError>) -> Self {
        let (verdicts, error) = match verdicts {
            Ok(verdicts) => (verdicts, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        Self { status: Status::Ended, ended_at: Some(Timestamp::now()), verdicts, error, ..self }
    }

    /// The last test that has ended. One that never was, without one.
    pub(super) fn last(database: &Connection) -> Result<Self, StoreError> {
        let select = "SELECT test FROM security_test WHERE id = 1";
        let found: Option<String> = database.query_row(select, [], |row| row.get(0)).optional()?;
        Ok(found.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or_default())
    }

    /// Stores it in place of the one before.
    pub(super) fn store(&self, database: &Connection) -> Result<(), StoreError> {
        let insert = "INSERT OR REPLACE INTO security_test (id, test) VALUES (1, ?1)";
        database.execute(insert, [serde_json::to_string(self)?])?;
        Ok(())
    }

    /// Stores it for the server of `args`, if that has a database. The verdicts count also when that fails.
    pub(super) fn store_beside(&self, args: &FrontierArgs) {
        let path = args.storage.path();
        if args.storage.storage == StorageKind::Memory || !DataDir::database_in(&path).exists() {
            return;
        }
        let stored = Beside::open(&path)
            .and_then(|mut database| database.write(|database| self.store(database)));
        if let Err(error) = stored {
            eprint_line(&format!("the page of the server will not have this test: {error}"));
        }
    }
}
