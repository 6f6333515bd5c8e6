//! Schemathesis: another implementation of the contract makes requests from it, and checks the responses.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where set-up installs it.
const TOOL: &str = "/opt/crucible/bin/schemathesis";

/// A run of Schemathesis.
pub struct Schemathesis<'a> {
    /// The server.
    pub url: &'a str,
    /// Its contract. It is passed as a file: the operation that it is loaded with would not be tested.
    pub contract: &'a [u8],
    /// The same seed makes the same requests. `CRUCIBLE_FUZZ_SEED` is another one.
    pub seed: u32,
    /// How long it searches, at most. `CRUCIBLE_FUZZ_SECONDS`, which `just fuzz` sets, is another time.
    pub seconds: u32,
    /// What it cannot know from the contract. With it come the hooks of stage 08.
    pub config: Option<PathBuf>,
    /// The key of its requests.
    pub key: Option<&'a str>,
    /// Other arguments.
    pub args: &'a [&'a str],
}

impl Schemathesis<'_> {
    /// Runs it to its end: its exit code, and its output.
    pub async fn run(self) -> (Option<i32>, String) {
        assert!(Path::new(TOOL).exists(), "{TOOL} is missing: just setup --with-tests");
        let work = tempfile::tempdir().unwrap();
        std::fs::write(work.path().join("contract.json"), self.contract).unwrap();
        let setting = |name: &str, ordinary: u32| {
            std::env::var(name).unwrap_or_else(|_| ordinary.to_string())
        };
        let mut command = Command::new(TOOL);
        command.current_dir(work.path()).env("HOME", work.path());
        if let Some(config) = &self.config {
            let stages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../stages");
            command.env("SCHEMATHESIS_HOOKS", stages.join("08-openapi/tests/it/hooks.py"));
            command.arg("--config-file").arg(config);
        }
        command.args(["run", "--url", self.url]);
        command.args(["--seed", &setting("CRUCIBLE_FUZZ_SEED", self.seed)]);
        command.args(["--max-time", &setting("CRUCIBLE_FUZZ_SECONDS", self.seconds)]);
        if let Some(key) = self.key {
            command.arg("--header").arg(format!("Authorization: Bearer {key}"));
        }
        command.args(self.args).arg("contract.json");
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }
}
