//! The frames of a sandbox that stays; `frame_codec` has how each is encoded.

use std::num::NonZeroU32;

use super::MAX_PAYLOAD_BYTES;
pub(crate) use crate::frame_codec::{DecodeError, ExecutionId, Exit, OutputStream};
use crate::frame_codec::{MAX_SIGNAL, chunk, decode, encode, number, positive};

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
        decode(bytes, MAX_PAYLOAD_BYTES, 1..=10, |kind, execution, payload| {
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
            Self::Exited { execution, exit } => encode(to, 71, execution.get(), &exit.encode()),
        }
    }

    /// The first frame in `bytes` and its length; none while bytes are missing.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        decode(bytes, MAX_PAYLOAD_BYTES, 65..=71, |kind, execution, payload| {
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
                (71, Some(execution)) => Self::Exited { execution, exit: Exit::decode(payload)? },
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
