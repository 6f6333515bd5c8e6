//! A typed client, made out of the contract by `openapi-python-client`.
//!
//! Nobody writes it and nobody has to keep it up to date: it is made anew when the contract changes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::contract::Contract;

/// The language that clients can be made in.
pub(crate) const LANGUAGE: &str = "python";
/// What makes them.
const MAKER: &str = "openapi-python-client";
/// Where set-up puts it, when it is not on PATH.
const TOOLS: &str = "/opt/crucible/bin";
/// What the maker is told beside the contract: the name of the package, which media types are text,
/// and to run nothing else.
const CONFIGURATION: &str = r#"{
    "project_name_override": "crucible-client",
    "package_name_override": "crucible_client",
    "content_type_overrides": {
        "application/yaml": "text/plain",
        "application/openmetrics-text": "text/plain"
    },
    "post_hooks": []
}"#;

/// Why no client was made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Clients are made in one language.
    #[error("a client can be made in python only: --generate-client python FOLDER")]
    Language,
    /// What is there already would be lost.
    #[error("{} is there already\n  hint: name a folder that is not, or take it away", .0.display())]
    Occupied(PathBuf),
    /// The maker is not installed.
    #[error("{MAKER} is not on PATH and not in {TOOLS}\n  hint: just setup --with-tests")]
    NoMaker,
    /// A file could not be written, or the maker not be started.
    #[error("cannot make a client")]
    Io(#[from] std::io::Error),
    /// The maker had something to say about the contract.
    #[error("{MAKER} could not make a client:\n{0}")]
    Failed(String),
}

// ANCHOR: generate
/// Makes a client out of `contract` in `folder`, which must not exist.
///
/// # Errors
///
/// [`ClientError`]. A warning of the maker is one as well: it leaves out what it does not understand.
pub fn generate_client(contract: &Contract, folder: &Path) -> Result<(), ClientError> {
    if folder.symlink_metadata().is_ok() {
        return Err(ClientError::Occupied(folder.to_owned()));
    }
    let work = tempfile::tempdir()?;
    let (yaml, configuration) = (work.path().join("openapi.yaml"), work.path().join("maker.json"));
    std::fs::write(&yaml, &contract.yaml)?;
    std::fs::write(&configuration, CONFIGURATION)?;
    let mut command = Command::new(maker().ok_or(ClientError::NoMaker)?);
    command.args(["generate", "--meta", "setup", "--fail-on-warning", "--path"]).arg(&yaml);
    command.arg("--config").arg(&configuration).arg("--output-path").arg(folder);
    let done = command.output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = [done.stdout, done.stderr].concat();
    Err(ClientError::Failed(String::from_utf8_lossy(&said).trim().to_owned()))
}
// ANCHOR_END: generate

fn maker() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from(TOOLS)]);
    folders.map(|folder| folder.join(MAKER)).find(|file| file.is_file())
}
