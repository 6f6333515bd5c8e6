//! Messages of the container's init about the program, and how they differ from the program's output.
//!
//! Init writes into the same two streams as the program. Each of its messages starts with a nonce,
//! which is new for each evaluation, and which init keeps from the program. A program that has it all
//! the same can forge a message. It gains an exit code or a signal, and it can choose those anyway:
//! `report` has what is legal when, and limits are decided by counters outside of the container.

use std::fmt;

use memchr::memmem;
use uuid::Uuid;

/// Maximum length of an init message. A longer line was not written by init.
const MAX_MESSAGE_BYTES: usize = 300;

/// 122 random bits, as 32 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// A new nonce.
    pub fn random() -> Self {
        Self(Uuid::new_v4().simple().to_string())
    }

    /// Its 32 digits.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// One message of init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitMessage {
    /// The program starts now.
    Started,
    /// The program ended with an exit code.
    Exited(i32),
    /// A signal ended the program.
    Signaled(i32),
    /// The program's output on this stream is complete.
    End,
    /// The program's files could not be written.
    Refused(String),
    /// A line that init does not write here.
    Malformed(String),
}

impl InitMessage {
    /// Parses a line without its nonce.
    pub fn parse(line: &str) -> Self {
        let number = |text: &str| text.parse().ok().filter(|number| (0..256).contains(number));
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let message = match word {
            "begin" => Some(Self::Started),
            "end" => Some(Self::End),
            "exit" => number(rest).map(Self::Exited),
            "signal" => number(rest).map(Self::Signaled),
            "refused" => Some(Self::Refused(rest.to_owned())),
            _ => None,
        };
        message.unwrap_or_else(|| Self::Malformed(line.to_owned()))
    }
}

/// For messages to people: a line that was not written by init is quoted.
impl fmt::Display for InitMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("begin"),
            Self::Exited(code) => write!(f, "exit {code}"),
            Self::Signaled(number) => write!(f, "signal {number}"),
            Self::End => f.write_str("end"),
            Self::Refused(reason) => write!(f, "refused {}", shared::harmless(reason)),
            Self::Malformed(line) => write!(f, "{line:?}"),
        }
    }
}

/// A part of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunk<'a> {
    /// The program's output.
    Output(&'a [u8]),
    /// A line with the nonce: the message, and the line as it was written.
    Line(InitMessage, &'a [u8]),
}

// ANCHOR: decoder
/// Separates init's messages from the program's output, however the stream is cut into chunks.
#[derive(Debug)]
pub(crate) struct InitMessageDecoder {
    nonce: Nonce,
    /// The beginning of a nonce, or of a message, that the last chunk ended with.
    incomplete: Vec<u8>,
}

impl InitMessageDecoder {
    pub(crate) fn new(nonce: Nonce) -> Self {
        Self { nonce, incomplete: Vec::new() }
    }

    /// Calls `each` with the parts of `chunk`, in order. What may be the beginning of a nonce is
    /// delayed until the next chunk. That happens rarely, since a nonce is random.
    pub(crate) fn push(&mut self, chunk: &[u8], mut each: impl FnMut(Chunk<'_>)) {
        let joined;
        let mut rest = if self.incomplete.is_empty() {
            chunk
        } else {
            joined = [std::mem::take(&mut self.incomplete).as_slice(), chunk].concat();
            joined.as_slice()
        };
        let nonce = self.nonce.as_bytes();
        while let Some(at) = memmem::find(rest, nonce) {
            output(&rest[..at], &mut each);
            let line = &rest[at + nonce.len()..];
            let Some(length) = memchr::memchr(b'\n', line) else {
                if line.len() < MAX_MESSAGE_BYTES {
                    self.incomplete = rest[at..].to_vec();
                    return;
                }
                let text = String::from_utf8_lossy(&line[..MAX_MESSAGE_BYTES]).into_owned();
                each(Chunk::Line(InitMessage::Malformed(text), &rest[at..]));
                return;
            };
            let text = String::from_utf8_lossy(&line[..length]);
            let end = at + nonce.len() + length + 1;
            each(Chunk::Line(InitMessage::parse(text.trim_start()), &rest[at..end]));
            rest = &line[length + 1..];
        }
        let mut lengths = (1..nonce.len().min(rest.len() + 1)).rev();
        let delayed = lengths.find(|&length| rest.ends_with(&nonce[..length])).unwrap_or(0);
        let (complete, incomplete) = rest.split_at(rest.len() - delayed);
        output(complete, &mut each);
        self.incomplete = incomplete.to_vec();
    }

    /// The stream has ended: what was delayed is output of the program.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(Chunk<'_>)) {
        output(&std::mem::take(&mut self.incomplete), &mut each);
    }
}
// ANCHOR_END: decoder

fn output(bytes: &[u8], each: &mut impl FnMut(Chunk<'_>)) {
    if !bytes.is_empty() {
        each(Chunk::Output(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All output and all messages of a stream that comes in chunks of `size`.
    fn split(stream: &[u8], nonce: &Nonce, size: usize) -> (Vec<u8>, Vec<InitMessage>) {
        let mut decoder = InitMessageDecoder::new(nonce.clone());
        let (mut output, mut messages) = (Vec::new(), Vec::new());
        let mut each = |chunk: Chunk<'_>| match chunk {
            Chunk::Output(bytes) => output.extend_from_slice(bytes),
            Chunk::Line(message, _) => messages.push(message),
        };
        stream.chunks(size).for_each(|bytes| decoder.push(bytes, &mut each));
        decoder.finish(&mut each);
        (output, messages)
    }

    #[test]
    fn messages_are_found_however_the_stream_is_cut() {
        let nonce = Nonce::random();
        let s = &nonce.0;
        let stream = format!("{s} begin\nhel{}lo\n{s} signal 9\n", &s[..31]);
        for size in 1..stream.len() {
            let (output, messages) = split(stream.as_bytes(), &nonce, size);
            assert_eq!(output, format!("hel{}lo\n", &s[..31]).as_bytes());
            assert_eq!(messages, [InitMessage::Started, InitMessage::Signaled(9)]);
        }
    }

    #[test]
    fn output_is_not_delayed_without_reason() {
        let nonce = Nonce("s".repeat(32));
        let mut decoder = InitMessageDecoder::new(nonce);
        let mut seen = Vec::new();
        decoder.push(b"hello", |chunk| {
            assert_eq!(chunk, Chunk::Output(b"hello"));
            seen.push(());
        });
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn what_init_never_writes_is_malformed() {
        let nonce = Nonce::random();
        for line in ["exit 256", "exit", "exit -1", "signal x", "", "hello"] {
            let stream = format!("{} {line}\n", nonce.0);
            let (_, messages) = split(stream.as_bytes(), &nonce, 7);
            assert_eq!(messages, [InitMessage::Malformed(line.to_owned())]);
        }
        let endless = format!("{} {}", nonce.0, "x".repeat(10 * MAX_MESSAGE_BYTES));
        let (_, messages) = split(endless.as_bytes(), &nonce, 100);
        assert!(matches!(messages.as_slice(), [InitMessage::Malformed(_), ..]), "{messages:?}");
    }

    #[test]
    fn another_nonce_is_only_output() {
        let stream = format!("{} exit 0\n", Nonce::random().0);
        let (output, messages) = split(stream.as_bytes(), &Nonce::random(), 5);
        assert_eq!((output.as_slice(), messages.len()), (stream.as_bytes(), 0));
    }
}
