//! One run of one submitted program, and everything that is known about it.
//!
//! Three things are kept apart, because mixing them is what makes other systems ambiguous: the
//! [`Status`] (where the evaluation is), the [`Outcome`] (how it ended) and the [`Evidence`] (what
//! decided it). Exit code 137, say, is what the kernel's out-of-memory killer leaves behind, but it
//! is also what `os._exit(137)` leaves behind; only the evidence tells them apart.

use std::collections::BTreeMap;

use base64::Engine as _;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

// ANCHOR: status
/// Where an evaluation is. Only the last three are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Accepted, and waiting for a worker.
    Queued,
    /// A worker has it.
    Running,
    /// The program ended by itself, well or badly.
    Completed,
    /// A limit or an error of the platform ended it.
    Failed,
    /// The client cancelled it, or the platform shut down.
    Cancelled,
}
// ANCHOR_END: status

impl Status {
    /// True when nothing about the evaluation can change any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// How an evaluation ended. Each outcome belongs to exactly one final [`Status`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// The program ended with an exit code of its own.
    Exited,
    /// A signal ended the program, and the platform did not send it.
    Signaled,
    /// It was still running when its wall-clock time was over.
    WallTimeExceeded,
    /// It used up its processor time.
    CpuTimeExceeded,
    /// It asked for more memory than it may have.
    MemoryExceeded,
    /// It asked for more processes or threads than it may have.
    PidsExceeded,
    /// It wrote more output than is stored.
    OutputExceeded,
    /// It wrote more to disk than it may.
    DiskExceeded,
    /// The engine could not run it, or lost it. The program is never the cause.
    EngineError,
    /// The worker that ran it is gone. The program is never the cause.
    WorkerLost,
    /// No worker took it within the time that the client gave.
    QueueTimeExceeded,
    /// The client cancelled it, or the platform shut down.
    Cancelled,
}

impl Outcome {
    /// The final status this outcome belongs to.
    pub fn status(self) -> Status {
        match self {
            Self::Exited | Self::Signaled => Status::Completed,
            Self::Cancelled => Status::Cancelled,
            _ => Status::Failed,
        }
    }

    /// True when a limit on a resource ended the program.
    pub fn is_limit(self) -> bool {
        let is_other =
            matches!(self, Self::EngineError | Self::WorkerLost | Self::QueueTimeExceeded);
        self.status() == Status::Failed && !is_other
    }

    /// The name used in JSON, in metrics and on the command line.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What decided the outcome: the name of the counter or event, and the counters that were read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The counter or event that decided, such as `exit_status`, `wall_clock` or `pids.events`.
    pub decided_by: String,
    /// Every counter the engine read, by name, whether or not it decided.
    #[serde(flatten)]
    pub counters: BTreeMap<String, serde_json::Value>,
}

impl Evidence {
    /// Evidence that names what decided, with no counters yet.
    pub fn new(decided_by: impl Into<String>) -> Self {
        Self { decided_by: decided_by.into(), counters: BTreeMap::new() }
    }

    /// The same evidence with one more counter.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.counters.insert(name.to_owned(), value.into());
        self
    }
}

/// What a program wrote to one of its two streams, as far as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The stored bytes, in the given encoding.
    pub text: String,
    /// How `text` stands for the bytes.
    pub encoding: Encoding,
    /// Bytes that were read from the program, stored or not.
    pub bytes_total: u64,
    /// True when the program wrote more than is stored here.
    pub truncated: bool,
}

/// How [`Output::text`] stands for the bytes the program wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// The bytes were valid UTF-8 and stand there as they were.
    #[default]
    Utf8,
    /// The bytes were not valid UTF-8, so nothing is lost by guessing: standard base64.
    Base64,
}

impl Encoding {
    /// The text that stands for `bytes`, and its encoding. No byte is ever lost.
    pub fn encode(bytes: &[u8]) -> (String, Self) {
        match std::str::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), Self::Utf8),
            Err(_) => (base64::engine::general_purpose::STANDARD.encode(bytes), Self::Base64),
        }
    }
}

impl Output {
    /// The output for `stored` bytes out of `bytes_total` that the program wrote.
    ///
    /// A cut in the middle of a UTF-8 character would turn a text into base64, so up to three
    /// bytes of a torn last character are dropped from a truncated output.
    pub fn new(stored: &[u8], bytes_total: u64) -> Self {
        let truncated = bytes_total > stored.len() as u64;
        let cut = std::str::from_utf8(stored).err();
        let cut = cut.filter(|error| truncated && error.error_len().is_none());
        let whole = cut.map_or(stored, |error| &stored[..error.valid_up_to()]);
        let (text, encoding) = Encoding::encode(whole);
        Self { text, encoding, bytes_total, truncated }
    }
}

/// What the run cost. A field is absent when the engine cannot know it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Wall-clock time from the start of the program to its end, in milliseconds.
    pub wall_ms: u64,
    /// Processor time, user and system together, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cpu_ms: Option<u64>,
    /// The most memory in use at one moment, in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory_peak_bytes: Option<u64>,
    /// The most processes and threads alive at one moment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pids_peak: Option<u64>,
}

/// The effective limits of one evaluation. Always numbers: nothing here can mean "unlimited".
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Wall-clock time in seconds.
    pub timeout_seconds: f64,
    /// Processor time in seconds, over all processes of the program.
    pub cpu_seconds: f64,
    /// Memory in bytes; swap is not added to it.
    pub memory_bytes: u64,
    /// Processes and threads at one moment.
    pub pids: u64,
    /// Bytes stored of each of the two output streams; one more ends the program.
    pub output_bytes: u64,
    /// Bytes in all that the program may have on its scratch space.
    pub disk_bytes: u64,
    /// Open files for each process.
    pub open_files: u64,
}

/// Where the program ran: what stood between it and the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxInfo {
    /// The engine: `subprocess`, `docker`, `gvisor`.
    pub engine: String,
    /// The container runtime, such as `runc` or `runsc`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runtime: Option<String>,
    /// The runtime's own version.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub runtime_version: Option<String>,
    /// The content hash of the image that was the program's root.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image_digest: Option<String>,
}

/// When things happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// When the submission was accepted.
    pub submitted_at: Timestamp,
    /// When a worker took it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<Timestamp>,
    /// When its outcome was decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finished_at: Option<Timestamp>,
    /// How long it waited for a worker, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub queue_wait_ms: Option<u64>,
}

/// A file that a program left in its output directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its path in that directory, as the program chose it: data, and no path on the host.
    pub path: String,
    /// How `path` stands for the bytes of the name.
    pub encoding: Encoding,
    /// Its size.
    pub bytes: u64,
    /// What is in it, on its way to the storage.
    #[serde(skip)]
    pub content: Bytes,
}

impl Artifact {
    /// A file with this path and content.
    pub fn new(path: &[u8], content: Bytes) -> Self {
        let (path, encoding) = Encoding::encode(path);
        Self { path, encoding, bytes: content.len() as u64, content }
    }
}

/// One run of one submitted program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// A `UUIDv7`, made by the platform: ids sort by the time of submission.
    pub id: Uuid,
    /// Where it is.
    pub status: Status,
    /// How it ended; null until it did.
    pub outcome: Option<Outcome>,
    /// The program's own exit code, when it had one.
    pub exit_code: Option<i32>,
    /// The name of the signal the program died of, such as `SIGSEGV`, when it did.
    pub signal: Option<String>,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// What it cost.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub usage: Option<Usage>,
    /// The effective limits.
    pub limits: Limits,
    /// What decided the outcome.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub evidence: Option<Evidence>,
    /// Where it runs, as stamped by the engine at the start of the run; before that, where it is
    /// expected to run, if that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sandbox: Option<SandboxInfo>,
    /// When things happened.
    pub timing: Timing,
    /// 1 for the first try. A retried evaluation says so.
    pub attempt: u32,
    /// The principal that submitted it; absent where clients are not authenticated.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
    /// The submitter's own labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub labels: BTreeMap<String, String>,
    /// The files that the program left behind, where the platform takes them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub artifacts: Vec<Artifact>,
    /// What went wrong inside the platform; never anything the program did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_one_final_status() {
        for (outcome, status) in [
            (Outcome::Exited, Status::Completed),
            (Outcome::Signaled, Status::Completed),
            (Outcome::PidsExceeded, Status::Failed),
            (Outcome::WorkerLost, Status::Failed),
            (Outcome::Cancelled, Status::Cancelled),
        ] {
            assert_eq!(outcome.status(), status);
            assert!(status.is_final());
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
        }
    }

    #[test]
    fn output_that_is_not_utf8_loses_no_byte() {
        let output = Output::new(b"\xff\x00", 2);
        assert_eq!((output.text.as_str(), output.encoding), ("/wA=", Encoding::Base64));
        assert!(!output.truncated);
    }

    #[test]
    fn a_cut_inside_a_character_stays_text() {
        let output = Output::new(&"aé".as_bytes()[..2], 3);
        assert_eq!((output.text.as_str(), output.encoding), ("a", Encoding::Utf8));
        assert!(output.truncated);
    }
}
