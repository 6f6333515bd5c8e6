//! What the container's init says about the program, and how it is told from what the program says.
//!
//! Init writes into the same two streams as the program, behind a secret that is new for each
//! evaluation. A program that finds the secret in init's memory can forge a report. What it gains is
//! an exit code or a signal, and those were its own to choose anyway; limits are judged by counters
//! that lie outside.

use memchr::memmem;
use uuid::Uuid;

/// A line of init's is never longer. A longer one is not init's.
const LONGEST: usize = 300;

/// 122 random bits, as 32 letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// A new one.
    pub fn random() -> Self {
        Self(Uuid::new_v4().simple().to_string())
    }

    /// Its 32 letters.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// One line of init's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitMessage {
    /// The program starts now.
    Began,
    /// The program ended with an exit code.
    Exited(i32),
    /// The program died of a signal.
    Signaled(i32),
    /// Nothing more will come on this stream.
    End,
    /// The files could not be put in place.
    Refused(String),
    /// No line that init writes.
    Malformed(String),
}

impl InitMessage {
    /// What a line says, without its secret.
    pub fn parse(line: &str) -> Self {
        let number = |text: &str| text.parse().ok().filter(|number| (0..256).contains(number));
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let report = match word {
            "begin" => Some(Self::Began),
            "end" => Some(Self::End),
            "exit" => number(rest).map(Self::Exited),
            "signal" => number(rest).map(Self::Signaled),
            "refused" => Some(Self::Refused(rest.to_owned())),
            _ => None,
        };
        report.unwrap_or_else(|| Self::Malformed(line.to_owned()))
    }
}

/// A piece of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunk<'a> {
    /// The program's output.
    Output(&'a [u8]),
    /// A line of init's.
    InitMessage(InitMessage),
}

// ANCHOR: splitter
/// Takes init's lines out of a stream, however it is cut into chunks.
#[derive(Debug)]
pub(crate) struct InitMessageDecoder {
    secret: Nonce,
    /// Bytes that may be the beginning of a secret, or a line of init's that has not ended.
    held: Vec<u8>,
}

impl InitMessageDecoder {
    pub(crate) fn new(secret: Nonce) -> Self {
        Self { secret, held: Vec::new() }
    }

    /// Hands the pieces of `chunk` to `each`, in their order. What might be the beginning of a
    /// secret is held back until the next chunk: next to nothing, since a secret is random.
    pub(crate) fn push(&mut self, chunk: &[u8], mut each: impl FnMut(Chunk<'_>)) {
        let joined;
        let mut rest = if self.held.is_empty() {
            chunk
        } else {
            joined = [std::mem::take(&mut self.held).as_slice(), chunk].concat();
            joined.as_slice()
        };
        let secret = self.secret.as_bytes();
        while let Some(at) = memmem::find(rest, secret) {
            output(&rest[..at], &mut each);
            let line = &rest[at + secret.len()..];
            let Some(length) = memchr::memchr(b'\n', line) else {
                if line.len() < LONGEST {
                    self.held = rest[at..].to_vec();
                    return;
                }
                let line = String::from_utf8_lossy(&line[..LONGEST]).into_owned();
                return each(Chunk::InitMessage(InitMessage::Malformed(line)));
            };
            let text = String::from_utf8_lossy(&line[..length]);
            each(Chunk::InitMessage(InitMessage::parse(text.trim_start())));
            rest = &line[length + 1..];
        }
        let kept = (1..secret.len().min(rest.len() + 1)).rev();
        let kept = kept.into_iter().find(|&length| rest.ends_with(&secret[..length])).unwrap_or(0);
        output(&rest[..rest.len() - kept], &mut each);
        self.held = rest[rest.len() - kept..].to_vec();
    }

    /// The stream has ended: what was held back was the program's after all.
    pub(crate) fn finish(&mut self, mut each: impl FnMut(Chunk<'_>)) {
        output(&std::mem::take(&mut self.held), &mut each);
    }
}
// ANCHOR_END: splitter

fn output(bytes: &[u8], each: &mut impl FnMut(Chunk<'_>)) {
    if !bytes.is_empty() {
        each(Chunk::Output(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All output and all reports of a stream that comes in chunks of `size`.
    fn split(stream: &[u8], secret: &Nonce, size: usize) -> (Vec<u8>, Vec<InitMessage>) {
        let mut splitter = InitMessageDecoder::new(secret.clone());
        let (mut output, mut reports) = (Vec::new(), Vec::new());
        let mut each = |piece: Chunk<'_>| match piece {
            Chunk::Output(bytes) => output.extend_from_slice(bytes),
            Chunk::InitMessage(report) => reports.push(report),
        };
        stream.chunks(size).for_each(|chunk| splitter.push(chunk, &mut each));
        splitter.finish(&mut each);
        (output, reports)
    }

    #[test]
    fn reports_are_found_however_the_stream_is_cut() {
        let secret = Nonce::random();
        let s = &secret.0;
        let stream = format!("{s} begin\nhel{}lo\n{s} signal 9\n", &s[..31]);
        for size in 1..stream.len() {
            let (output, reports) = split(stream.as_bytes(), &secret, size);
            assert_eq!(output, format!("hel{}lo\n", &s[..31]).as_bytes());
            assert_eq!(reports, [InitMessage::Began, InitMessage::Signaled(9)]);
        }
    }

    #[test]
    fn output_is_not_held_back_without_reason() {
        let secret = Nonce("s".repeat(32));
        let mut splitter = InitMessageDecoder::new(secret);
        let mut seen = Vec::new();
        splitter.push(b"hello", |piece| {
            assert_eq!(piece, Chunk::Output(b"hello"));
            seen.push(());
        });
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn what_init_never_says_is_nonsense() {
        let secret = Nonce::random();
        for line in ["exit 256", "exit", "exit -1", "signal x", "", "hello"] {
            let stream = format!("{} {line}\n", secret.0);
            let (_, reports) = split(stream.as_bytes(), &secret, 7);
            assert_eq!(reports, [InitMessage::Malformed(line.to_owned())]);
        }
        let endless = format!("{} {}", secret.0, "x".repeat(10 * LONGEST));
        let (_, reports) = split(endless.as_bytes(), &secret, 100);
        assert!(matches!(reports.as_slice(), [InitMessage::Malformed(_), ..]), "{reports:?}");
    }

    #[test]
    fn another_secret_is_only_output() {
        let stream = format!("{} exit 0\n", Nonce::random().0);
        let (output, reports) = split(stream.as_bytes(), &Nonce::random(), 5);
        assert_eq!((output.as_slice(), reports.len()), (stream.as_bytes(), 0));
    }
}
