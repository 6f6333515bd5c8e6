//! Settings from the command line, the environment and a file; what the binary refuses; `test`.

use std::io::Write as _;
use std::process::Command;

use tempfile::NamedTempFile;

use crate::server::{BINARY, OPEN, Server};

/// Runs the binary to its end: its exit code, and everything that it said.
fn ended(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    command.args(arguments).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
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
    let arguments = [&OPEN[..], &["--workers", "9"]].concat();
    let variables = [
        ("CRUCIBLE_CONFIG", path.as_str()),
        ("CRUCIBLE_WORKERS", "7"),
        ("CRUCIBLE_QUEUE_CAPACITY", "77"),
    ];
    let server = Server::with(&arguments, &variables);
    let (_, status) = server.get("/status").await;
    let queue = &status["queue"];
    assert_eq!((&queue["workers"], &queue["capacity"]), (&9.into(), &77.into()));
    assert_eq!(status["storage"]["max_entries"], 222);
}

#[test]
fn a_wrong_file_is_a_wrong_command_line() {
    let (_file, path) = file("wokers = 2\n");
    let (code, said) = ended(&["--config", &path], &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("there is no setting `wokers`; is it `workers`?"), "{said}");
}

#[test]
fn an_open_host_is_said_at_each_start_and_never_served_to_strangers() {
    let (code, said) = ended(&["--engine", "subprocess", "--listen", "127.0.0.1:0"], &[]);
    assert!(code == Some(1) && said.contains("say --unsafe"), "{said}");
    let variables = [("CRUCIBLE_ENGINE", "subprocess"), ("CRUCIBLE_UNSAFE", "true")];
    let (code, said) = ended(&["--listen", "127.0.0.1:0"], &variables);
    assert!(code == Some(1) && said.contains("say --unsafe"), "{said}");
    let remote = [&OPEN[..], &["--listen", "0.0.0.0:0", "--allow-remote"]].concat();
    let (code, said) = ended(&remote, &[]);
    assert!(code == Some(1) && said.contains("nothing stands between"), "{said}");
}

#[test]
fn no_engine_takes_the_place_of_another() {
    let nowhere = ["--engine", "gvisor-docker", "--docker-host", "unix:///nowhere.sock"];
    let (code, said) = ended(&[&nowhere[..], &["--listen", "127.0.0.1:0"]].concat(), &[]);
    assert!(code == Some(1) && said.contains("Docker does not answer"), "{said}");
    let (code, said) = ended(&["--runsc", "/nowhere", "--listen", "127.0.0.1:0"], &[]);
    assert!(code == Some(1) && said.contains("/nowhere"), "{said}");
    let (code, said) = ended(&["run", "--engine", "runc", "-"], &[]);
    assert!(
        code == Some(2) && said.contains("gvisor, gvisor-docker, docker, subprocess"),
        "{said}"
    );
}

#[test]
fn every_component_verifies_itself() {
    let (code, said) = ended(&["test"], &[]);
    assert_eq!(code, Some(0), "{said}");
    for check in [
        "queue: self test",
        "monitor: events keep their order",
        "storage: the first to end makes room",
        "platform: an evaluation leaves its trace in every part",
        " 0 failed",
    ] {
        assert!(said.contains(check), "{check} is not in\n{said}");
    }
}

#[test]
fn doctor_looks_at_the_chosen_engine() {
    let (code, said) = ended(&["doctor"], &[]);
    assert!(code == Some(0) && said.contains("runsc"), "{said}");
    let (code, said) = ended(&[&["doctor"], &OPEN[..]].concat(), &[]);
    assert!(code == Some(0) && said.contains("python3"), "{said}");
    let nowhere = ["doctor", "--engine", "docker", "--docker-host", "unix:///nowhere.sock"];
    let (code, said) = ended(&nowhere, &[]);
    assert!(code == Some(1) && said.contains("MISSING") && said.contains("->"), "{said}");
}

#[test]
fn help_shows_every_setting_with_its_variable() {
    let (code, said) = ended(&["--help"], &[]);
    assert_eq!(code, Some(0));
    for setting in ["--config", "--engine", "--unsafe", "--storage-entries", "--event-streams"] {
        assert!(said.contains(setting), "{setting} is not in\n{said}");
    }
    for variable in ["CRUCIBLE_ENGINE", "CRUCIBLE_WORKERS", "CRUCIBLE_DRAIN_SECONDS"] {
        assert!(said.contains(variable), "{variable} is not in\n{said}");
    }
}
