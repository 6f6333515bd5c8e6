//! checkov's policies on the stack: each holds, or has a reason at its place why it does not.

use infrastructure_checks::{infrastructure, tool};
use serde_json::Value;

/// The result of a scan, which needs no network.
fn scan(directory: &std::path::Path, more: &[&str]) -> Value {
    let mut command = tool("checkov");
    command.args(["--framework", "terraform", "--skip-download", "--compact", "-o", "json"]);
    let output = command.args(more).arg("-d").arg(directory).output().unwrap();
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn every_policy_holds_or_has_a_reason() {
    let result = scan(&infrastructure().join("terraform"), &[]);
    let failed = result["results"]["failed_checks"].as_array().unwrap();
    let names: Vec<_> =
        failed.iter().map(|one| format!("{} {}", one["check_id"], one["resource"])).collect();
    assert!(names.is_empty(), "{names:#?}");
    assert!(result["summary"]["passed"].as_u64().unwrap() > 150, "{}", result["summary"]);
    for skipped in result["results"]["skipped_checks"].as_array().unwrap() {
        let reason = skipped["check_result"]["suppress_comment"].as_str().unwrap_or_default();
        assert!(reason.trim().len() >= 10, "{}: {reason:?}", skipped["check_id"]);
    }
}

#[test]
fn a_queue_without_encryption_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let queue = "resource \"aws_sqs_queue\" \"tickets\" {\n  name = \"tickets\"\n}\n";
    std::fs::write(directory.path().join("main.tf"), queue).unwrap();
    let result = scan(directory.path(), &["--check", "CKV_AWS_27"]);
    assert_eq!(result["summary"]["failed"], 1, "{result}");
}
