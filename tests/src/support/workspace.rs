//! The packages of this workspace and their dependencies, by `cargo metadata`.
//!
//! The list of stages comes from here, so it is not maintained by hand. Only direct dependencies
//! are read (`--no-deps`): a rule that holds for each of them holds for the indirect ones.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// The part of `cargo metadata` that is used here.
#[derive(Debug, Clone, Deserialize)]
pub struct Workspace {
    /// All members, in cargo's order.
    pub packages: Vec<Package>,
    /// The directory of the root manifest.
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    /// The target directory.
    #[serde(rename = "target_directory")]
    pub target: PathBuf,
}

/// One member.
#[derive(Debug, Clone, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its `Cargo.toml`.
    pub manifest_path: PathBuf,
    /// Its dependencies, of every kind.
    pub dependencies: Vec<Dependency>,
}

/// One line under `[dependencies]` or its siblings.
#[derive(Debug, Clone, Deserialize)]
pub struct Dependency {
    /// The package's name, even when it is renamed.
    pub name: String,
    /// None for a normal dependency, else `dev` or `build`.
    pub kind: Option<String>,
}

impl Package {
    /// The directory of the package.
    pub fn dir(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(&self.manifest_path)
    }
}

impl Workspace {
    /// Runs `cargo metadata`.
    ///
    /// # Errors
    ///
    /// When cargo cannot be run or rejects a manifest; the message contains cargo's own.
    pub fn load() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
        let output = Command::new(cargo())
            .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
            .arg("--manifest-path")
            .arg(&manifest)
            .output()
            .context("cannot run cargo, which lists the stages; is it on the PATH?")?;
        if !output.status.success() {
            bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        serde_json::from_slice(&output.stdout).context("cargo metadata printed no valid JSON")
    }
}

/// The cargo that started this process, or else the one on the PATH.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
