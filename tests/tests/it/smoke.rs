//! Short runs of the ladder's long commands, on real stages.

use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

fn ladder(arguments: &[&str]) -> (bool, Value, String) {
    let output = Command::cargo_bin("ladder").unwrap().args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.success(), report, stderr)
}

/// Eight own tasks in HumanEval's format: among them a solution that prints while it works,
/// a test that accepts None, and one that leaves with exit code 0 when the body is wrong.
fn humaneval_sample(stage: &str) {
    let dataset = Path::new(env!("CARGO_MANIFEST_DIR")).join("humaneval/sample.jsonl");
    let dataset = dataset.to_str().unwrap();
    let arguments = ["humaneval", "--stage", stage, "--dataset", dataset, "--json"];
    let (good, report, stderr) = ladder(&arguments);
    assert!(good, "{report:#}\n{stderr}");
    assert_eq!(report["canonical"]["passed"].as_array().unwrap().len(), 8, "{report:#}");
    assert_eq!(report["broken"]["passed"], serde_json::json!(["Sample/3"]), "{report:#}");
    assert_eq!(report["broken"]["failed"].as_array().unwrap().len(), 7, "{report:#}");
}

#[test]
fn humaneval_separates_right_from_wrong_on_stage_1() {
    humaneval_sample("1");
}

#[test]
fn humaneval_separates_right_from_wrong_on_stage_2() {
    humaneval_sample("2");
}

#[test]
fn humaneval_separates_right_from_wrong_on_stage_5() {
    humaneval_sample("5");
}

#[test]
fn a_wrong_solution_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let dataset = dir.path().join("wrong.jsonl");
    let task = serde_json::json!({
        "task_id": "Wrong/0", "prompt": "def one():\n", "entry_point": "one",
        "canonical_solution": "    return 2\n",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
    });
    std::fs::write(&dataset, task.to_string()).unwrap();
    let dataset = dataset.to_str().unwrap();
    let (good, report, _) = ladder(&["humaneval", "--stage", "2", "--dataset", dataset, "--json"]);
    assert!(!good);
    let error = report["failures"][0].as_str().unwrap();
    assert_eq!(error, "Wrong/0 should pass: exited 1: AssertionError");
}

#[test]
fn three_hundred_evaluations_leave_nothing_on_stage_2() {
    let (good, report, stderr) = ladder(&["soak", "--stage", "2", "--count", "300", "--json"]);
    assert!(good, "{report:#}\n{stderr}");
    assert_eq!(report["evaluations"], 300);
}

#[test]
fn errors_say_what_to_do() {
    for (arguments, hint) in [
        (vec!["humaneval", "--stage", "2", "--dataset", "/nowhere"], "tests/humaneval/fetch.sh"),
        (vec!["humaneval", "--stage", "99"], "this workspace has 1, 2"),
        (vec!["humaneval", "--stage", "2", "--url", "8002"], "is not a URL"),
        (vec!["humaneval", "--stage", "2", "--url", "http://127.0.0.1:1"], "did not respond"),
        (vec!["soak", "--stage", "1"], "--stage 2"),
    ] {
        let dataset = Path::new(env!("CARGO_MANIFEST_DIR")).join("humaneval/sample.jsonl");
        let dataset = ["--dataset", dataset.to_str().unwrap()];
        let own = arguments.contains(&"--dataset") || arguments[0] != "humaneval";
        let extra = if own { &[][..] } else { &dataset[..] };
        let (good, _, stderr) = ladder(&[&arguments[..], extra].concat());
        assert!(!good && stderr.contains(hint), "{arguments:?}: {stderr:?}");
    }
}
