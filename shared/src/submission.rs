//! A submission: what an untrusted client may request, and within which bounds.
//!
//! A submission is parsed once, at the edge, into a type whose values are all valid. No field of it can
//! mean "unlimited", and none can choose an image, a mount, a user or a network.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::profile::PYTHON;
use crate::{Limits, Profile, pointer};

/// The default limits of a submission, and the largest it may request.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The limits of a submission that requests none.
    pub default: Limits,
    /// The longest wall-clock time a submission may request, in seconds.
    pub max_timeout_seconds: f64,
    /// The most memory a submission may request, in bytes.
    pub max_memory_bytes: u64,
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

/// The request body as it is on the wire.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    code: String,
    stdin: Option<Content>,
    files: Option<BTreeMap<String, Content>>,
    timeout_seconds: Option<f64>,
    #[serde(default, deserialize_with = "whole_number")]
    memory_bytes: Option<u64>,
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a string, or {\"base64\": \"...\"} for bytes")]
enum Content {
    Text(String),
    Bytes(Base64),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Base64 {
    base64: String,
}

/// A number without a fraction, however it is written: to JSON, 64.0 is 64.
fn whole_number<'de, D: Deserializer<'de>>(input: D) -> Result<Option<u64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(input)? else { return Ok(None) };
    let written = number.as_f64().and_then(|float| float.to_string().parse().ok());
    let whole = number.as_u64().or(written);
    whole.map(Some).ok_or_else(|| D::Error::custom("expected a whole number that is not negative"))
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
        }
    }

    /// Parses a JSON request body with a program in the language of `profile`.
    ///
    /// # Errors
    ///
    /// [`InvalidSubmission`], with the errors of all fields at once.
    pub fn parse(
        body: &[u8],
        bounds: &Bounds,
        profile: &Profile,
    ) -> Result<Self, InvalidSubmission> {
        Self::check(serde_json::from_slice(body).map_err(malformed)?, bounds, profile)
    }

    /// The same for a body that has been parsed already.
    ///
    /// # Errors
    ///
    /// [`InvalidSubmission`], with the errors of all fields at once.
    pub fn from_value(
        body: serde_json::Value,
        bounds: &Bounds,
        profile: &Profile,
    ) -> Result<Self, InvalidSubmission> {
        Self::check(serde_json::from_value(body).map_err(malformed)?, bounds, profile)
    }

    fn check(wire: Wire, bounds: &Bounds, profile: &Profile) -> Result<Self, InvalidSubmission> {
        let mut errors = FieldErrors(Vec::new());
        if !profile.allows_nul && wire.code.contains('\0') {
            errors.add("/code", "take the NUL characters out: Python source cannot have any");
        }
        let mut limits = bounds.default;
        if let Some(seconds) = wire.timeout_seconds {
            let max = bounds.max_timeout_seconds;
            if !(MIN_TIMEOUT_SECONDS..=max).contains(&seconds) {
                let range = format!("give a number of seconds from {MIN_TIMEOUT_SECONDS} to {max}");
                errors.add("/timeout_seconds", range);
            }
            limits.timeout_seconds = seconds;
        }
        if let Some(bytes) = wire.memory_bytes {
            let max = bounds.max_memory_bytes;
            if !(MIN_MEMORY_BYTES..=max).contains(&bytes) {
                let range = format!("give a number of bytes from {MIN_MEMORY_BYTES} to {max}");
                errors.add("/memory_bytes", range);
            }
            limits.memory_bytes = bytes;
        }
        let stdin = wire.stdin.map_or_else(Vec::new, |content| errors.bytes("/stdin", content));
        let files = errors.files(wire.files.unwrap_or_default(), &profile.main_file);
        let labels = wire.labels.unwrap_or_default();
        errors.check_labels(&labels);
        if errors.0.is_empty() {
            let profile = profile.name.clone().into_owned();
            Ok(Self { profile, code: wire.code, stdin, files, limits, labels })
        } else {
            Err(InvalidSubmission::Invalid(errors.0))
        }
    }
}

/// An invalid body, in serde's words.
#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
fn malformed(error: serde_json::Error) -> InvalidSubmission {
    // serde quotes the offending value, which may be a megabyte long.
    InvalidSubmission::Malformed(error.to_string().chars().take(300).collect())
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

struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError { part: None, pointer: pointer.into(), detail: detail.into() });
    }

    fn bytes(&mut self, pointer: &str, content: Content) -> Vec<u8> {
        match content {
            Content::Text(text) => text.into_bytes(),
            Content::Bytes(Base64 { base64 }) => {
                base64::engine::general_purpose::STANDARD.decode(base64).unwrap_or_else(|error| {
                    self.add(format!("{pointer}/base64"), format!("not standard base64: {error}"));
                    Vec::new()
                })
            }
        }
    }

    fn files(&mut self, files: BTreeMap<String, Content>, main_file: &str) -> Vec<File> {
        if files.len() > MAX_FILES {
            self.add("/files", format!("bring at most {MAX_FILES} files"));
            return Vec::new();
        }
        let paths: Vec<String> = files.keys().cloned().collect();
        let mut valid = Vec::with_capacity(files.len());
        for (path, content) in files {
            let pointer = format!("/files/{}", pointer::escape(&path));
            if let Some(error) = path_error(&path, main_file) {
                self.add(&pointer, error);
            }
            let within = format!("{path}/");
            if paths.iter().any(|other| other.starts_with(&within)) {
                self.add(&pointer, "cannot be a file and a folder at once");
            }
            let bytes = self.bytes(&pointer, content);
            valid.push(File { path, bytes });
        }
        valid
    }

    fn check_labels(&mut self, labels: &BTreeMap<String, String>) {
        let plain =
            |text: &str, max| text.chars().count() <= max && !text.chars().any(char::is_control);
        if labels.len() > 16 {
            self.add("/labels", "give at most 16 labels");
        }
        if !labels.iter().all(|(key, value)| plain(key, 64) && plain(value, 256)) {
            let rule =
                "keys of at most 64 characters, values of at most 256, no control characters";
            self.add("/labels", rule);
        }
    }
}

/// What is wrong with a path, if anything is. Only a plain relative path can be right.
fn path_error(path: &str, main_file: &str) -> Option<&'static str> {
    if path.len() > 200 {
        Some("use a path of at most 200 bytes")
    } else if path.chars().any(|c| c.is_control() || c == '\\') {
        Some("use a path without control characters and backslashes")
    } else if path.split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        Some("use a relative path without empty parts, `.` and `..`")
    } else if path.split('/').next() == Some(main_file) {
        Some("choose another name: main.py is the code itself")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        default: Limits {
            timeout_seconds: 30.0,
            cpu_seconds: 30.0,
            memory_bytes: 256 << 20,
            pids: 64,
            output_bytes: 1 << 20,
            disk_bytes: 16 << 20,
            open_files: 64,
        },
        max_timeout_seconds: 300.0,
        max_memory_bytes: 1 << 30,
    };

    fn parse(body: &str) -> Result<Submission, InvalidSubmission> {
        Submission::parse(body.as_bytes(), &BOUNDS, &PYTHON)
    }

    fn errors(body: &str) -> Vec<String> {
        match parse(body) {
            Err(InvalidSubmission::Invalid(errors)) => {
                errors.into_iter().map(|f| f.pointer).collect()
            }
            other => panic!("expected errors in the values, got {other:?}"),
        }
    }

    #[test]
    fn everything_can_be_given() {
        let submission = parse(
            r#"{"code": "print(1)", "stdin": "in", "files": {"a/b.bin": {"base64": "/w=="}},
                "timeout_seconds": 2, "memory_bytes": 67108864, "labels": {"model": "m-1"}}"#,
        )
        .unwrap();
        assert_eq!(submission.stdin, b"in");
        assert_eq!(submission.files, [File { path: "a/b.bin".into(), bytes: vec![0xff] }]);
        assert_eq!((submission.limits.timeout_seconds, submission.limits.pids), (2.0, 64));
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let bytes = |number: &str| {
            let body = format!(r#"{{"code": "", "memory_bytes": {number}}}"#);
            parse(&body).unwrap().limits.memory_bytes
        };
        for number in ["67108864", "67108864.0", "6.7108864e7"] {
            assert_eq!(bytes(number), 64 << 20, "{number}");
        }
        assert_eq!(bytes("null"), BOUNDS.default.memory_bytes);
    }

    #[test]
    fn malformed_bodies_are_refused_with_the_place() {
        for body in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"code": 1}"#,
            r#"{"code": "", "code": ""}"#,
            r#"{"code": "", "image": "evil"}"#,
            r#"{"code": "", "timeout_seconds": NaN}"#,
            r#"{"code": "", "timeout_seconds": 1e999}"#,
            r#"{"code": "", "memory_bytes": -1}"#,
            r#"{"code": "", "memory_bytes": 1.5}"#,
            r#"{"code": "\ud800"}"#,
            r#"{"code": "", "files": {"a": 1}}"#,
        ] {
            match parse(body) {
                Err(InvalidSubmission::Malformed(message)) => {
                    assert!(!message.is_empty(), "{body}");
                }
                other => panic!("{body} gave {other:?}"),
            }
        }
        let deep = format!(r#"{{"code": {}"#, "[".repeat(100_000));
        assert!(matches!(parse(&deep), Err(InvalidSubmission::Malformed(_))));
    }

    #[test]
    fn no_value_means_unlimited() {
        for value in ["0", "-1", "0.01", "1e300", "301"] {
            let body = format!(r#"{{"code": "", "timeout_seconds": {value}}}"#);
            assert_eq!(errors(&body), ["/timeout_seconds"], "{value}");
        }
        for value in ["0", "1", "18446744073709551615"] {
            let body = format!(r#"{{"code": "", "memory_bytes": {value}}}"#);
            assert_eq!(errors(&body), ["/memory_bytes"], "{value}");
        }
    }

    #[test]
    fn paths_cannot_leave_the_working_directory() {
        for path in
            ["../a", "/etc/passwd", "a//b", "a/./b", "", ".", "a\\u0000", "main.py", "a\\\\b"]
        {
            let body = format!(r#"{{"code": "", "files": {{"{path}": ""}}}}"#);
            assert_eq!(errors(&body).len(), 1, "{path}");
        }
        assert_eq!(errors(r#"{"code": "", "files": {"a": "", "a/b": ""}}"#), ["/files/a"]);
    }

    #[test]
    fn labels_are_counted_in_characters() {
        let label = |key: usize, value: usize| {
            let (key, value) = ("é".repeat(key), "é".repeat(value));
            parse(&format!(r#"{{"code": "", "labels": {{"{key}": "{value}"}}}}"#))
        };
        assert!(label(64, 256).is_ok());
        assert!(label(65, 0).is_err() && label(0, 257).is_err());
    }

    #[test]
    fn all_faults_come_at_once() {
        let body = r#"{"code": "\u0000", "timeout_seconds": 0, "memory_bytes": 0,
                       "stdin": {"base64": "?"}, "labels": {"a": "\u001b"}}"#;
        let all = ["/code", "/timeout_seconds", "/memory_bytes", "/stdin/base64", "/labels"];
        assert_eq!(errors(body), all);
    }
}
