//! What the frames of both supervisors' protocols have in common: the header, the bounds and the pieces of payloads.
//!
//! A frame is a header of nine bytes, then the payload.
//!
//! | bytes | content |
//! |---|---|
//! | 0 to 3 | length of the payload, big-endian |
//! | 4 | kind |
//! | 5 to 8 | execution, big-endian; 0 in a frame about the whole sandbox |
//!
//! A decoder accepts exactly what an encoder can produce: no unknown kind, no missing or trailing
//! byte, no empty chunk, no window of 0.
//!
//! The host and both supervisors compile this file, so it uses the standard library alone.

use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

const HEADER_BYTES: usize = 9;
/// The highest number of a signal on Linux.
pub(crate) const MAX_SIGNAL: u8 = 64;

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

impl Exit {
    /// As the payload of a frame.
    pub(crate) fn encode(self) -> [u8; 2] {
        match self {
            Self::Code(code) => [0, code],
            Self::Signal(signal) => [1, signal],
        }
    }

    /// From the payload of a frame.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        match *payload {
            [0, code] => Some(Self::Code(code)),
            [1, signal @ 1..=MAX_SIGNAL] => Some(Self::Signal(signal)),
            _ => None,
        }
    }
}

/// Why bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// The header announces a payload longer than the protocol has.
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

/// Appends a frame to `to`.
pub(crate) fn encode(to: &mut Vec<u8>, kind: u8, execution: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    to.extend(length.to_be_bytes());
    to.push(kind);
    to.extend(execution.to_be_bytes());
    to.extend_from_slice(payload);
}

/// The first frame in `bytes` and its length; none while bytes are missing. It has one of these `kinds`, and a payload
/// of at most so many bytes, which `frame` reads.
pub(crate) fn decode<F>(
    bytes: &[u8],
    max_payload_bytes: usize,
    kinds: RangeInclusive<u8>,
    frame: impl FnOnce(u8, u32, &[u8]) -> Option<F>,
) -> Result<Option<(F, usize)>, DecodeError> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let [l0, l1, l2, l3, kind, e0, e1, e2, e3] = *header;
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    if !kinds.contains(&kind) {
        return Err(DecodeError::UnknownKind { kind });
    }
    let payload = usize::try_from(length).ok().filter(|length| *length <= max_payload_bytes);
    let length = payload.ok_or(DecodeError::TooLong { bytes: length })?;
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    let frame = frame(kind, u32::from_be_bytes([e0, e1, e2, e3]), payload);
    let frame = frame.ok_or(DecodeError::Malformed { kind })?;
    Ok(Some((frame, HEADER_BYTES + length)))
}

/// A number as a whole payload.
pub(crate) fn number(payload: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(payload.try_into().ok()?))
}

/// The same, above 0.
pub(crate) fn positive(payload: &[u8]) -> Option<u32> {
    number(payload).filter(|number| *number > 0)
}

/// Bytes of which there is at least one.
pub(crate) fn chunk(payload: &[u8]) -> Option<Vec<u8>> {
    (!payload.is_empty()).then(|| payload.to_vec())
}
