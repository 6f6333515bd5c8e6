//! A submission: what an untrusted client may request, and within which bounds.
//!
//! Stage 2 parses it once, at the edge, into a type whose values are all valid. No field of it can
//! mean "unlimited", and none can choose an image, a mount, a user or a network.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Limits;
use crate::profile::PYTHON;

/// The default limits of a submission, and the largest it may request.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The limits of a submission that requests none.
    pub default: Limits,
    /// The longest wall-clock time a submission may request, in seconds.
    pub max_timeout_seconds: f64,
    /// The most memory a submission may request, in bytes.
    pub max_memory_bytes: u64,
    /// The most attempts a submission may request. 1 where a lost worker is not noticed.
    pub max_attempts: u32,
}

/// The least memory a submission may request: with less, no interpreter starts in any engine.
pub const MIN_MEMORY_BYTES: u64 = 32 << 20;
/// The shortest wall-clock time a submission may request, in seconds.
pub const MIN_TIMEOUT_SECONDS: f64 = 0.1;
/// The most files a submission may have beside its code.
pub const MAX_FILES: usize = 64;

/// A file that is written to the program's working directory before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Relative, with `/` between its parts, and without `..`.
    pub path: String,
    /// The file's content.
    #[serde(with = "base64_bytes")]
    pub bytes: Vec<u8>,
}

/// A program and what it is run with. All fields are valid.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// The name of the language profile.
    pub profile: String,
    /// The source of the program.
    pub code: String,
    /// The program's standard input.
    #[serde(with = "base64_bytes")]
    pub stdin: Vec<u8>,
    /// Files beside the code.
    pub files: Vec<File>,
    /// The effective limits.
    pub limits: Limits,
    /// The submitter's own labels.
    pub labels: BTreeMap<String, String>,
    /// How often the program may be run when its worker is lost; the first run counts.
    pub max_attempts: u32,
    /// What a later stage has added, by name. The stages below pass it on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, serde_json::Value>,
}

/// One thing that is wrong with a submission, or with another part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The part of the request: `path`, `query`, `header` or `body`. None is the body.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub part: Option<&'static str>,
    /// A JSON Pointer (RFC 6901) to the field.
    pub pointer: String,
    /// What to change.
    pub detail: String,
}

/// Why a submission is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSubmission {
    /// It is not JSON of the right shape: the message has the position.
    #[error("{0}")]
    Malformed(String),
    /// It is, but these fields are out of bounds.
    #[error("change the fields named in errors")]
    Invalid(Vec<FieldError>),
}

impl Submission {
    /// A submission of Python `code` alone, with these limits. NULs are not checked for.
    pub fn new(code: impl Into<String>, limits: Limits) -> Self {
        Self {
            profile: PYTHON.name.into_owned(),
            code: code.into(),
            stdin: Vec::new(),
            files: Vec::new(),
            limits,
            labels: BTreeMap::new(),
            max_attempts: 1,
            extensions: BTreeMap::new(),
        }
    }
}

/// Bytes as standard base64, where a submission is stored or sent to a worker.
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
