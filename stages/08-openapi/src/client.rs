//! A typed client, generated from the contract by `openapi-python-client`. It is generated again when
//! the contract changes, so that it cannot be out of date.

use std::path::{Path, PathBuf};
use std::process::Command;

use shared::Hint;

use crate::contract::Contract;

/// The language of generated clients.
pub(crate) const LANGUAGE: &str = "python";
/// The program that generates them.
const GENERATOR: &str = "openapi-python-client";
/// Where the setup script installs it, if it is not on PATH.
const TOOLS: &str = "/opt/crucible/bin";
/// The configuration of the generator: the name of the package, the media types that are text or bytes, and no
/// other programs to run.
const CONFIGURATION: &str = r#"{
    "project_name_override": "crucible-client",
    "package_name_override": "crucible_client",
    "content_type_overrides": {
        "application/yaml": "text/plain",
        "application/openmetrics-text": "text/plain",
        "application/x-tar": "application/octet-stream"
    },
    "post_hooks": []
}"#;

/// Why no client was generated.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Clients are generated in one language.
    #[error("a client can be generated in python only: --generate-client python DIR")]
    Language,
    /// The directory exists: what is in it would be lost.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The generator is not installed.
    #[error("{GENERATOR} is not on PATH and not in {TOOLS}")]
    NoGenerator,
    /// A file could not be written, or the generator not be started.
    #[error("cannot generate a client")]
    Io(#[from] std::io::Error),
    /// The generator failed, or reported something that it leaves out.
    #[error("{GENERATOR} could not generate a client:\n{0}")]
    Failed(String),
}

impl Hint for ClientError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Exists(_) => Some("name a directory that does not exist, or remove it"),
            Self::NoGenerator => Some("just setup --with-tests"),
            _ => None,
        }
    }
}

// ANCHOR: generate
/// Generates a client from `contract` in the directory `dir`, which must not exist.
///
/// # Errors
///
/// [`ClientError`]. A warning of the generator is one as well: it leaves out what it does not support.
pub fn generate_client(contract: &Contract, dir: &Path) -> Result<(), ClientError> {
    if dir.symlink_metadata().is_ok() {
        return Err(ClientError::Exists(dir.to_owned()));
    }
    let work = tempfile::tempdir()?;
    let (yaml, configuration) =
        (work.path().join("openapi.yaml"), work.path().join("generator.json"));
    std::fs::write(&yaml, &contract.yaml)?;
    std::fs::write(&configuration, CONFIGURATION)?;
    let mut command = Command::new(generator().ok_or(ClientError::NoGenerator)?);
    command.args(["generate", "--meta", "setup", "--fail-on-warning", "--path"]).arg(&yaml);
    command.arg("--config").arg(&configuration).arg("--output-path").arg(dir);
    let done = command.output()?;
    if done.status.success() {
        return Ok(());
    }
    let output = [done.stdout, done.stderr].concat();
    Err(ClientError::Failed(String::from_utf8_lossy(&output).trim().to_owned()))
}
// ANCHOR_END: generate

fn generator() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain([PathBuf::from(TOOLS)]);
    dirs.map(|dir| dir.join(GENERATOR)).find(|file| file.is_file())
}
