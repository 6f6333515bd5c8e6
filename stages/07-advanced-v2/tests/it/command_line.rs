//! The command line: which web server, `run`, `test` and `doctor`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::UNSANDBOXED;

const BINARY: &str = env!("CARGO_BIN_EXE_stage-07-advanced-v2");

/// Runs the binary to its end: its exit code, its standard output, and its standard error.
fn run(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(BINARY)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A binary that refuses its arguments does not read.
    child.stdin.take().unwrap().write_all(input.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_program_runs_in_the_default_sandbox_and_its_exit_code_is_passed_on() {
    let (code, stdout, stderr) = run(&["run", "-"], "print(6 * 7); raise SystemExit(3)");
    assert_eq!((code, stdout.as_str()), (Some(3), "42\n"), "{stderr}");
    assert!(stderr.contains("gvisor/runsc"), "{stderr}");
}

#[test]
fn every_component_verifies_itself_and_the_api_is_one() {
    let (code, stdout, stderr) = run(&[&["test"], &UNSANDBOXED[..]].concat(), "");
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    for check in [
        "queue: self test",
        "platform: self test",
        "api: self test",
        "api: a program goes in, and its end comes out",
        "api: every wrong request is a problem",
        "api: HEAD is GET without the body",
        " 0 failed",
    ] {
        assert!(stdout.contains(check), "{check} is not in\n{stdout}");
    }
}

#[test]
fn doctor_checks_the_chosen_engine() {
    let (code, stdout, stderr) = run(&["doctor"], "");
    assert!(code == Some(0) && stdout.contains("runsc"), "{stdout}{stderr}");
    let (code, stdout, _) = run(&[&["doctor"], &UNSANDBOXED[..]].concat(), "");
    assert!(code == Some(0) && stdout.contains("python3"), "{stdout}");
}

#[test]
fn an_unknown_web_server_is_a_wrong_command_line() {
    let (code, _, stderr) = run(&["--server", "nginx"], "");
    assert!(code == Some(2) && stderr.contains("hyper, axum"), "{stderr}");
    let (code, stdout, _) = run(&["--help"], "");
    assert!(code == Some(0) && stdout.contains("CRUCIBLE_SERVER"), "{stdout}");
}

#[test]
fn no_engine_takes_the_place_of_another() {
    let (code, _, stderr) = run(&["--runsc", "/nowhere", "--listen", "127.0.0.1:0"], "");
    assert!(code == Some(1) && stderr.contains("/nowhere"), "{stderr}");
    let (code, _, stderr) = run(&["--engine", "subprocess", "--listen", "127.0.0.1:0"], "");
    assert!(code == Some(1) && stderr.contains("--unsafe"), "{stderr}");
}

#[tokio::test]
async fn the_web_server_can_be_set_in_a_file_and_the_api_is_in_the_status() {
    let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(file.path(), "server = \"axum\"\nengine = \"subprocess\"\n").unwrap();
    let server = harness::server!("--config", file.path(), "--unsafe");
    let status = server.client().get("/status").await.json();
    assert_eq!(status["stage"], "stage-07-advanced-v2");
    assert!(status["components"].as_object().unwrap().contains_key("api"), "{status}");
}
