//! Tests of the parser.

use shared::Limits;
use shared::profile::PYTHON;

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
    max_attempts: 1,
};

fn parse(body: &str) -> Result<Submission, InvalidSubmission> {
    parse_submission(body.as_bytes(), &BOUNDS, &PYTHON)
}

fn errors(body: &str) -> Vec<String> {
    match parse(body) {
        Err(InvalidSubmission::Invalid(errors)) => errors.into_iter().map(|f| f.pointer).collect(),
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
    for path in ["../a", "/etc/passwd", "a//b", "a/./b", "", ".", "a\\u0000", "main.py", "a\\\\b"] {
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
fn all_errors_come_at_once() {
    let body = r#"{"code": "\u0000", "timeout_seconds": 0, "memory_bytes": 0,
                   "stdin": {"base64": "?"}, "labels": {"a": "\u001b"}}"#;
    let all = ["/code", "/timeout_seconds", "/memory_bytes", "/stdin/base64", "/labels"];
    assert_eq!(errors(body), all);
}
