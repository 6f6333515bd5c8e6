//! What an execution has written to one of its streams: in memory while it is short, then in a file.
//!
//! A spool has one writer, the task of the execution, and any number of readers. It keeps the first bytes or the
//! last ones, never more than its limit, and counts all.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::store::check_file;

/// What is kept in memory of one stream: most executions write less.
const MAX_MEMORY_BYTES: u64 = 8 << 10;
/// What is kept in memory of all streams of a server. What does not fit is in files.
const MAX_ALL_MEMORY_BYTES: u64 = 32 << 20;

/// The memory of all spools of a server.
#[derive(Default)]
pub(super) struct SpoolMemory(AtomicU64);

impl SpoolMemory {
    fn has_room(&self, more: u64) -> bool {
        self.0.load(Ordering::Relaxed) + more <= MAX_ALL_MEMORY_BYTES
    }
}

/// Which bytes of a long output are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Keep {
    /// The first ones.
    Head,
    /// The last ones.
    #[default]
    Tail,
}

/// One stream of one execution.
pub(super) struct Spool {
    keep: Keep,
    max_bytes: u64,
    path: PathBuf,
    memory: Arc<SpoolMemory>,
    /// Ties the counters to what is stored. It is not locked while a file is read or written.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes that the program wrote.
    total: u64,
    /// Bytes that it wrote, and those that are being written to the file: what they replace is no longer read.
    reserved: u64,
    memory: Vec<u8>,
    is_file: bool,
    is_discarded: bool,
}

/// Some bytes of a spool.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The number of the first byte.
    pub(super) start: u64,
    pub(super) bytes: Vec<u8>,
    /// Where the next one begins.
    pub(super) next: u64,
}

impl Spool {
    /// An empty one, whose file will be at `path`.
    pub(super) fn new(keep: Keep, max_bytes: u64, path: PathBuf, memory: Arc<SpoolMemory>) -> Self {
        Self { keep, max_bytes, path, memory, state: Mutex::default() }
    }

    /// Keeps these bytes in memory, in place of what was there.
    fn hold(&self, state: &mut State, bytes: Vec<u8>) {
        self.memory.0.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.memory.0.fetch_sub(state.memory.len() as u64, Ordering::Relaxed);
        state.memory = bytes;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes that the program wrote.
    pub(super) fn total(&self) -> u64 {
        self.state().total
    }

    /// Bytes that are stored.
    pub(super) fn stored(&self) -> u64 {
        let state = self.state();
        if state.is_discarded { 0 } else { state.total.min(self.max_bytes) }
    }

    /// Whether `more` bytes can be appended without a file.
    pub(super) fn fits_memory(&self, more: u64) -> bool {
        let state = self.state();
        let is_small = (state.total + more).min(self.max_bytes) <= MAX_MEMORY_BYTES;
        state.is_discarded || (is_small && !state.is_file && self.memory.has_room(more))
    }

    /// Removes what is stored, and keeps the count.
    pub(super) fn discard(&self) {
        let mut state = self.state();
        state.is_discarded = true;
        self.hold(&mut state, Vec::new());
        if std::mem::take(&mut state.is_file) {
            std::fs::remove_file(&self.path).ok(); // it is removed with its directory
        }
    }

    /// The numbers of the bytes that can be read.
    fn range(&self, state: &State) -> (u64, u64) {
        if state.is_discarded {
            return (state.total, state.total);
        }
        match self.keep {
            Keep::Head => (0, state.total.min(self.max_bytes)),
            // What replaces more than there is leaves nothing to read until it is written.
            Keep::Tail => {
                (state.reserved.saturating_sub(self.max_bytes).min(state.total), state.total)
            }
        }
    }

    // ANCHOR: append
    /// Appends what was read from the program.
    pub(super) fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        let mut state = self.state();
        let (total, after) = (state.total, state.total + length);
        let room = self.max_bytes.saturating_sub(total);
        let (from, kept) = match self.keep {
            _ if state.is_discarded => (after, &bytes[..0]),
            Keep::Head => (total, &bytes[..index(room.min(length))]),
            Keep::Tail => {
                let skipped = length.saturating_sub(self.max_bytes);
                (total + skipped, &bytes[index(skipped)..])
            }
        };
        if kept.is_empty() {
            (state.total, state.reserved) = (after, after);
            return Ok(());
        }
        if !state.is_file
            && after.min(self.max_bytes) <= MAX_MEMORY_BYTES
            && self.memory.has_room(length)
        {
            let mut memory = state.memory.clone();
            memory.extend_from_slice(kept);
            let surplus = memory.len().saturating_sub(index(self.max_bytes));
            memory.drain(..surplus);
            self.hold(&mut state, memory);
            (state.total, state.reserved) = (after, after);
            return Ok(());
        }
        state.reserved = after;
        let moved = (!state.is_file).then(|| state.memory.clone());
        drop(state); // readers go on while the file is written
        if let (Some(_), Some(directory)) = (&moved, self.path.parent()) {
            std::fs::create_dir_all(directory)?;
        }
        if let Some(directory) = self.path.parent() {
            // The last of the disk is for the ends of evaluations.
            check_file(directory, kept.len() as u64).map_err(io::Error::other)?;
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&self.path)?;
        if let Some(memory) = moved {
            self.write_at(&file, total - memory.len() as u64, &memory)?;
        }
        self.write_at(&file, from, kept)?;
        let mut state = self.state();
        if state.is_discarded {
            std::fs::remove_file(&self.path).ok(); // as `discard` does
        } else {
            state.is_file = true;
            self.hold(&mut state, Vec::new());
        }
        state.total = after;
        Ok(())
    }
    // ANCHOR_END: append

    /// Stores nothing of these bytes nor of any others, and counts them: what a reader gets has no holes.
    pub(super) fn give_up(&self, length: u64) {
        self.discard();
        std::fs::remove_file(&self.path).ok(); // of which a part may have been written
        let mut state = self.state();
        state.total += length;
        state.reserved = state.total;
    }

    /// Writes bytes to their places in a file that is a ring when the last ones are kept.
    fn write_at(&self, file: &File, from: u64, bytes: &[u8]) -> io::Result<()> {
        let at = from % self.max_bytes.max(1);
        let (first, rest) = bytes.split_at(bytes.len().min(index(self.max_bytes - at)));
        file.write_all_at(first, at)?;
        file.write_all_at(rest, 0)
    }

    /// At most `max_bytes` from number `offset` on, or from the first byte that is still there.
    pub(super) fn read(&self, offset: u64, max_bytes: u64) -> io::Result<Piece> {
        let state = self.state();
        let (low, high) = self.range(&state);
        let start = offset.clamp(low, high);
        let end = high.min(start.saturating_add(max_bytes));
        if !state.is_file {
            let base = match self.keep {
                Keep::Head => 0,
                Keep::Tail => state.total - state.memory.len() as u64,
            };
            let bytes = if state.is_discarded {
                Vec::new()
            } else {
                let (from, to) = (start.saturating_sub(base), end.saturating_sub(base));
                state.memory.get(index(from)..index(to)).unwrap_or_default().to_vec()
            };
            return Ok(Piece { start, bytes, next: end });
        }
        drop(state);
        let mut bytes = vec![0; index(end - start)];
        read_at(&self.path, start, self.max_bytes, &mut bytes)?;
        // What was overwritten meanwhile is not what was asked for.
        let (low, _) = self.range(&self.state());
        let lost = low.saturating_sub(start).min(end - start);
        bytes.drain(..index(lost));
        Ok(Piece { start: start + lost, bytes, next: end })
    }
}

fn read_at(path: &Path, start: u64, size: u64, bytes: &mut [u8]) -> io::Result<()> {
    let (file, at) = (File::open(path)?, start % size.max(1));
    let first = bytes.len().min(index(size - at));
    let (first, rest) = bytes.split_at_mut(first);
    file.read_exact_at(first, at)?;
    file.read_exact_at(rest, 0)
}

impl Drop for Spool {
    fn drop(&mut self) {
        let length = self.state().memory.len();
        self.memory.0.fetch_sub(length as u64, Ordering::Relaxed);
    }
}

/// A number of bytes that was bounded before.
fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
