//! How a tool is called, and where things are.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context as _, Result, ensure};

/// Where set-up puts the tools of the cloud path.
const TOOLS: &str = "/opt/crucible/cloud";

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().nth(2).unwrap_or(own).to_owned()
}

/// The directory `infrastructure`.
pub fn infrastructure() -> PathBuf {
    workspace().join("infrastructure")
}

/// A tool of the cloud path. It has nothing of this machine's configuration and credentials of AWS.
pub fn tool(name: &str) -> Command {
    let mut command = Command::new(Path::new(TOOLS).join("bin").join(name));
    let aws = std::env::vars_os().map(|(name, _)| name);
    for name in aws.filter(|name| {
        let name = name.to_string_lossy();
        name.starts_with("AWS_") || name.starts_with("TF_")
    }) {
        command.env_remove(name);
    }
    command
        .env("TF_CLI_CONFIG_FILE", Path::new(TOOLS).join("terraformrc"))
        .env("TF_IN_AUTOMATION", "1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("LOG_LEVEL", "ERROR");
    command
}

/// Runs a command, and returns what it printed, standard output first.
///
/// # Errors
///
/// When it cannot be started or fails; the message has its output.
pub fn text(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed, {}:\n{text}", output.status);
    Ok(text.into_owned())
}

/// Runs a command.
///
/// # Errors
///
/// When it cannot be started.
pub(crate) fn output(command: &mut Command) -> Result<Output> {
    let missing = "run infrastructure/setup/setup.sh --with-tests";
    command.output().with_context(|| format!("{}: {missing}", command.get_program().display()))
}
