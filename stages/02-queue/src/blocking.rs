//! Work of the size of a body, off the runtime's threads.
//!
//! Attack: a few large bodies keep every thread of the runtime busy with parsing, so that nothing else
//! is answered and the limits of running programs are checked late -> such work runs on blocking
//! threads. Of the blocking threads tokio has hundreds, so that the work of as many bodies would be in
//! memory at once -> there are as many at a time as there are processors, and the rest waits.

use std::sync::LazyLock;

use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// Work on fewer bytes is done at once.
pub const MAX_INLINE_BYTES: usize = 64 << 10;

/// A permit for each processor. It is held by the blocking thread, so that it is released when the work
/// is done, and not when a client disconnects.
static PERMITS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, usize::from)));

/// Runs `work` on so many bytes: on a blocking thread if they are many.
///
/// # Errors
///
/// When the work panics.
pub async fn off_runtime<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    if bytes <= MAX_INLINE_BYTES {
        return Ok(work());
    }
    // An error would mean that the semaphore is closed, and nothing closes it.
    let permit = PERMITS.acquire().await.ok();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    })
    .await
}
