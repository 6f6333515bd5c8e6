//! A bounded hold on what a program writes.
//!
//! Attack: `while True: print("x" * 4096)` → an engine that collects output until the program ends
//! runs out of memory itself. Every engine therefore hands each chunk to a [`Capture`] while it is
//! read, keeps nothing of its own, and ends the program when the capture says [`Full`].

use std::sync::{Mutex, PoisonError};

use crate::evaluation::Output;

/// Which of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The program wrote more than may be kept: whoever runs it must end it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// A listener to kept chunks, with the offset of each in its stream. It must not block.
pub type Tap = Box<dyn Fn(Stream, u64, &[u8]) + Send + Sync>;

/// Keeps the first bytes of both streams and counts the rest.
pub struct Capture {
    limit: usize,
    tap: Tap,
    // Two locks, so that a flood on one stream does not hold up the other.
    stdout: Mutex<Kept>,
    stderr: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    total: u64,
    closed: bool,
}

impl Capture {
    /// A capture that keeps `limit` bytes of each stream and shows each kept chunk to `tap`.
    pub fn new(limit: u64, tap: Tap) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, tap, stdout: Mutex::default(), stderr: Mutex::default() }
    }

    // ANCHOR: push
    /// Takes one chunk.
    ///
    /// # Errors
    ///
    /// [`Full`] when the stream has now more bytes than the limit, or the capture is closed.
    pub fn push(&self, stream: Stream, chunk: &[u8]) -> Result<(), Full> {
        let mut kept = self.kept(stream);
        if kept.closed {
            return Err(Full);
        }
        let offset = kept.bytes.len();
        let room = (self.limit - offset).min(chunk.len());
        kept.total += chunk.len() as u64;
        if room > 0 {
            kept.bytes.extend_from_slice(&chunk[..room]);
            // Under the lock, so that the listener sees the chunks of a stream in their order.
            (self.tap)(stream, offset as u64, &chunk[..room]);
        }
        if kept.total > self.limit as u64 { Err(Full) } else { Ok(()) }
    }
    // ANCHOR_END: push

    /// Takes nothing more: what is pushed from now on comes after the end, and nobody is told of it.
    pub fn close(&self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.kept(stream).closed = true;
        }
    }

    /// What was kept of a stream so far.
    pub fn output(&self, stream: Stream) -> Output {
        let kept = self.kept(stream);
        Output::new(&kept.bytes, kept.total)
    }

    fn kept(&self, stream: Stream) -> std::sync::MutexGuard<'_, Kept> {
        let half = match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        half.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_up_to_the_limit_and_says_when_there_is_more() {
        let capture = Capture::new(5, Box::new(|_, _, _| {}));
        assert_eq!(capture.push(Stream::Stdout, b"12345"), Ok(()));
        assert!(!capture.output(Stream::Stdout).truncated);
        assert_eq!(capture.push(Stream::Stdout, b"678"), Err(Full));
        assert_eq!(capture.push(Stream::Stderr, b"e"), Ok(()));
        let output = capture.output(Stream::Stdout);
        assert_eq!((output.text.as_str(), output.bytes_total), ("12345", 8));
        assert!(output.truncated);
    }

    #[test]
    fn nothing_comes_after_the_end() {
        let capture = Capture::new(5, Box::new(|_, _, _| {}));
        capture.close();
        assert_eq!(capture.push(Stream::Stdout, b"late"), Err(Full));
        assert_eq!(capture.output(Stream::Stdout).bytes_total, 0);
    }

    #[test]
    fn the_tap_sees_kept_bytes_with_their_offsets() {
        let (sender, seen) = std::sync::mpsc::channel();
        let tap = move |_, offset, bytes: &[u8]| sender.send((offset, bytes.to_vec())).unwrap();
        let capture = Capture::new(3, Box::new(tap));
        for chunk in [&b"ab"[..], b"cd", b"ef"] {
            let _full = capture.push(Stream::Stdout, chunk);
        }
        drop(capture);
        assert_eq!(seen.iter().collect::<Vec<_>>(), [(0, b"ab".to_vec()), (2, b"c".to_vec())]);
    }
}
