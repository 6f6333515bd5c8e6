//! Why the database did not do what it should.

use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::ErrorCode;
use shared::Hint;

/// Why a call to the database failed. It can be cloned, because one transaction has many callers.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A file or the directory cannot be used.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or the directory.
        path: PathBuf,
        /// The error of the system.
        source: Arc<std::io::Error>,
    },
    /// Another process has the directory.
    #[error("another server uses {}{}", path.display(),
        holder.as_ref().map_or_else(String::new, |pid| format!(": process {pid}")))]
    InUse {
        /// The directory.
        path: PathBuf,
        /// The id of the process, if it is known.
        holder: Option<String>,
    },
    /// The database was written by a later version of this program.
    #[error("{} has schema {found}; this version knows schemas up to {known}", path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The schema of the file.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// The server that runs is of an earlier version.
    #[error("{} has schema {found}, and a server uses it; this version has schema {known}", path.display())]
    OlderSchema {
        /// The file.
        path: PathBuf,
        /// The schema of the file.
        found: u32,
        /// The newest that is known.
        known: u32,
    },
    /// The file is a database of another program.
    #[error("{} is a database of another program", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The directory must not exist, or be empty.
    #[error("{} has something in it already", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// The database is damaged.
    #[error("the database is damaged: {found}")]
    Corrupt {
        /// What was found first.
        found: String,
    },
    /// The disk is full.
    #[error("the disk of the data directory is full")]
    Full,
    /// Output of an evaluation met a full disk, and comes before what was to be written.
    #[error("output that comes before it waits for room on the disk")]
    OutputWaits,
    /// The disk is nearly full. What runs can still end.
    #[error("the disk of the data directory has {free} bytes left, and {reserve} are reserved")]
    NoSpace {
        /// Bytes that are free.
        free: u64,
        /// Bytes that are needed to accept work.
        reserve: u64,
    },
    /// A reader in another process keeps the WAL from being reset.
    #[error("the WAL has {bytes} bytes: a reader in another process keeps it from being reset")]
    LongWal {
        /// Its size.
        bytes: u64,
    },
    /// A read took too long, and was stopped.
    #[error("a read took longer than {seconds} s")]
    TooSlow {
        /// Its time limit.
        seconds: u64,
    },
    /// A file is not what its digest says.
    #[error("the file {digest} is damaged or missing")]
    Damaged {
        /// Its digest.
        digest: String,
    },
    /// What is stored cannot be read back.
    #[error("a stored record cannot be read")]
    Record(#[source] Arc<serde_json::Error>),
    /// Any other error of SQLite.
    #[error("the database failed")]
    Sqlite(#[source] Arc<rusqlite::Error>),
    /// Another piece of work in the same transaction met a full disk.
    #[error("the transaction was rolled back")]
    RolledBack,
    /// The code of a write panicked. Nothing of it was written.
    #[error("a write panicked")]
    Panicked,
    /// A failpoint of a test.
    #[error("a failpoint")]
    Failpoint,
    /// The database is closed.
    #[error("the database is closed")]
    Closed,
}

impl StoreError {
    /// The error of the system at `path`.
    pub(crate) fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::StorageFull {
            return Self::Full;
        }
        Self::Io { path: path.into(), source: Arc::new(source) }
    }

    /// Whether the cause is the disk or the WAL being full, so that another try may succeed.
    pub fn is_full(&self) -> bool {
        use StoreError::{Full, LongWal, NoSpace, RolledBack};
        matches!(self, Full | NoSpace { .. } | LongWal { .. } | RolledBack)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            _ => Self::Sqlite(Arc::new(error)),
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Record(Arc::new(error))
    }
}

impl Hint for StoreError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io { .. } => Some("name a directory that this user can write with --data-dir"),
            Self::InUse { .. } => Some("stop it, or name another directory with --data-dir"),
            Self::NewerSchema { .. } => Some("use the version that wrote it, or restore a backup"),
            Self::OlderSchema { .. } => Some("start the server of this version first"),
            Self::Foreign { .. } => Some("name another directory with --data-dir"),
            Self::Exists { .. } => Some("name a directory that does not exist"),
            Self::Corrupt { .. } => Some("restore a backup into another directory"),
            Self::Full | Self::NoSpace { .. } => Some("make room on the disk of --data-dir"),
            Self::Sqlite(_) | Self::Record(_) | Self::Damaged { .. } => {
                Some("run the command doctor, and restore a backup if the database is damaged")
            }
            _ => None,
        }
    }
}
