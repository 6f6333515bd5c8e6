//! The command line: which server, `run`, `test` and `doctor`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::server::{BINARY, OPEN, Server};

/// Runs the binary to its end: its exit code, what it printed, and what it said beside that.
fn ended(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(BINARY)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A binary that refuses its arguments does not read.
    let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_program_runs_behind_the_default_walls_and_its_exit_code_is_passed_on() {
    let (code, printed, said) = ended(&["run", "-"], "print(6 * 7); raise SystemExit(3)");
    assert_eq!((code, printed.as_str()), (Some(3), "42\n"), "{said}");
    assert!(said.contains("gvisor/runsc"), "{said}");
}

#[test]
fn every_component_verifies_itself_and_the_api_is_one() {
    let (code, printed, said) = ended(&[&["test"], &OPEN[..]].concat(), "");
    assert_eq!(code, Some(0), "{printed}{said}");
    for check in [
        "queue: self test",
        "platform: self test",
        "api: self test",
        "api: a program goes in, and its end comes out",
        "api: every wrong request is a problem",
        "api: HEAD is GET without the body",
        " 0 failed",
    ] {
        assert!(printed.contains(check), "{check} is not in\n{printed}");
    }
}

#[test]
fn doctor_looks_at_the_chosen_engine() {
    let (code, printed, said) = ended(&["doctor"], "");
    assert!(code == Some(0) && printed.contains("runsc"), "{printed}{said}");
    let (code, printed, _) = ended(&[&["doctor"], &OPEN[..]].concat(), "");
    assert!(code == Some(0) && printed.contains("python3"), "{printed}");
}

#[test]
fn a_server_that_is_not_there_is_a_wrong_command_line() {
    let (code, _, said) = ended(&["--server", "nginx"], "");
    assert!(code == Some(2) && said.contains("hyper, axum"), "{said}");
    let (code, printed, _) = ended(&["--help"], "");
    assert!(code == Some(0) && printed.contains("CRUCIBLE_SERVER"), "{printed}");
}

#[test]
fn no_engine_takes_the_place_of_another() {
    let (code, _, said) = ended(&["--runsc", "/nowhere", "--listen", "127.0.0.1:0"], "");
    assert!(code == Some(1) && said.contains("/nowhere"), "{said}");
    let (code, _, said) = ended(&["--engine", "subprocess", "--listen", "127.0.0.1:0"], "");
    assert!(code == Some(1) && said.contains("say --unsafe"), "{said}");
}

#[tokio::test]
async fn the_server_can_be_chosen_in_a_file_and_the_api_is_in_the_status() {
    let file = std::env::temp_dir().join(format!("crucible-{}.toml", std::process::id()));
    std::fs::write(&file, "server = \"axum\"\nengine = \"subprocess\"\n").unwrap();
    let server = Server::start(&["--config", file.to_str().unwrap(), "--unsafe"]);
    let answer = reqwest::get(format!("{}/status", server.url)).await.unwrap();
    let status: Value = answer.json().await.unwrap();
    assert_eq!(status["stage"], "stage-07-advanced-v2");
    assert!(status["components"].as_object().unwrap().contains_key("api"), "{status}");
    std::fs::remove_file(file).unwrap();
}
