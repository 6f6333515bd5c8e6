//! The generated client, used against the live server.

use std::process::Command;

use crate::stage::{BINARY, assert_no_violation, directory, run, unsandboxed};

/// The Python with the packages that a generated client imports.
const PYTHON: &str = "/opt/crucible/contract/bin/python3";

#[tokio::test]
async fn a_generated_client_speaks_to_the_server() {
    let server = unsandboxed();
    let work = tempfile::tempdir().unwrap();
    let generated = work.path().join("client");
    let mut generate = Command::new(BINARY);
    let (code, output) = run(generate.args(["--generate-client", "python"]).arg(&generated));
    assert_eq!(code, Some(0), "{output}");
    let mut python = Command::new(PYTHON);
    python.env("PYTHONPATH", &generated).env("PYTHONDONTWRITEBYTECODE", "1");
    python.arg(directory().join("tests/it/use_client.py")).arg(server.url());
    let (code, output) = tokio::task::spawn_blocking(move || run(&mut python)).await.unwrap();
    assert!(code == Some(0) && output.ends_with("all as the contract says\n"), "{output}");
    assert_no_violation(&server).await;
}

#[test]
fn an_existing_directory_is_not_overwritten_and_other_languages_are_refused() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("mine");
    std::fs::write(&file, "precious").unwrap();
    let generate =
        |language: &str| run(Command::new(BINARY).args(["--generate-client", language]).arg(&file));
    let (code, output) = generate("python");
    assert!(code == Some(1) && output.contains("exists already"), "{output}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    let (code, output) = generate("cobol");
    assert!(code == Some(1) && output.contains("in python only"), "{output}");
    let (code, output) = run(Command::new(BINARY).args(["--generate-client", "python"]));
    assert!(code == Some(2) && output.contains("2 values required"), "{output}");
    let mut alone = Command::new(BINARY);
    alone
        .args(["--generate-client", "python"])
        .arg(work.path().join("new"))
        .env("PATH", "/nowhere");
    // On a machine that the setup script has prepared, it is found without PATH; elsewhere the hint
    // is what to install.
    let (code, output) = run(&mut alone);
    assert!(code == Some(0) || output.contains("just setup --with-tests"), "{output}");
}
