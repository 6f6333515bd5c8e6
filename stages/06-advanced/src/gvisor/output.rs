//! What comes out of a sandbox's two pipes, straight into the buffer.
//!
//! Before the program there is one line on standard error, the loader's: that the program begins, or
//! why it cannot. The program has not run an instruction when that line is written, so that the line
//! is known by its place, and nothing that comes after it can be taken for one.

use std::io;
use std::os::fd::AsFd;

use shared::{OutputBuffer, Stream};
use stage_04_docker::{InitMessage, Stop};

/// What the loader's line begins with: the secret it was given.
const SECRET: usize = 32;
/// The longest line of the loader's.
const LINE: usize = 1000;

/// The loader's line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Head {
    /// So much of it has come.
    CgroupStats(Vec<u8>),
    /// The program has begun.
    Began,
    /// It has not, and will not.
    Failed(InitMessage),
}

/// Both streams of one program.
pub(super) struct Output<'a> {
    buffer: &'a OutputBuffer,
    pub(super) head: Head,
    pub(super) stdout_is_open: bool,
    pub(super) stderr_is_open: bool,
    /// It wrote more than is kept.
    pub(super) is_full: bool,
}

impl<'a> Output<'a> {
    pub(super) fn new(buffer: &'a OutputBuffer) -> Self {
        let head = Head::CgroupStats(Vec::new());
        Self { buffer, head, stdout_is_open: true, stderr_is_open: true, is_full: false }
    }

    /// Takes what was read from standard output into `chunk`.
    pub(super) fn stdout(&mut self, chunk: &[u8], read: &io::Result<usize>) {
        match read {
            Ok(length @ 1..) => self.push(Stream::Stdout, &chunk[..*length]),
            _ => self.stdout_is_open = false,
        }
    }

    /// Takes what was read from standard error into `chunk`.
    pub(super) fn stderr(&mut self, chunk: &[u8], read: &io::Result<usize>) {
        match read {
            Ok(length @ 1..) => self.take(&chunk[..*length]),
            _ => self.stderr_is_open = false,
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let Head::CgroupStats(line) = &mut self.head else {
            return self.push(Stream::Stderr, bytes);
        };
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            line.extend_from_slice(bytes);
            if line.len() > LINE {
                self.head =
                    Head::Failed(InitMessage::Malformed("a line without an end".to_owned()));
            }
            return;
        };
        line.extend_from_slice(&bytes[..end]);
        let words = String::from_utf8_lossy(line.get(SECRET..).unwrap_or(line)).into_owned();
        self.head = match InitMessage::parse(words.trim_start()) {
            InitMessage::Began => Head::Began,
            report => Head::Failed(report),
        };
        let rest = &bytes[end + 1..];
        if self.head == Head::Began && !rest.is_empty() {
            self.push(Stream::Stderr, rest);
        }
    }

    fn push(&mut self, stream: Stream, bytes: &[u8]) {
        self.is_full |= self.buffer.push(stream, bytes).is_err();
    }

    // ANCHOR: drain
    /// Reads what is in the pipes now, and no more: a process that the program left behind may go on
    /// writing until it is taken away.
    pub(super) fn drain(&mut self, stdout: &impl AsFd, stderr: &impl AsFd) {
        if let Ok(bytes) = rest(stdout) {
            self.push(Stream::Stdout, &bytes);
        }
        if let Ok(bytes) = rest(stderr)
            && !bytes.is_empty()
        {
            self.take(&bytes);
        }
    }
    // ANCHOR_END: drain

    /// Why the engine stopped watching, now that everything has been read.
    pub(super) fn verdict(self, stop: Stop) -> Stop {
        match (self.head, stop) {
            (Head::Failed(report), _) => Stop::Reported(report),
            (Head::Began, Stop::Reported(_)) if self.is_full => Stop::OutputLimit,
            (Head::CgroupStats(line), Stop::Reported(report)) => {
                let line = String::from_utf8_lossy(&line).into_owned();
                Stop::Fault(format!("no program began, but its interpreter did: {report:?} {line}"))
            }
            (_, stop) => stop,
        }
    }
}

/// What is in a pipe at this moment. Read past tokio, which may not have heard yet that there is
/// something to read.
fn rest(pipe: &impl AsFd) -> rustix::io::Result<Vec<u8>> {
    let length = usize::try_from(rustix::io::ioctl_fionread(pipe)?).unwrap_or(0);
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match rustix::io::read(pipe, &mut bytes[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(chunks: &[&str]) -> (Head, String) {
        let buffer = OutputBuffer::new(100, Box::new(|_, _, _| {}));
        let mut output = Output::new(&buffer);
        for chunk in chunks {
            output.stderr(chunk.as_bytes(), &Ok(chunk.len()));
        }
        let head = output.head.clone();
        (head, buffer.output(Stream::Stderr).text)
    }

    #[test]
    fn the_loaders_line_is_known_by_its_place() {
        let line = format!("{} begin\n", "s".repeat(SECRET));
        for cut in 1..line.len() {
            let (head, text) = read(&[&line[..cut], &line[cut..], "first\n", &line]);
            assert_eq!(head, Head::Began);
            assert_eq!(text, format!("first\n{line}"), "a second line like it is output");
        }
        let (head, text) = read(&[&format!("{line}together")]);
        assert_eq!((head, text.as_str()), (Head::Began, "together"));
    }

    #[test]
    fn a_program_that_cannot_begin_says_why() {
        let refused = format!("{} refused [Errno 28] full\n", "s".repeat(SECRET));
        let (head, text) = read(&[&refused]);
        assert_eq!(head, Head::Failed(InitMessage::Refused("[Errno 28] full".to_owned())));
        assert_eq!(text, "");
        let (head, _) = read(&["MemoryError\n"]);
        assert!(matches!(head, Head::Failed(InitMessage::Malformed(_))), "{head:?}");
        let (head, _) = read(&["x".repeat(LINE + 1).as_str()]);
        assert!(matches!(head, Head::Failed(InitMessage::Malformed(_))), "{head:?}");
    }
}
