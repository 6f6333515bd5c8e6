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

/// How an execution ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// With an exit code.
    Code(u8),
    /// By a signal.
    Signal(u8),
}

/// Why an execution did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartFailure {
    /// The program cannot be executed.
    Program,
    /// The working directory cannot be entered.
    Cwd,
    /// The sandbox has no such user.
    UserUnknown,
    /// The sandbox has the user, and executes nothing as it.
    UserUnsupported,
    /// It was killed before it started.
    Killed,
    /// The supervisor lacks something: processes, descriptors, memory.
    Supervisor,
}

/// A frame from the host to the supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostFrame {
    /// The encoded `command::Defaults`.
    Configure { bytes: Vec<u8> },
    /// The next part of an encoded `command::Command`.
    Spec { execution: ExecutionId, bytes: Vec<u8> },
    /// The command is complete: starts it.
    Start { execution: ExecutionId },
    /// A chunk of an execution's standard input.
    Stdin { execution: ExecutionId, bytes: Vec<u8> },
    /// The end of an execution's standard input.
    StdinEof { execution: ExecutionId },
    /// So many more bytes of an output stream may be sent.
    Window { execution: ExecutionId, stream: OutputStream, bytes: u32 },
    /// Sends a signal to an execution's first process, or to its whole tree.
    Signal { execution: ExecutionId, signal: u8, tree: bool },
    /// Ends every process of an execution.
    Kill { execution: ExecutionId },
    /// Ends the sandbox after so many seconds, should the host not do it. The latest one counts.
    Lifetime { seconds: u32 },
}

/// A frame from the supervisor to the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SupervisorFrame {
    /// The supervisor runs, and speaks this version.
    Hello { version: u16 },
    /// The execution's first process was started.
    Started { execution: ExecutionId, pid: u32 },
    /// It was not.
    StartFailed { execution: ExecutionId, failure: StartFailure, errno: u32 },
    /// A chunk of an output stream.
    Output { execution: ExecutionId, stream: OutputStream, bytes: Vec<u8> },
    /// So many more bytes of standard input may be sent.
    StdinWindow { execution: ExecutionId, bytes: u32 },
    /// The execution's first process ended, and its output was sent before.
    Exited { execution: ExecutionId, exit: Exit },
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
            Self::Configure { bytes } => encode(to, 1, 0, bytes),
            Self::Spec { execution, bytes } => encode(to, 2, execution.get(), bytes),
            Self::Start { execution } => encode(to, 3, execution.get(), &[]),
            Self::Stdin { execution, bytes } => encode(to, 4, execution.get(), bytes),
            Self::StdinEof { execution } => encode(to, 5, execution.get(), &[]),
            Self::Window { execution, stream, bytes } => {
                let kind = if *stream == OutputStream::Stdout { 6 } else { 7 };
                encode(to, kind, execution.get(), &bytes.to_be_bytes());
            }
            Self::Signal { execution, signal, tree } => {
                encode(to, 8, execution.get(), &[*signal, u8::from(*tree)]);
            }
            Self::Kill { execution } => encode(to, 9, execution.get(), &[]),
            Self::Lifetime { seconds } => encode(to, 10, 0, &seconds.to_be_bytes()),
        }
    }

    /// The first frame in `bytes` and its length; none while bytes are missing.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        decode(bytes, 1..=10, |kind, execution, payload| {
            Some(match (kind, NonZeroU32::new(execution)) {
                (1, None) => Self::Configure { bytes: chunk(payload)? },
                (2, Some(execution)) => Self::Spec { execution, bytes: chunk(payload)? },
                (3, Some(execution)) if payload.is_empty() => Self::Start { execution },
                (4, Some(execution)) => Self::Stdin { execution, bytes: chunk(payload)? },
                (5, Some(execution)) if payload.is_empty() => Self::StdinEof { execution },
                (6 | 7, Some(execution)) => {
                    let stream =
                        if kind == 6 { OutputStream::Stdout } else { OutputStream::Stderr };
                    Self::Window { execution, stream, bytes: positive(payload)? }
                }
                (8, Some(execution)) => match *payload {
                    [signal @ 1..=MAX_SIGNAL, tree @ 0..=1] => {
                        Self::Signal { execution, signal, tree: tree == 1 }
                    }
                    _ => return None,
                },
                (9, Some(execution)) if payload.is_empty() => Self::Kill { execution },
                (10, None) => Self::Lifetime { seconds: number(payload)? },
                _ => return None,
            })
        })
    }
}

impl SupervisorFrame {
    /// Appends the frame to `to`.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        match self {
            Self::Hello { version } => encode(to, 65, 0, &version.to_be_bytes()),
            Self::Started { execution, pid } => {
                encode(to, 66, execution.get(), &pid.to_be_bytes());
            }
            Self::StartFailed { execution, failure, errno } => {
                let [e0, e1, e2, e3] = errno.to_be_bytes();
                encode(to, 67, execution.get(), &[failure.code(), e0, e1, e2, e3]);
            }
            Self::Output { execution, stream, bytes } => {
                let kind = if *stream == OutputStream::Stdout { 68 } else { 69 };
                encode(to, kind, execution.get(), bytes);
            }
            Self::StdinWindow { execution, bytes } => {
                encode(to, 70, execution.get(), &bytes.to_be_bytes());
            }
            Self::Exited { execution, exit } => {
                let payload = match exit {
                    Exit::Code(code) => [0, *code],
                    Exit::Signal(signal) => [1, *signal],
                };
                encode(to, 71, execution.get(), &payload);
            }
        }
    }

    /// The first frame in `bytes` and its length; none while bytes are missing.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        decode(bytes, 65..=71, |kind, execution, payload| {
            Some(match (kind, NonZeroU32::new(execution)) {
                (65, None) => Self::Hello { version: u16::from_be_bytes(payload.try_into().ok()?) },
                (66, Some(execution)) => {
                    let pid = positive(payload).filter(|pid| i32::try_from(*pid).is_ok())?;
                    Self::Started { execution, pid }
                }
                (67, Some(execution)) => {
                    let (failure, errno) = payload.split_first()?;
                    let failure = StartFailure::from_code(*failure)?;
                    Self::StartFailed { execution, failure, errno: number(errno)? }
                }
                (68 | 69, Some(execution)) => {
                    let stream =
                        if kind == 68 { OutputStream::Stdout } else { OutputStream::Stderr };
                    Self::Output { execution, stream, bytes: chunk(payload)? }
                }
                (70, Some(execution)) => Self::StdinWindow { execution, bytes: positive(payload)? },
                (71, Some(execution)) => {
                    let exit = match *payload {
                        [0, code] => Exit::Code(code),
                        [1, signal @ 1..=MAX_SIGNAL] => Exit::Signal(signal),
                        _ => return None,
                    };
                    Self::Exited { execution, exit }
                }
                _ => return None,
            })
        })
    }
}

impl StartFailure {
    const ALL: [Self; 6] = [
        Self::Program,
        Self::Cwd,
        Self::UserUnknown,
        Self::UserUnsupported,
        Self::Killed,
        Self::Supervisor,
    ];

    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|failure| failure.code() == code)
    }
}

fn encode(to: &mut Vec<u8>, kind: u8, execution: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    to.extend(length.to_be_bytes());
    to.push(kind);
    to.extend(execution.to_be_bytes());
    to.extend_from_slice(payload);
}

fn decode<F>(
    bytes: &[u8],
    kinds: std::ops::RangeInclusive<u8>,
    frame: impl FnOnce(u8, u32, &[u8]) -> Option<F>,
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
