//! Settings from the command line, the environment and a file; what the binary refuses; `test`.

use std::io::Write as _;
use std::process::Command;

use tempfile::NamedTempFile;

use crate::http::OPEN;

const BINARY: &str = env!("CARGO_BIN_EXE_stage-06-advanced");

/// Runs the binary to its end: its exit code, and its output.
fn ended(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    command.args(arguments).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8_lossy(&all).into_owned())
}

fn file(text: &str) -> (NamedTempFile, String) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    (file, path)
}

#[tokio::test]
async fn flags_go_before_variables_and_variables_before_the_file() {
    let (_file, path) = file("workers = 2\nqueue_capacity = 22\nstorage_entries = 222\n");
    let server = harness::launch!()
        .args(OPEN)
        .args(["--workers", "9"])
        .env("CRUCIBLE_CONFIG", &path)
        .env("CRUCIBLE_WORKERS", "7")
        .env("CRUCIBLE_QUEUE_CAPACITY", "77")
        .start();
    let (_, status) = server.client().get("/status").await.parts();
    let queue = &status["queue"];
    assert_eq!((&queue["workers"], &queue["capacity"]), (&9.into(), &77.into()));
    assert_eq!(status["storage"]["max_entries"], 222);
}

#[test]
fn a_wrong_file_is_a_wrong_command_line() {
    let (_file, path) = file("wokers = 2\n");
    let (code, text) = ended(&["--config", &path], &[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("there is no setting `wokers`; is it `workers`?"), "{text}");
}

#[test]
fn an_open_host_is_said_at_each_start_and_never_served_to_strangers() {
    let (code, text) = ended(&["--engine", "subprocess", "--listen", "127.0.0.1:0"], &[]);
    assert!(code == Some(1) && text.contains("add --unsafe"), "{text}");
    let variables = [("CRUCIBLE_ENGINE", "subprocess"), ("CRUCIBLE_UNSAFE", "true")];
    let (code, text) = ended(&["--listen", "127.0.0.1:0"], &variables);
    assert!(code == Some(1) && text.contains("add --unsafe"), "{text}");
    let remote = [&OPEN[..], &["--listen", "0.0.0.0:0", "--allow-remote"]].concat();
    let (code, text) = ended(&remote, &[]);
    assert!(code == Some(1) && text.contains("nothing isolates"), "{text}");
}

#[test]
fn no_engine_takes_the_place_of_another() {
    let nowhere = ["--engine", "gvisor-docker", "--docker-host", "unix:///nowhere.sock"];
    let (code, text) = ended(&[&nowhere[..], &["--listen", "127.0.0.1:0"]].concat(), &[]);
    assert!(code == Some(1) && text.contains("Docker does not answer"), "{text}");
    let (code, text) = ended(&["--runsc", "/nowhere", "--listen", "127.0.0.1:0"], &[]);
    assert!(code == Some(1) && text.contains("/nowhere"), "{text}");
    let (code, text) = ended(&["run", "--engine", "runc", "-"], &[]);
    assert!(
        code == Some(2) && text.contains("gvisor, gvisor-docker, docker, subprocess"),
        "{text}"
    );
}

#[test]
fn programs_run_as_users_of_the_configured_range() {
    let (_program, program) = file("import os\nprint('user', os.getuid() // 100_000)\n");
    let (_file, config) = file("first_user = 7700000\nwarm_sandboxes = 0\n");
    let (code, text) = ended(&["run", &program, "--config", &config], &[]);
    assert!(code == Some(0) && text.contains("user 77"), "{text}");
    let (code, text) = ended(&["run", &program, "--first-user", "0"], &[]);
    assert!(code == Some(2) && text.contains("--first-user"), "{text}");
}

#[test]
fn every_component_verifies_itself() {
    let (code, text) = ended(&["test"], &[]);
    assert_eq!(code, Some(0), "{text}");
    for check in [
        "queue: self test",
        "monitor: events keep their order",
        "storage: the first to end makes room",
        "platform: an evaluation leaves its trace in every part",
        " 0 failed",
    ] {
        assert!(text.contains(check), "{check} is not in\n{text}");
    }
}

#[test]
fn doctor_looks_at_the_chosen_engine() {
    let (code, text) = ended(&["doctor"], &[]);
    assert!(code == Some(0) && text.contains("runsc"), "{text}");
    let (code, text) = ended(&[&["doctor"], &OPEN[..]].concat(), &[]);
    assert!(code == Some(0) && text.contains("python3"), "{text}");
    let nowhere = ["doctor", "--engine", "docker", "--docker-host", "unix:///nowhere.sock"];
    let (code, text) = ended(&nowhere, &[]);
    assert!(code == Some(1) && text.contains("MISSING") && text.contains("->"), "{text}");
}

#[test]
fn help_shows_every_setting_with_its_variable() {
    let (code, text) = ended(&["--help"], &[]);
    assert_eq!(code, Some(0));
    for setting in ["--config", "--engine", "--unsafe", "--storage-entries", "--event-streams"] {
        assert!(text.contains(setting), "{setting} is not in\n{text}");
    }
    for variable in ["CRUCIBLE_ENGINE", "CRUCIBLE_WORKERS", "CRUCIBLE_DRAIN_SECONDS"] {
        assert!(text.contains(variable), "{variable} is not in\n{text}");
    }
}
