//! checkov's policies on the stack: each holds, or has a reason at its place why it does not.

use infrastructure_checks::{Stack, tool};
use serde_json::Value;

/// A queue that breaks a policy.
const PLANTED: &str = "resource \"aws_sqs_queue\" \"planted\" {\n  name = \"planted\"\n}\n";

#[test]
fn every_policy_holds_or_has_a_reason() {
    let stack = Stack::of(|_| true).unwrap();
    std::fs::write(stack.path("planted.tf"), PLANTED).unwrap();
    let mut command = tool("checkov");
    command.args(["--framework", "terraform", "--skip-download", "--compact", "-o", "json"]);
    let output = command.arg("-d").arg(stack.path(".")).output().unwrap();
    let result: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let failed = result["results"]["failed_checks"].as_array().unwrap();
    let name = |one: &Value| format!("{} {}", one["check_id"], one["resource"]).replace('"', "");
    let failed: Vec<_> = failed.iter().map(name).collect();
    // The scan finds what is planted, and nothing else.
    assert_eq!(failed, ["CKV_AWS_27 aws_sqs_queue.planted"]);
    assert!(result["summary"]["passed"].as_u64().unwrap() > 150, "{}", result["summary"]);
    for skipped in result["results"]["skipped_checks"].as_array().unwrap() {
        let reason = skipped["check_result"]["suppress_comment"].as_str().unwrap_or_default();
        assert!(reason.trim().len() >= 10, "{}: {reason:?}", skipped["check_id"]);
    }
}
