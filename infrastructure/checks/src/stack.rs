//! A copy of `infrastructure/terraform` that a test may change.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::tools::{infrastructure, output, text, tool};

/// The properties that did not hold: the beginning of an assertion's message, up to the colon, or the name of a run
/// whose variable was not refused.
pub type Failures = BTreeSet<String>;

/// A copy of the stack, with the provider, in a directory of its own.
pub struct Stack {
    directory: tempfile::TempDir,
}

impl Stack {
    /// A copy of the files that `keep` selects by their paths from `infrastructure/terraform`.
    ///
    /// # Errors
    ///
    /// When a file cannot be copied.
    pub fn of(keep: impl Fn(&str) -> bool) -> Result<Self> {
        let (source, directory) = (infrastructure().join("terraform"), tempfile::tempdir()?);
        let mut directories = vec![source.clone()];
        while let Some(one) = directories.pop() {
            for entry in fs::read_dir(&one)? {
                let path = entry?.path();
                let relative = path.strip_prefix(&source)?;
                let name = relative.to_string_lossy();
                if name.contains(".terraform") || name.contains(".tfstate") {
                    continue;
                }
                if path.is_dir() {
                    directories.push(path);
                } else if keep(&name) {
                    let target = directory.path().join(relative);
                    fs::create_dir_all(target.parent().context("a file is in a directory")?)?;
                    fs::copy(&path, target)?;
                }
            }
        }
        Ok(Self { directory })
    }

    /// A copy of everything, with the provider.
    ///
    /// # Errors
    ///
    /// When Terraform fails.
    pub fn new() -> Result<Self> {
        let stack = Self::of(|_| true)?;
        stack.init()?;
        Ok(stack)
    }

    /// The path of a file.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A call of Terraform in this copy.
    pub fn terraform(&self, arguments: &[&str]) -> Command {
        let mut command = tool("terraform");
        command.arg(format!("-chdir={}", self.directory.path().display())).args(arguments);
        command
    }

    /// Installs the provider into the copy.
    ///
    /// # Errors
    ///
    /// When Terraform fails.
    pub fn init(&self) -> Result<()> {
        text(&mut self.terraform(&["init", "-no-color", "-input=false"])).map(drop)
    }

    /// Replaces a text that a file has exactly once, and returns the file's former text.
    ///
    /// # Errors
    ///
    /// When it has not.
    pub fn replace(&self, file: &str, find: &str, replace: &str) -> Result<String> {
        let path = self.path(file);
        let former = read(&path)?;
        let count = former.matches(find).count();
        ensure!(count == 1, "{file} has {count} times {find:?}");
        fs::write(&path, former.replacen(find, replace, 1))?;
        Ok(former)
    }

    /// Runs these test files, or all when there are none, and returns what did not hold.
    ///
    /// # Errors
    ///
    /// When something other than an assertion failed.
    pub fn test(&self, files: &[String]) -> Result<Failures> {
        let mut command = self.terraform(&["test", "-json"]);
        command.args(files.iter().map(|file| format!("-filter={file}")));
        let printed = output(&mut command)?;
        let printed = String::from_utf8_lossy(&printed.stdout);
        let (mut failures, mut passed) = (Failures::new(), 0);
        for line in printed.lines() {
            let line: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
            if line["type"] == "test_summary" {
                passed = line["test_summary"]["passed"].as_u64().unwrap_or_default();
            }
            let diagnostic = &line["diagnostic"];
            if diagnostic["severity"] != "error" {
                continue;
            }
            let detail = diagnostic["detail"].as_str().unwrap_or_default();
            let failure = match diagnostic["summary"].as_str().unwrap_or_default() {
                "Test assertion failed" => detail.split(':').next().unwrap_or_default(),
                "Missing expected failure" => line["@testrun"].as_str().unwrap_or_default(),
                other => bail!("{other}: {detail}\n{diagnostic}"),
            };
            failures.insert(failure.to_owned());
        }
        ensure!(passed > 0 || !failures.is_empty(), "no test ran: {printed}");
        Ok(failures)
    }
}

/// Reads a file.
fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}
