//! The connections for reading: a few, each used by one read at a time.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::Semaphore;

use super::{StoreError, connection};

/// Reads at one moment. One more waits.
const CONNECTIONS: usize = 4;
/// How long one read may take. A read that lasts keeps the WAL from being reset.
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// How often SQLite looks at the clock, in instructions of its machine.
const CLOCK_INTERVAL: i32 = 10_000;

pub(super) struct Readers {
    /// A permit for each connection in `idle`: a read has both or neither.
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let open = |_| connection::for_reading(path);
        let idle = (0..CONNECTIONS).map(open).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { permits: Arc::new(Semaphore::new(CONNECTIONS)), idle: Mutex::new(idle) })
    }

    // ANCHOR: read
    /// Runs `query` on a blocking thread. Its transaction ends with it.
    pub(super) async fn read<T: Send + 'static>(
        self: Arc<Self>,
        query: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        let task = tokio::task::spawn_blocking(move || {
            let _permit = permit; // released after the connection is back
            let connection = self.idle().pop().ok_or(StoreError::Closed)?;
            let mut lease = ConnectionLease { readers: &self, connection: Some(connection) };
            lease.run(query)
        });
        task.await.unwrap_or(Err(StoreError::Panicked))
    }
    // ANCHOR_END: read

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts the connection back, even when a query panics.
struct ConnectionLease<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl ConnectionLease<'_> {
    fn run<T>(
        &mut self,
        query: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = self.connection.as_mut().ok_or(StoreError::Closed)?;
        let deadline = Instant::now() + READ_TIMEOUT;
        connection.progress_handler(CLOCK_INTERVAL, Some(move || Instant::now() > deadline))?;
        query(connection).map_err(|error| match error {
            StoreError::Sqlite(error)
                if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) =>
            {
                StoreError::TooSlow { seconds: READ_TIMEOUT.as_secs() }
            }
            other => other,
        })
    }
}

impl Drop for ConnectionLease<'_> {
    fn drop(&mut self) {
        self.readers.idle().extend(self.connection.take());
    }
}
