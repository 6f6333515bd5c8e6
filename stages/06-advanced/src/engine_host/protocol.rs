//! The frames between the API process and the engine host: a length of four bytes, and JSON.
//!
//! The first request is [`Request::Hello`], which is answered by [`Reply::Ready`]. After that, each
//! [`Request::Evaluate`] and each [`Request::Check`] is answered in its own time, by its id. Each
//! direction has one enum, so that a frame of the other direction is no frame.

use std::collections::BTreeMap;
use std::io;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use shared::component::SelfTestResult;
use shared::{Job, SandboxInfo, Stream, Verdict};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use uuid::Uuid;

use crate::sandboxes::{EndReason, OpenError, SandboxOrder, SandboxSupport};

/// Of this protocol. Both ends are one binary, unless it was replaced in between.
pub(super) const VERSION: u16 = 4;
/// The longest frame that the host reads. A body over HTTP has at most 2 MiB, and base64 adds a third.
pub(super) const MAX_REQUEST_BYTES: u32 = 16 << 20;
/// The longest frame that the API process reads: a chunk of output, or a verdict with its counters.
pub(super) const MAX_REPLY_BYTES: u32 = 1 << 20;
/// The most output in one frame, so that the runs take turns.
pub(super) const MAX_CHUNK_BYTES: usize = 64 << 10;
/// Checks at one moment.
pub(super) const MAX_CHECKS: usize = 4;

/// From the API process.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Request {
    /// The API process is ready: it handles signals from now on.
    Hello {
        /// [`VERSION`].
        version: u16,
    },
    /// Runs a program. Answered by any number of outputs, and one [`Reply::Ended`].
    Evaluate {
        /// The program, its id and its limits.
        job: Box<Job>,
    },
    /// Ends a run, which is answered by its [`Reply::Ended`]. Nothing happens if there is none.
    Cancel {
        /// Of the run.
        id: Uuid,
    },
    /// Runs one check of the engine, or its self test. Answered by [`Reply::Checked`].
    Check {
        /// A number for the answer.
        call: u64,
        /// Which of the suite, as listed in [`Reply::Ready`]; the self test without.
        index: Option<usize>,
    },
    /// Opens a kept sandbox. Answered by its socket, over the other pair, or by [`Reply::NotOpened`].
    Open {
        /// Which.
        order: SandboxOrder,
    },
    /// Removes a kept sandbox. Answered by [`Reply::Gone`], also if there is none.
    Remove {
        /// Of the sandbox.
        id: Uuid,
    },
    /// Ends all runs and closes the engine. Answered by [`Reply::Closed`]; no request may follow.
    Close {},
}

/// From the engine host.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Reply {
    /// What the API process has to know about the engine.
    Ready {
        /// The name of the engine, as a component.
        name: String,
        /// What isolates its programs.
        sandbox: SandboxInfo,
        /// The names of the checks of its suite.
        checks: Vec<String>,
        /// Runs at one moment. One more ends the connection.
        max_runs: usize,
        /// The sandboxes that can be opened. None keeps none.
        sandboxes: Option<Box<SandboxSupport>>,
    },
    /// A run has written output; at most [`MAX_CHUNK_BYTES`].
    Output {
        /// Of the run.
        id: Uuid,
        /// Where it wrote to.
        stream: Stream,
        /// What it wrote.
        #[serde(with = "base64_bytes")]
        bytes: Vec<u8>,
    },
    /// A run has left a file, of which this is a part of at most [`MAX_CHUNK_BYTES`].
    File {
        /// Of the run.
        id: Uuid,
        /// The path of a file that begins here; without, the file before goes on.
        path: Option<ArtifactPath>,
        /// What is in it.
        #[serde(with = "base64_bytes")]
        bytes: Vec<u8>,
    },
    /// A run has ended, and all its output and its files were sent.
    Ended {
        /// Of the run.
        id: Uuid,
        /// How.
        verdict: Box<Verdict>,
        /// Bytes of standard output and standard error above the limit, which were counted, not sent.
        excess_bytes: [u64; 2],
    },
    /// The result of a check.
    Checked {
        /// From the request.
        call: u64,
        /// What was found, or what is wrong.
        result: SelfTestResult,
    },
    /// How many sandboxes wait for a program, by the name of their environment. Sent when it has changed.
    Warm {
        /// The numbers of all environments.
        sandboxes: BTreeMap<String, usize>,
    },
    /// A sandbox was not opened.
    NotOpened {
        /// Of the order.
        id: Uuid,
        /// Why not.
        error: OpenError,
    },
    /// A sandbox has ended, and nothing of it is left. Sent once for each that was opened, and for a request to remove
    /// one that does not exist.
    Gone {
        /// Of the sandbox.
        id: Uuid,
        /// Why.
        reason: EndReason,
    },
    /// The engine is closed.
    Closed {},
}

/// The bytes of a path that a program has chosen.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ArtifactPath(#[serde(with = "base64_bytes")] pub(super) Vec<u8>);

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Its header has a length that no frame has.
    #[error("a frame of {bytes} bytes; the longest has {max}")]
    TooLong {
        /// Its length.
        bytes: u64,
        /// The longest.
        max: u32,
    },
    /// It is no frame of this protocol.
    #[error("not a frame of the protocol")]
    Unknown(#[source] serde_json::Error),
    /// The socket failed, or ended within a frame.
    #[error("the socket to the other process failed")]
    Socket(#[from] io::Error),
}

/// The bytes of a frame.
pub(super) fn encode(frame: &impl Serialize, max: u32) -> Result<Vec<u8>, FrameError> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, frame).map_err(FrameError::Unknown)?;
    let length = bytes.len() - 4;
    match u32::try_from(length) {
        Ok(length) if length <= max => bytes[..4].copy_from_slice(&length.to_be_bytes()),
        _ => return Err(FrameError::TooLong { bytes: length as u64, max }),
    }
    Ok(bytes)
}

/// The next frame; None at the end of the connection. Memory grows with what has arrived, not with
/// what the header claims.
pub(super) async fn read<F: DeserializeOwned>(
    reader: &mut (impl AsyncRead + Unpin),
    max: u32,
) -> Result<Option<F>, FrameError> {
    let mut header = [0; 4];
    if reader.read(&mut header[..1]).await? == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut header[1..]).await?;
    let length = u32::from_be_bytes(header);
    if length > max {
        return Err(FrameError::TooLong { bytes: length.into(), max });
    }
    let mut bytes = Vec::new();
    reader.take(length.into()).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 != u64::from(length) {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    serde_json::from_slice(&bytes).map(Some).map_err(FrameError::Unknown)
}

/// Bytes as standard base64.
mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(input)?).map_err(D::Error::custom)
    }
}
