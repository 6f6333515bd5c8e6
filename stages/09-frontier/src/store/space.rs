//! Whether there is room for more work.
//!
//! Attack: submissions, outputs and artifacts fill the disk → the end of what runs cannot be
//! committed any more, and nothing that was deleted makes room, because a deletion is a write. So work
//! is refused while a reserve is left, which is for the ends of what was accepted.

use std::path::Path;

use super::{StoreError, wal_of};

/// Free bytes below which no work is accepted.
const RESERVE_BYTES: u64 = 32 << 20;
/// On a small disk the reserve is this part of it.
const RESERVE_PART: u64 = 8;
/// The size of the WAL from which on no work is accepted.
pub(super) const MAX_WAL_BYTES: u64 = 512 << 20;

pub(super) fn check(database: &Path, max_wal_bytes: u64) -> Result<(), StoreError> {
    let (free, reserve) = free(database.parent().unwrap_or(database))?;
    if free < reserve {
        return Err(StoreError::NoSpace { free, reserve });
    }
    // Without a WAL nothing was written yet.
    let bytes = std::fs::metadata(wal_of(database)).map_or(0, |wal| wal.len());
    if bytes > max_wal_bytes { Err(StoreError::LongWal { bytes }) } else { Ok(()) }
}

/// Whether a file of so many bytes leaves half of the reserve.
///
/// Attack: the files that programs leave use the reserve up → no other end can be committed, and
/// retention cannot delete anything, because that is a write of the database as well.
/// Test: `artifacts_that_fill_the_disk_lose_nothing_and_leave_room_for_other_ends`.
pub(crate) fn check_file(directory: &Path, bytes: u64) -> Result<(), StoreError> {
    let (free, reserve) = free(directory)?;
    let left = free.saturating_sub(bytes);
    if left < reserve / 2 { Err(StoreError::NoSpace { free, reserve }) } else { Ok(()) }
}

/// The free bytes of the disk, and those that are kept free.
fn free(directory: &Path) -> Result<(u64, u64), StoreError> {
    let disk =
        rustix::fs::statvfs(directory).map_err(|error| StoreError::io(directory, error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let total = disk.f_blocks.saturating_mul(disk.f_frsize);
    Ok((free, RESERVE_BYTES.min(total / RESERVE_PART)))
}
