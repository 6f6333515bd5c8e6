//! The bounded buffer for the output of a program.
//!
//! Attack: `while True: print("x" * 4096)` → an engine that collects output until the program ends
//! runs out of memory itself. Every engine therefore pushes each chunk into an [`OutputBuffer`] as
//! soon as it is read, stores none itself, and ends the program at [`OutputLimitReached`].

use std::sync::{Mutex, PoisonError};

use crate::evaluation::Output;

/// `text` as a terminal, a log or a response can show it: characters that control a terminal or change
/// the direction of writing are visible. All text that came from inside a sandbox passes here.
pub fn harmless(text: &str) -> String {
    let turns = |c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.replace(|c: char| c.is_control() && !"\n\t".contains(c) || turns(c), "\u{fffd}")
}

/// Which of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The program wrote more than the limit: the engine must end it now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimitReached;

/// Receives each stored chunk, with its offset in its stream in bytes. It must not block.
pub type OutputListener = Box<dyn Fn(Stream, u64, &[u8]) + Send + Sync>;

/// Stores the first bytes of both streams and counts the rest.
pub struct OutputBuffer {
    limit: usize,
    listener: OutputListener,
    // A lock for each stream, so that a flood on one does not delay the other. It ties the stored
    // bytes to the order in which the listener receives them.
    stdout: Mutex<Inner>,
    stderr: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    bytes: Vec<u8>,
    total: u64,
    closed: bool,
}

impl OutputBuffer {
    /// A buffer that stores `limit` bytes of each stream and passes each stored chunk to `listener`.
    pub fn new(limit: u64, listener: OutputListener) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Self { limit, listener, stdout: Mutex::default(), stderr: Mutex::default() }
    }

    // ANCHOR: push
    /// Stores one chunk, as far as the limit allows.
    ///
    /// # Errors
    ///
    /// [`OutputLimitReached`] when the stream has more bytes than the limit, or the buffer is closed.
    pub fn push(&self, stream: Stream, chunk: &[u8]) -> Result<(), OutputLimitReached> {
        let mut inner = self.inner(stream);
        if inner.closed {
            return Err(OutputLimitReached);
        }
        let offset = inner.bytes.len();
        let room = (self.limit - offset).min(chunk.len());
        inner.total += chunk.len() as u64;
        if room > 0 {
            inner.bytes.extend_from_slice(&chunk[..room]);
            // Under the lock, so that the listener receives the chunks of a stream in order.
            (self.listener)(stream, offset as u64, &chunk[..room]);
        }
        if inner.total > self.limit as u64 { Err(OutputLimitReached) } else { Ok(()) }
    }
    // ANCHOR_END: push

    /// Closes the buffer: later output is dropped, and the listener is not called.
    pub fn close(&self) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.inner(stream).closed = true;
        }
    }

    /// What is stored of a stream so far.
    pub fn output(&self, stream: Stream) -> Output {
        let inner = self.inner(stream);
        Output::new(&inner.bytes, inner.total)
    }

    fn inner(&self, stream: Stream) -> std::sync::MutexGuard<'_, Inner> {
        let stream = match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stores_up_to_the_limit_and_reports_when_there_is_more() {
        let buffer = OutputBuffer::new(5, Box::new(|_, _, _| {}));
        assert_eq!(buffer.push(Stream::Stdout, b"12345"), Ok(()));
        assert!(!buffer.output(Stream::Stdout).truncated);
        assert_eq!(buffer.push(Stream::Stdout, b"678"), Err(OutputLimitReached));
        assert_eq!(buffer.push(Stream::Stderr, b"e"), Ok(()));
        let output = buffer.output(Stream::Stdout);
        assert_eq!((output.text.as_str(), output.bytes_total), ("12345", 8));
        assert!(output.truncated);
    }

    #[test]
    fn nothing_that_steers_a_terminal_is_left() {
        let shown = harmless("\x1b]0;pwned\x07ok\tyes\n\u{9b}J \u{202e}txt");
        assert_eq!(shown, "\u{fffd}]0;pwned\u{fffd}ok\tyes\n\u{fffd}J \u{fffd}txt");
    }

    #[test]
    fn nothing_is_stored_after_the_end() {
        let buffer = OutputBuffer::new(5, Box::new(|_, _, _| {}));
        buffer.close();
        assert_eq!(buffer.push(Stream::Stdout, b"late"), Err(OutputLimitReached));
        assert_eq!(buffer.output(Stream::Stdout).bytes_total, 0);
    }

    #[test]
    fn the_listener_receives_stored_bytes_with_their_offsets() {
        let (sender, seen) = std::sync::mpsc::channel();
        let listener =
            move |_, offset, bytes: &[u8]| sender.send((offset, bytes.to_vec())).unwrap();
        let buffer = OutputBuffer::new(3, Box::new(listener));
        for chunk in [&b"ab"[..], b"cd", b"ef"] {
            buffer.push(Stream::Stdout, chunk).ok(); // the limit is reached on purpose
        }
        drop(buffer);
        assert_eq!(seen.iter().collect::<Vec<_>>(), [(0, b"ab".to_vec()), (2, b"c".to_vec())]);
    }
}
