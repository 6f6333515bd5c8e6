//! Parses the body of `POST /eval` into a submission: once, at the edge.

use std::collections::BTreeMap;

use base64::Engine as _;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use shared::submission::{
    FieldError, File, InvalidSubmission, MAX_FILES, MIN_MEMORY_BYTES, MIN_TIMEOUT_SECONDS,
};
use shared::{Bounds, Profile, Submission, pointer};

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
    max_attempts: Option<u32>,
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

/// Parses a JSON request body with a program in the language of `profile`.
///
/// # Errors
///
/// [`InvalidSubmission`], with the errors of all fields at once.
pub fn parse_submission(
    body: &[u8],
    bounds: &Bounds,
    profile: &Profile,
) -> Result<Submission, InvalidSubmission> {
    check(serde_json::from_slice(body).map_err(malformed)?, bounds, profile)
}

/// The same for a body that has been parsed already.
///
/// # Errors
///
/// [`InvalidSubmission`], with the errors of all fields at once.
pub fn submission_from_value(
    body: serde_json::Value,
    bounds: &Bounds,
    profile: &Profile,
) -> Result<Submission, InvalidSubmission> {
    check(serde_json::from_value(body).map_err(malformed)?, bounds, profile)
}

fn check(wire: Wire, bounds: &Bounds, profile: &Profile) -> Result<Submission, InvalidSubmission> {
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
    let max_attempts = wire.max_attempts.unwrap_or(1);
    match bounds.max_attempts {
        1 if wire.max_attempts.is_some() => {
            errors.add("/max_attempts", "leave it out: this server runs each program once");
        }
        max if !(1..=max).contains(&max_attempts) => {
            errors.add("/max_attempts", format!("give a number from 1 to {max}"));
        }
        _ => {}
    }
    let stdin = wire.stdin.map_or_else(Vec::new, |content| errors.bytes("/stdin", content));
    let files = errors.files(wire.files.unwrap_or_default(), &profile.main_file);
    let labels = wire.labels.unwrap_or_default();
    errors.check_labels(&labels);
    if errors.0.is_empty() {
        let profile = profile.name.clone().into_owned();
        let extensions = BTreeMap::new();
        let (profile, code) = (profile, wire.code);
        Ok(Submission { profile, code, stdin, files, limits, labels, max_attempts, extensions })
    } else {
        Err(InvalidSubmission::Invalid(errors.0))
    }
}

/// An invalid body, in serde's words.
#[allow(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
pub fn malformed(error: serde_json::Error) -> InvalidSubmission {
    // serde quotes the offending value, which may be a megabyte long.
    InvalidSubmission::Malformed(error.to_string().chars().take(300).collect())
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
                self.add(&pointer, "cannot be a file and a directory at once");
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
mod tests;
