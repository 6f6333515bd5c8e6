//! The database: one SQLite file, one writer, and readers beside it.
//!
//! * Every write goes through one thread ([`Store::write`]). It runs what has gathered in one
//!   transaction, and answers when that is on disk: 64 clients share a flush.
//! * Reads ([`Store::read`]) have connections of their own, which the writer never blocks and which
//!   never block it. A read has a time limit, so that it cannot keep the WAL from being reset.
//! * `synchronous=FULL` in WAL mode: a commit that was answered survives a crash of the machine.
//!
//! | what happens | what it does | test |
//! |---|---|---|
//! | `kill -9` at any moment | what was answered is there, and nothing is there by half | `killed_at_random_moments_nothing_accepted_is_lost` |
//! | a kill before or after a commit, a flush, a rename | the same | `killed_at_every_failpoint_nothing_accepted_is_lost` |
//! | an error of the disk | the change is tried again, the submission refused | `a_failing_disk_loses_nothing_that_was_accepted` |
//! | a full disk | a reserve is left for the ends of what runs; work is refused | `a_full_disk_refuses_work_ends_what_runs_and_goes_on_when_there_is_room` |
//! | output of a program that meets a full disk | it waits for room, and is streamed without a gap | `output_that_meets_a_full_disk_is_streamed_without_a_gap` |
//! | artifacts that fill the disk | half of the reserve is left to the database; an end with files waits for room | `artifacts_that_fill_the_disk_lose_nothing_and_leave_room_for_other_ends` |
//! | a clock that goes back | events, ends and rows are ordered by numbers; ids by their time | `a_clock_that_goes_back_loses_nothing_and_changes_no_order_of_ends` |
//! | a read-only directory | the start is refused | `a_read_only_directory_is_refused` |
//! | a torn end of the WAL | SQLite drops the frames that were not committed | `a_torn_end_of_the_wal_loses_nothing_that_was_answered` |
//! | a newer schema, a database of another program | the start is refused, the file stays as it is | `a_newer_schema_and_a_foreign_database_are_refused_and_left_as_they_are` |
//! | a second server | the lock of the directory | `a_second_server_is_refused` |
//! | a long reader | reads have a time limit; a WAL that grows nevertheless refuses work | `a_reader_can_neither_write_nor_take_without_limit`, `a_reader_that_starves_the_checkpoint_meets_the_limit_of_the_wal`, `a_long_reader_does_not_stop_the_server_and_the_wal_is_reset_after_it` |
//!
//! A process that opens a store locks its directory. Two servers on one directory would each number
//! events, and each run what the other has queued.

mod backup;
mod beside;
mod connection;
mod counters;
mod directory;
mod error;
mod readers;
mod schema;
mod space;
mod writer;

pub(crate) use backup::{Contents, back_up, restore, verify};
pub(crate) use beside::Beside;
pub(crate) use counters::Counters;
pub(crate) use directory::{DataDir, no_links};
pub use error::StoreError;
pub(crate) use rusqlite::Connection;
pub(crate) use space::check_file;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;
use shared::BoxFuture;
use tokio::sync::oneshot;

use readers::Readers;
use writer::Writer;
pub(crate) use writer::WriterStats;

/// How long a write that nothing waits for waits for another one, such as the end of the program of which it is the
/// output.
const BEHIND_DELAY: Duration = Duration::from_millis(10);

/// The database of a data directory, open for one process.
pub struct Store {
    writer: Writer,
    readers: Arc<Readers>,
    /// The size of the WAL from which on no work is accepted.
    max_wal_bytes: u64,
    /// Locked as long as the store is open; dropped last.
    directory: DataDir,
}

impl Store {
    /// Opens the database of a directory, and creates it or brings it to the present schema first.
    ///
    /// # Errors
    ///
    /// [`StoreError`], when it is of a newer version, damaged, or cannot be written.
    pub fn open(directory: DataDir) -> Result<Arc<Self>, StoreError> {
        Self::open_within(directory, space::MAX_WAL_BYTES)
    }

    /// A database in a temporary directory, for a check. It is gone with its owner.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn scratch() -> Result<Arc<Self>, StoreError> {
        Self::open(DataDir::scratch()?)
    }

    /// The same, with another limit of the WAL.
    fn open_within(directory: DataDir, max_wal_bytes: u64) -> Result<Arc<Self>, StoreError> {
        let path = directory.database();
        let mut connection = connection::for_writing(&path)?;
        schema::migrate(&mut connection, &path)?;
        directory.hand_over_files()?;
        let readers = Readers::open(&path)?;
        let writer = Writer::start(connection, wal_of(&path))?;
        let readers = Arc::new(readers);
        Ok(Arc::new(Self { writer, readers, max_wal_bytes, directory }))
    }

    /// The directory.
    pub fn directory(&self) -> &DataDir {
        &self.directory
    }

    // ANCHOR: write
    /// Runs `work` in a transaction, and returns its result when that is on disk. When `work` fails,
    /// nothing of it is written.
    ///
    /// Cancel safety: a write whose future is dropped is carried out nevertheless.
    ///
    /// # Errors
    ///
    /// The error of `work`, or why the transaction was not committed.
    pub fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        self.write_and(work, |value| value)
    }
    // ANCHOR_END: write

    /// The same, and maps the result by `after` on the thread of the writer, in the order of the
    /// transactions and before any caller learns that its own is on disk. It must not block.
    ///
    /// # Errors
    ///
    /// The error of `work`, or why the transaction was not committed.
    pub fn write_and<T: Send + 'static, U: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        after: impl FnOnce(T) -> U + Send + 'static,
    ) -> BoxFuture<'static, Result<U, StoreError>> {
        let (sender, receiver) = oneshot::channel();
        self.writer.submit(Duration::ZERO, work, |result| {
            sender.send(result.map(after)).ok(); // the caller may have gone
        });
        Box::pin(async { receiver.await.unwrap_or(Err(StoreError::Closed)) })
    }

    /// The same for what nothing waits for: it comes with the next write, or after 10 ms without one. `then` is
    /// called on the thread of the writer, in the order of the transactions. It must not block.
    pub fn write_behind<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        then: impl FnOnce(Result<T, StoreError>) + Send + 'static,
    ) {
        self.writer.submit(BEHIND_DELAY, work, then);
    }

    /// Runs `query` on a connection for reading. It sees every write that was answered before.
    ///
    /// # Errors
    ///
    /// The error of `query`, or [`StoreError::TooSlow`] when it takes too long.
    pub fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let readers = Arc::clone(&self.readers);
        Box::pin(async move { readers.read(query).await })
    }

    /// Whether there is room for more work: on the disk, and in the WAL. For the thread of the writer.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoSpace`] or [`StoreError::LongWal`].
    pub fn check_space(&self) -> Result<(), StoreError> {
        space::check(&self.directory.database(), self.max_wal_bytes)
    }

    /// How many writes have shared how many transactions.
    pub fn stats(&self) -> WriterStats {
        self.writer.stats()
    }

    /// What is stored, as of the last write that was answered.
    pub(crate) fn counters(&self) -> Counters {
        self.writer.counters()
    }

    /// How long transactions took.
    pub(crate) fn latency(&self) -> &Histogram {
        self.writer.latency()
    }

    /// The bytes of the database, and of its WAL.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let database = self.directory.database();
        let bytes = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
        (bytes(&database), bytes(&wal_of(&database)))
    }

    /// Whether later writes are refused.
    pub(crate) fn is_closed(&self) -> bool {
        self.writer.is_closed()
    }

    /// Commits what has gathered, and closes the database. Later writes are refused.
    pub async fn close(&self) {
        self.writer.close().await;
    }
}

/// The path of the WAL of a database.
fn wal_of(database: &Path) -> std::path::PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    path.into()
}

#[cfg(test)]
mod tests;
