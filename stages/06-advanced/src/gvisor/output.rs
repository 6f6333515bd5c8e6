//! The output of one program, from the supervisor's frames into the buffer.
//!
//! Before the program there is one line on standard error, the loader's: that the program starts,
//! or why it cannot. The program has not executed an instruction when that line is written, so that
//! the line is known by its place, and nothing that comes after it can be taken for one.

use shared::{OutputBuffer, Stream};
use stage_04_docker::{InitMessage, Stop};

use crate::protocol::frame::OutputStream;

/// The nonce that the loader's line starts with.
const NONCE_BYTES: usize = 32;
/// The longest line of the loader.
const MAX_LINE_BYTES: usize = 1000;

/// How far the loader is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LoaderHandshake {
    /// This much of its line has arrived.
    Pending(Vec<u8>),
    /// The program has started.
    Started,
    /// The program has not started, and will not.
    Failed(InitMessage),
}

/// Both streams of one program.
pub(super) struct ProgramOutput<'a> {
    buffer: &'a OutputBuffer,
    pub(super) handshake: LoaderHandshake,
    /// The program wrote more than its limit allows.
    limit_reached: bool,
}

impl<'a> ProgramOutput<'a> {
    pub(super) fn new(buffer: &'a OutputBuffer) -> Self {
        let handshake = LoaderHandshake::Pending(Vec::new());
        Self { buffer, handshake, limit_reached: false }
    }

    /// Takes a chunk of a stream.
    pub(super) fn receive(&mut self, stream: OutputStream, bytes: &[u8]) {
        match stream {
            OutputStream::Stdout => self.push(Stream::Stdout, bytes),
            OutputStream::Stderr => self.receive_stderr(bytes),
        }
    }

    fn receive_stderr(&mut self, bytes: &[u8]) {
        let LoaderHandshake::Pending(line) = &mut self.handshake else {
            return self.push(Stream::Stderr, bytes);
        };
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            line.extend_from_slice(bytes);
            if line.len() > MAX_LINE_BYTES {
                let message = InitMessage::Malformed("a line without an end".to_owned());
                self.handshake = LoaderHandshake::Failed(message);
            }
            return;
        };
        line.extend_from_slice(&bytes[..end]);
        let message = String::from_utf8_lossy(line.get(NONCE_BYTES..).unwrap_or(line)).into_owned();
        self.handshake = match InitMessage::parse(message.trim_start()) {
            InitMessage::Started => LoaderHandshake::Started,
            message => LoaderHandshake::Failed(message),
        };
        let rest = &bytes[end + 1..];
        if self.handshake == LoaderHandshake::Started && !rest.is_empty() {
            self.push(Stream::Stderr, rest);
        }
    }

    fn push(&mut self, stream: Stream, bytes: &[u8]) {
        self.limit_reached |= self.buffer.push(stream, bytes).is_err();
    }

    /// Whether the program has to end. Standard output may arrive before the loader's line on standard
    /// error; then the limit waits for that line, without which the run would have no usage and no files.
    pub(super) fn is_over_limit(&self) -> bool {
        self.limit_reached && self.handshake == LoaderHandshake::Started
    }

    /// Why the engine stopped watching, once everything has been read.
    pub(super) fn stop_reason(self, stop: Stop) -> Stop {
        match (self.handshake, stop) {
            (LoaderHandshake::Failed(message), _) => Stop::Reported(message),
            (LoaderHandshake::Started, Stop::Reported(_)) if self.limit_reached => {
                Stop::OutputLimit
            }
            (LoaderHandshake::Pending(line), Stop::Reported(message)) => {
                // Text from inside is for the log alone, and escaped.
                let line = String::from_utf8_lossy(&line).into_owned();
                tracing::warn!(?message, ?line, "the interpreter ended before the program started");
                let reason = "the interpreter ended before the program started";
                Stop::broken(reason)
            }
            (_, stop) => stop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(chunks: &[&str]) -> (LoaderHandshake, String) {
        let buffer = OutputBuffer::new(100, Box::new(|_, _, _| {}));
        let mut output = ProgramOutput::new(&buffer);
        for chunk in chunks {
            output.receive(OutputStream::Stderr, chunk.as_bytes());
        }
        let handshake = output.handshake.clone();
        (handshake, buffer.output(Stream::Stderr).text)
    }

    #[test]
    fn the_loaders_line_is_known_by_its_place() {
        let line = format!("{} begin\n", "s".repeat(NONCE_BYTES));
        for cut in 1..line.len() {
            let (handshake, text) = receive(&[&line[..cut], &line[cut..], "first\n", &line]);
            assert_eq!(handshake, LoaderHandshake::Started);
            assert_eq!(text, format!("first\n{line}"), "a second line like it is output");
        }
        let (handshake, text) = receive(&[&format!("{line}together")]);
        assert_eq!((handshake, text.as_str()), (LoaderHandshake::Started, "together"));
    }

    #[test]
    fn the_limit_of_output_waits_for_the_start() {
        let buffer = OutputBuffer::new(10, Box::new(|_, _, _| {}));
        let mut output = ProgramOutput::new(&buffer);
        output.receive(OutputStream::Stdout, b"more than ten");
        assert!(!output.is_over_limit(), "the program has not been seen to start");
        output.receive(
            OutputStream::Stderr,
            format!("{} begin\n", "s".repeat(NONCE_BYTES)).as_bytes(),
        );
        assert!(output.is_over_limit());
    }

    #[test]
    fn a_program_that_cannot_start_has_a_reason() {
        let refused = format!("{} refused [Errno 28] full\n", "s".repeat(NONCE_BYTES));
        let (handshake, text) = receive(&[&refused]);
        let expected = InitMessage::Refused("[Errno 28] full".to_owned());
        assert_eq!(handshake, LoaderHandshake::Failed(expected));
        assert_eq!(text, "");
        for malformed in ["MemoryError\n", "x".repeat(MAX_LINE_BYTES + 1).as_str()] {
            let (handshake, _) = receive(&[malformed]);
            let is_malformed =
                matches!(handshake, LoaderHandshake::Failed(InitMessage::Malformed(_)));
            assert!(is_malformed, "{handshake:?}");
        }
    }
}
