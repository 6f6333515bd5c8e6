//! The frames, and how each is encoded: a header of nine bytes, then the payload.
//!
//! | bytes | content |
//! |---|---|
//! | 0 to 3 | length of the payload, big-endian |
//! | 4 | kind |
//! | 5 to 8 | execution, big-endian; 0 in a frame about the whole sandbox |
//!
//! A decoder accepts exactly what an encoder can produce: no unknown kind, no missing or trailing
//! byte, no empty chunk, no window of 0.

use std::fmt;
use std::num::NonZeroU32;

use super::MAX_PAYLOAD_BYTES;

const HEADER_BYTES: usize = 9;
/// The highest number of a signal on Linux.
const MAX_SIGNAL: u8 = 64;

/// Identifies an execution within its sandbox; the host chooses it.
pub(crate) type ExecutionId = NonZeroU32;

/// One of a program's two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OutputStream {
    Stdout,
    Stderr,
}

/// What is executed, and as which user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    /// User and group.
    pub(crate) user: u32,
    /// The program's path and its arguments; never empty.
    pub(crate) argv: Vec<String>,
    /// The whole environment: nothing is inherited.
    pub(crate) env: Vec<(String, String)>,
}

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With an exit code.
    Code(u8),
    /// By a signal.
    Signal(u8),
}

/// A frame from the host to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostFrame {
    /// Starts an execution.
    Start { execution: ExecutionId, command: Command },
    /// Ends the sandbox after so many seconds, should the host not do it.
    Lifetime { seconds: u32 },
    /// A chunk of an execution's standard input.
    Stdin { execution: ExecutionId, bytes: Vec<u8> },
    /// The end of an execution's standard input.
    StdinEof { execution: ExecutionId },
    /// So many more bytes of an output stream may be sent.
    Window { execution: ExecutionId, stream: OutputStream, bytes: u32 },
    /// Requests the files that an execution has left; after its end, once.
    Collect { execution: ExecutionId },
    /// Ends every process of an execution; once.
    Kill { execution: ExecutionId },
}

/// A frame from the supervisor to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SupervisorFrame {
    /// The supervisor runs, and speaks this version.
    Hello { version: u16 },
    /// The execution's first process was started.
    Started { execution: ExecutionId, pid: u32 },
    /// It was not.
    StartFailed { execution: ExecutionId, errno: u32 },
    /// A chunk of an output stream.
    Output { execution: ExecutionId, stream: OutputStream, bytes: Vec<u8> },
    /// So many more bytes of standard input may be sent.
    StdinWindow { execution: ExecutionId, bytes: u32 },
    /// The execution's first process ended, and all of its output was sent before.
    Exited { execution: ExecutionId, exit: Exit },
    /// A file that the execution has left begins, by its path.
    File { execution: ExecutionId, path: Vec<u8> },
    /// A chunk of the file that was started last.
    FileChunk { execution: ExecutionId, bytes: Vec<u8> },
    /// All files were sent, but for so many that are none or too many.
    Collected { execution: ExecutionId, skipped: u32 },
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// The header announces a payload longer than [`MAX_PAYLOAD_BYTES`].
    TooLong { bytes: u32 },
    /// No frame of this direction has this kind.
    UnknownKind { kind: u8 },
    /// The payload or the execution is not what this kind has.
    Malformed { kind: u8 },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => write!(formatter, "a frame of {bytes} bytes"),
            Self::UnknownKind { kind } => write!(formatter, "a frame of unknown kind {kind}"),
            Self::Malformed { kind } => write!(formatter, "a malformed frame of kind {kind}"),
        }
    }
}

impl std::error::Error for DecodeError {}

impl HostFrame {
    /// Appends the frame to `to`. A payload above the limit is the caller's error, and is refused
    /// by the receiver.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        match self {
            Self::Start { execution, command } => {
                encode(to, 1, execution.get(), |payload| command.encode(payload));
            }
            Self::Lifetime { seconds } => encode(to, 2, 0, |p| p.extend(seconds.to_be_bytes())),
            Self::Stdin { execution, bytes } => {
                encode(to, 3, execution.get(), |payload| payload.extend_from_slice(bytes));
            }
            Self::StdinEof { execution } => encode(to, 4, execution.get(), |_| {}),
            Self::Window { execution, stream, bytes } => {
                let kind = if *stream == OutputStream::Stdout { 5 } else { 6 };
                encode(to, kind, execution.get(), |p| p.extend(bytes.to_be_bytes()));
            }
            Self::Collect { execution } => encode(to, 7, execution.get(), |_| {}),
            Self::Kill { execution } => encode(to, 8, execution.get(), |_| {}),
        }
    }

    /// The first frame in `bytes` and its length; none while bytes are missing.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        decode(
            bytes,
            |kind, execution, payload| {
                let execution = NonZeroU32::new(execution);
                Some(match (kind, execution) {
                    (1, Some(execution)) => {
                        Self::Start { execution, command: Command::decode(payload)? }
                    }
                    (2, None) => Self::Lifetime { seconds: number(payload)? },
                    (3, Some(execution)) => Self::Stdin { execution, bytes: chunk(payload)? },
                    (4, Some(execution)) if payload.is_empty() => Self::StdinEof { execution },
                    (5 | 6, Some(execution)) => {
                        let stream =
                            if kind == 5 { OutputStream::Stdout } else { OutputStream::Stderr };
                        Self::Window { execution, stream, bytes: positive(payload)? }
                    }
                    (7, Some(execution)) if payload.is_empty() => Self::Collect { execution },
                    (8, Some(execution)) if payload.is_empty() => Self::Kill { execution },
                    _ => return None,
                })
            },
            1..=8,
        )
    }
}

impl SupervisorFrame {
    /// Appends the frame to `to`.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        match self {
            Self::Hello { version } => encode(to, 65, 0, |p| p.extend(version.to_be_bytes())),
            Self::Started { execution, pid } => {
                encode(to, 66, execution.get(), |p| p.extend(pid.to_be_bytes()));
            }
            Self::StartFailed { execution, errno } => {
                encode(to, 67, execution.get(), |p| p.extend(errno.to_be_bytes()));
            }
            Self::Output { execution, stream, bytes } => {
                let kind = if *stream == OutputStream::Stdout { 68 } else { 69 };
                encode(to, kind, execution.get(), |payload| payload.extend_from_slice(bytes));
            }
            Self::StdinWindow { execution, bytes } => {
                encode(to, 70, execution.get(), |p| p.extend(bytes.to_be_bytes()));
            }
            Self::Exited { execution, exit } => {
                let payload = match exit {
                    Exit::Code(code) => [0, *code],
                    Exit::Signal(signal) => [1, *signal],
                };
                encode(to, 71, execution.get(), |p| p.extend(payload));
            }
            Self::File { execution, path } => {
                encode(to, 72, execution.get(), |payload| payload.extend_from_slice(path));
            }
            Self::FileChunk { execution, bytes } => {
                encode(to, 73, execution.get(), |payload| payload.extend_from_slice(bytes));
            }
            Self::Collected { execution, skipped } => {
                encode(to, 74, execution.get(), |p| p.extend(skipped.to_be_bytes()));
            }
        }
    }

    /// The first frame in `bytes` and its length; none while bytes are missing.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        decode(
            bytes,
            |kind, execution, payload| {
                let execution = NonZeroU32::new(execution);
                Some(match (kind, execution) {
                    (65, None) => {
                        Self::Hello { version: u16::from_be_bytes(payload.try_into().ok()?) }
                    }
                    (66, Some(execution)) => Self::Started { execution, pid: positive(payload)? },
                    (67, Some(execution)) => {
                        Self::StartFailed { execution, errno: number(payload)? }
                    }
                    (68 | 69, Some(execution)) => {
                        let stream =
                            if kind == 68 { OutputStream::Stdout } else { OutputStream::Stderr };
                        Self::Output { execution, stream, bytes: chunk(payload)? }
                    }
                    (70, Some(execution)) => {
                        Self::StdinWindow { execution, bytes: positive(payload)? }
                    }
                    (71, Some(execution)) => {
                        let exit = match payload {
                            [0, code] => Exit::Code(*code),
                            [1, signal @ 1..=MAX_SIGNAL] => Exit::Signal(*signal),
                            _ => return None,
                        };
                        Self::Exited { execution, exit }
                    }
                    (72, Some(execution)) => Self::File { execution, path: chunk(payload)? },
                    (73, Some(execution)) => Self::FileChunk { execution, bytes: chunk(payload)? },
                    (74, Some(execution)) => {
                        Self::Collected { execution, skipped: number(payload)? }
                    }
                    _ => return None,
                })
            },
            65..=74,
        )
    }
}

impl Command {
    /// User, number of arguments, arguments, then the variables; each text as length and bytes.
    fn encode(&self, to: &mut Vec<u8>) {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
        let text = |to: &mut Vec<u8>, text: &str| {
            to.extend(count(text.len()));
            to.extend_from_slice(text.as_bytes());
        };
        to.extend(self.user.to_be_bytes());
        to.extend(count(self.argv.len()));
        self.argv.iter().for_each(|argument| text(to, argument));
        for (name, value) in &self.env {
            text(to, name);
            text(to, value);
        }
    }

    fn decode(mut payload: &[u8]) -> Option<Self> {
        fn take_number(payload: &mut &[u8]) -> Option<u32> {
            let (head, rest) = payload.split_at_checked(4)?;
            *payload = rest;
            number(head)
        }
        fn take_text(payload: &mut &[u8]) -> Option<String> {
            let length = usize::try_from(take_number(payload)?).ok()?;
            let (text, rest) = payload.split_at_checked(length)?;
            *payload = rest;
            // The system's calls end a text at a NUL.
            let text = std::str::from_utf8(text).ok()?;
            (!text.contains('\0')).then(|| text.to_owned())
        }
        let user = take_number(&mut payload)?;
        let arguments = take_number(&mut payload)?;
        let argv: Option<Vec<_>> = (0..arguments).map(|_| take_text(&mut payload)).collect();
        let argv = argv.filter(|argv| !argv.is_empty())?;
        let mut env = Vec::new();
        while !payload.is_empty() {
            env.push((take_text(&mut payload)?, take_text(&mut payload)?));
        }
        Some(Self { user, argv, env })
    }
}

fn encode(to: &mut Vec<u8>, kind: u8, execution: u32, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    to.extend([0; 4]);
    to.push(kind);
    to.extend(execution.to_be_bytes());
    payload(to);
    let length = u32::try_from(to.len() - start - HEADER_BYTES).unwrap_or(u32::MAX);
    to[start..start + 4].copy_from_slice(&length.to_be_bytes());
}

fn decode<F>(
    bytes: &[u8],
    frame: impl FnOnce(u8, u32, &[u8]) -> Option<F>,
    kinds: std::ops::RangeInclusive<u8>,
) -> Result<Option<(F, usize)>, DecodeError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let [l0, l1, l2, l3, kind, e0, e1, e2, e3] = *header;
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    if !kinds.contains(&kind) {
        return Err(DecodeError::UnknownKind { kind });
    }
    let payload = usize::try_from(length).ok().filter(|length| *length <= MAX_PAYLOAD_BYTES);
    let length = payload.ok_or(DecodeError::TooLong { bytes: length })?;
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    let frame = frame(kind, u32::from_be_bytes([e0, e1, e2, e3]), payload);
    let frame = frame.ok_or(DecodeError::Malformed { kind })?;
    Ok(Some((frame, HEADER_BYTES + length)))
}

fn number(payload: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(payload.try_into().ok()?))
}

fn positive(payload: &[u8]) -> Option<u32> {
    number(payload).filter(|number| *number > 0)
}

fn chunk(payload: &[u8]) -> Option<Vec<u8>> {
    (!payload.is_empty()).then(|| payload.to_vec())
}
