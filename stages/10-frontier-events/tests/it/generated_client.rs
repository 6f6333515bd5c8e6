//! A client that was generated from the whole contract, overlays included, used against the live server.

use std::process::Command;

use crate::stage;

/// The Python with the packages that a generated client imports.
const PYTHON: &str = "/opt/crucible/contract/bin/python3";

#[tokio::test]
async fn a_generated_client_has_what_stages_9_and_10_add() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::start(&directory.path().join("data"));
    let generated = directory.path().join("client");
    let mut generate = Command::new(stage::BINARY);
    let output = generate.args(["--generate-client", "python"]).arg(&generated).output().unwrap();
    // A warning of the generator, such as of an operation that it leaves out, is an error.
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let program = format!("{}/tests/it/use_client.py", env!("CARGO_MANIFEST_DIR"));
    let mut python = Command::new(PYTHON);
    python.env("PYTHONPATH", &generated).env("PYTHONDONTWRITEBYTECODE", "1");
    python.arg(program).arg(server.url());
    let used = tokio::task::spawn_blocking(move || python.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&used.stdout);
    assert!(
        said.ends_with("all as the contract says\n"),
        "{}",
        String::from_utf8_lossy(&used.stderr)
    );
}
