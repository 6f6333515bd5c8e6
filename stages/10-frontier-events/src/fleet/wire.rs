//! What a worker and the API say to each other: JSON over HTTP, under `/workers/{id}`.
//!
//! | request | answer |
//! |---|---|
//! | `PUT /workers/{id}` [`Announcement`] | [`Welcome`]; 409 when this worker cannot be one of the fleet |
//! | `POST …/sync` [`SyncRequest`] | [`SyncReply`], delayed until there is news or the poll time is over |
//! | `POST …/claim` [`ClaimRequest`] | [`ClaimReply`]; 409 when the ticket stands for nothing that waits |
//! | `POST …/output` [`OutputRequest`] | 204; 410 when the token is refused |
//! | `POST …/files` [`FileRequest`] | 204; 410 likewise |
//! | `POST …/result` [`ResultRequest`] | 204 when the end is committed; 410 likewise |
//! | `DELETE /workers/{id}` | 204: the worker is gone |
//!
//! Each request may be sent again when its answer was lost: pieces of output have offsets, parts of files have
//! numbers, a claim has an id of its own, and a result that was committed is confirmed again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::{Bounds, Job, Limits, SandboxInfo, Stream, Verdict};
use uuid::Uuid;

/// The version of this protocol.
pub(crate) const PROTOCOL: u32 = 1;
/// Bytes of output or of a file in one request, at most.
pub(crate) const MAX_CHUNK_BYTES: usize = 256 << 10;
/// Pieces of output in one request, at most.
pub(crate) const MAX_PIECES: usize = 1024;

/// What a worker says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// A name for people.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// Evaluations that it runs at the same time.
    pub capacity: u32,
    /// The environments that it has, with the digest of each; the default one has none.
    pub environments: BTreeMap<String, Option<String>>,
    /// What isolates its programs.
    pub sandbox: SandboxInfo,
    /// The highest limits that it runs a program with.
    pub bounds: WireBounds,
}

/// The highest limits of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireBounds {
    /// The limits that a submission cannot change, and the defaults of those that it can.
    pub limits: Limits,
    /// The longest wall-clock time.
    pub max_timeout_seconds: f64,
    /// The most memory.
    pub max_memory_bytes: u64,
}

impl From<&Bounds> for WireBounds {
    fn from(bounds: &Bounds) -> Self {
        Self {
            limits: bounds.default,
            max_timeout_seconds: bounds.max_timeout_seconds,
            max_memory_bytes: bounds.max_memory_bytes,
        }
    }
}

impl WireBounds {
    /// The first limit that is lower here than in `needed`, by the name of its flag.
    pub fn lower_than(&self, needed: &Self) -> Option<&'static str> {
        let (here, there) = (&self.limits, &needed.limits);
        let numbers = [
            ("--max-memory-bytes", self.max_memory_bytes, needed.max_memory_bytes),
            ("--pids", here.pids, there.pids),
            ("--output-bytes", here.output_bytes, there.output_bytes),
            ("--disk-bytes", here.disk_bytes, there.disk_bytes),
            ("--open-files", here.open_files, there.open_files),
        ];
        let seconds = [
            ("--max-timeout-seconds", self.max_timeout_seconds, needed.max_timeout_seconds),
            ("--cpu-seconds", here.cpu_seconds, there.cpu_seconds),
        ];
        let number = numbers.into_iter().find(|(_, here, there)| here < there);
        let second = seconds.into_iter().find(|(_, here, there)| here < there);
        number.map(|(flag, ..)| flag).or_else(|| second.map(|(flag, ..)| flag))
    }

    /// Whether a program may have these limits here.
    pub fn allow(&self, limits: &Limits) -> bool {
        let needed = Self {
            limits: *limits,
            max_timeout_seconds: limits.timeout_seconds,
            max_memory_bytes: limits.memory_bytes,
        };
        self.lower_than(&needed).is_none()
    }
}

/// The most evaluations that one worker may run at the same time.
const MAX_CAPACITY: u32 = 256;

impl Announcement {
    /// Why this worker cannot run what an API with this engine and these bounds accepts. None when it can.
    ///
    /// Attack: a worker without isolation joins, so that programs of this API run without any -> the operator of
    /// the API has said which engine its workers have. Test: `a_worker_with_another_engine_is_refused`.
    pub fn unfit(&self, engine: &str, bounds: &Bounds) -> Option<String> {
        if self.protocol != PROTOCOL {
            let theirs = self.protocol;
            return Some(format!(
                "the worker speaks version {theirs} of the protocol, the API {PROTOCOL}"
            ));
        }
        let own = &self.sandbox.engine;
        if own != engine {
            return Some(format!(
                "this API has workers with the engine {engine}, and this one has {own}: give both the \
                 same --engine"
            ));
        }
        if let Some(flag) = self.bounds.lower_than(&WireBounds::from(bounds)) {
            return Some(format!(
                "a program of this API may have more than the worker allows: start the worker with the \
                 API's {flag}"
            ));
        }
        if !(1..=MAX_CAPACITY).contains(&self.capacity) {
            return Some(format!("a worker runs 1 to {MAX_CAPACITY} programs at the same time"));
        }
        None
    }
}

/// How a worker has to behave.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// For so long a session is the worker's own after its last sync.
    pub lease_seconds: f64,
    /// For so long a sync is delayed at most.
    pub poll_seconds: f64,
    /// So long a worker waits between two syncs, where the API does not delay them: one that is paid for by its
    /// time does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_seconds: Option<f64>,
}

/// The sign of life of a worker, which extends its leases.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncRequest {
    /// The tokens of its sessions.
    pub sessions: Vec<String>,
    /// Those among them that it is ending because they were cancelled.
    pub cancelled: Vec<String>,
    /// Whether it takes no more tickets.
    pub draining: bool,
    /// Why its engine does not work, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<String>,
}

/// What has changed for a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncReply {
    /// Sessions whose program has to end.
    pub cancel: Vec<String>,
    /// Sessions that are not the worker's any more.
    pub lost: Vec<String>,
    /// Whether it should take no more tickets.
    pub drain: bool,
}

/// The claim of what a ticket stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// From the ticket.
    pub evaluation: Uuid,
    /// From the ticket.
    pub attempt: u32,
    /// Made by the worker, so that a claim whose answer was lost can be repeated.
    pub claim: Uuid,
}

/// A session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimReply {
    /// The fencing token: what every later request of the session has to carry.
    pub token: String,
    /// What to run.
    pub job: Job,
}

/// Output of a program, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputRequest {
    /// Of the session.
    pub token: String,
    /// In the order in which they were read.
    pub pieces: Vec<Piece>,
}

/// A piece of one output stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// Which stream.
    pub stream: Stream,
    /// Where in it.
    pub offset: u64,
    /// What.
    #[serde(with = "base64_bytes")]
    pub base64: Vec<u8>,
}

/// A part of a file that a program has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRequest {
    /// Of the session.
    pub token: String,
    /// Parts are numbered from 0, over all files of a session.
    pub number: u64,
    /// The path of a file that begins here; without, the file before goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<FilePath>,
    /// What is in it.
    #[serde(with = "base64_bytes")]
    pub base64: Vec<u8>,
}

/// The bytes of a path that a program has chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilePath(#[serde(with = "base64_bytes")] pub Vec<u8>);

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultRequest {
    /// Of the session.
    pub token: String,
    /// Output that was not sent yet.
    pub pieces: Vec<Piece>,
    /// How many parts of files were sent.
    pub file_parts: u64,
    /// How it ended.
    pub verdict: Verdict,
    /// Bytes of standard output and standard error above the limit, which were counted, not sent.
    pub excess_bytes: [u64; 2],
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
