//! The frames of a sandbox that runs one program; `frame_codec` has how each is encoded.

use std::num::NonZeroU32;

use super::MAX_PAYLOAD_BYTES;
pub(crate) use crate::frame_codec::{DecodeError, ExecutionId, Exit, OutputStream};
use crate::frame_codec::{chunk, decode, encode, number, positive};

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
    /// The execution's first process ended, and all of its output was sent before. Without files there is nothing to
    /// collect.
    Exited { execution: ExecutionId, exit: Exit, has_files: bool },
    /// A file that the execution has left begins, by its path.
    File { execution: ExecutionId, path: Vec<u8> },
    /// A chunk of the file that was started last.
    FileChunk { execution: ExecutionId, bytes: Vec<u8> },
    /// All files were sent, but for so many that are none or too many.
    Collected { execution: ExecutionId, skipped: u32 },
}

impl HostFrame {
    /// Appends the frame to `to`. A payload above the limit is the caller's error, and is refused
    /// by the receiver.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        match self {
            Self::Start { execution, command } => {
                let mut payload = Vec::new();
                command.encode(&mut payload);
                encode(to, 1, execution.get(), &payload);
            }
            Self::Lifetime { seconds } => encode(to, 2, 0, &seconds.to_be_bytes()),
            Self::Stdin { execution, bytes } => {
                encode(to, 3, execution.get(), bytes);
            }
            Self::StdinEof { execution } => encode(to, 4, execution.get(), &[]),
            Self::Window { execution, stream, bytes } => {
                let kind = if *stream == OutputStream::Stdout { 5 } else { 6 };
                encode(to, kind, execution.get(), &bytes.to_be_bytes());
            }
            Self::Collect { execution } => encode(to, 7, execution.get(), &[]),
            Self::Kill { execution } => encode(to, 8, execution.get(), &[]),
        }
    }

    /// The first frame in `bytes` and its length; none while bytes are missing.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        decode(bytes, MAX_PAYLOAD_BYTES, 1..=8, |kind, execution, payload| {
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
            Self::StartFailed { execution, errno } => {
                encode(to, 67, execution.get(), &errno.to_be_bytes());
            }
            Self::Output { execution, stream, bytes } => {
                let kind = if *stream == OutputStream::Stdout { 68 } else { 69 };
                encode(to, kind, execution.get(), bytes);
            }
            Self::StdinWindow { execution, bytes } => {
                encode(to, 70, execution.get(), &bytes.to_be_bytes());
            }
            Self::Exited { execution, exit, has_files } => {
                let [kind, number] = exit.encode();
                encode(to, 71, execution.get(), &[kind, number, (*has_files).into()]);
            }
            Self::File { execution, path } => {
                encode(to, 72, execution.get(), path);
            }
            Self::FileChunk { execution, bytes } => {
                encode(to, 73, execution.get(), bytes);
            }
            Self::Collected { execution, skipped } => {
                encode(to, 74, execution.get(), &skipped.to_be_bytes());
            }
        }
    }

    /// The first frame in `bytes` and its length; none while bytes are missing.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, DecodeError> {
        decode(bytes, MAX_PAYLOAD_BYTES, 65..=74, |kind, execution, payload| {
            let execution = NonZeroU32::new(execution);
            Some(match (kind, execution) {
                (65, None) => Self::Hello { version: u16::from_be_bytes(payload.try_into().ok()?) },
                (66, Some(execution)) => Self::Started { execution, pid: positive(payload)? },
                (67, Some(execution)) => Self::StartFailed { execution, errno: number(payload)? },
                (68 | 69, Some(execution)) => {
                    let stream =
                        if kind == 68 { OutputStream::Stdout } else { OutputStream::Stderr };
                    Self::Output { execution, stream, bytes: chunk(payload)? }
                }
                (70, Some(execution)) => Self::StdinWindow { execution, bytes: positive(payload)? },
                (71, Some(execution)) => {
                    let (exit, has_files) = match payload {
                        [exit @ .., has_files @ 0..=1] => (exit, *has_files == 1),
                        _ => return None,
                    };
                    Self::Exited { execution, exit: Exit::decode(exit)?, has_files }
                }
                (72, Some(execution)) => Self::File { execution, path: chunk(payload)? },
                (73, Some(execution)) => Self::FileChunk { execution, bytes: chunk(payload)? },
                (74, Some(execution)) => Self::Collected { execution, skipped: number(payload)? },
                _ => return None,
            })
        })
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
