//! A client that nobody wrote, used against the live server.

use std::process::Command;

use crate::server::{BINARY, OPEN, Server, ended, folder};

/// The Python that has what a generated client imports.
const PYTHON: &str = "/opt/crucible/contract/bin/python3";

#[tokio::test]
async fn a_generated_client_speaks_to_the_server() {
    let server = Server::start(&OPEN);
    let work = tempfile::tempdir().unwrap();
    let made = work.path().join("client");
    let mut generate = Command::new(BINARY);
    let (code, said) = ended(generate.args(["--generate-client", "python"]).arg(&made));
    assert_eq!(code, Some(0), "{said}");
    let mut python = Command::new(PYTHON);
    python.env("PYTHONPATH", &made).env("PYTHONDONTWRITEBYTECODE", "1");
    python.arg(folder().join("tests/http/use_client.py")).arg(&server.url);
    let (code, said) = tokio::task::spawn_blocking(move || ended(&mut python)).await.unwrap();
    assert!(code == Some(0) && said.ends_with("all as the contract says\n"), "{said}");
    server.assert_nothing_broken().await;
}

#[test]
fn what_is_there_is_not_overwritten_and_other_languages_are_not_made_up() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("mine");
    std::fs::write(&file, "precious").unwrap();
    let generate = |language: &str| {
        ended(Command::new(BINARY).args(["--generate-client", language]).arg(&file))
    };
    let (code, said) = generate("python");
    assert!(code == Some(1) && said.contains("is there already"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    let (code, said) = generate("cobol");
    assert!(code == Some(1) && said.contains("in python only"), "{said}");
    let (code, said) = ended(Command::new(BINARY).args(["--generate-client", "python"]));
    assert!(code == Some(2) && said.contains("2 values required"), "{said}");
    let mut alone = Command::new(BINARY);
    alone
        .args(["--generate-client", "python"])
        .arg(work.path().join("new"))
        .env("PATH", "/nowhere");
    // Set-up's folder is looked at too, so that it is found on this machine; elsewhere it is said
    // what to install.
    let (code, said) = ended(&mut alone);
    assert!(code == Some(0) || said.contains("just setup --with-tests"), "{said}");
}
