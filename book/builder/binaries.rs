//! The stages' binaries that the book's commands run.
//!
//! They are in the directory of the calling test's binary. A binary that is missing or older than its
//! sources is built first: with an outdated one, a wrong transcript would pass.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, ensure};

use crate::pages::files_below;
use crate::workspace_root;

/// The packages that a text runs: each `NAME` of `cargo run ... -p NAME`.
pub fn named_in(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let mut words = line.split_whitespace().skip_while(|word| *word != "cargo");
        while let Some(word) = words.next() {
            if word == "-p" {
                // In prose, a command ends with a backtick, and a comma may follow.
                let is_part = |letter: &char| letter.is_alphanumeric() || "-_".contains(*letter);
                names.extend(words.next().map(|name| name.chars().take_while(is_part).collect()));
            }
        }
    }
    names
}

/// Builds what is missing or outdated of `packages`, and returns the directory of the binaries: the one
/// that contains `own`, a binary of this workspace.
///
/// # Errors
///
/// When a package cannot be built.
pub fn ready(own: &Path, packages: &BTreeSet<String>) -> anyhow::Result<PathBuf> {
    let directory = own.parent().context("the binary has no parent directory")?.to_path_buf();
    let is_fresh = |package: &String| {
        let built = directory.join(package).metadata().and_then(|metadata| metadata.modified());
        built.is_ok_and(|built| newest_source(package).is_ok_and(|changed| built >= changed))
    };
    let stale: Vec<&String> = packages.iter().filter(|package| !is_fresh(package)).collect();
    if !stale.is_empty() {
        build(&directory, &stale)?;
    }
    for package in packages {
        let binary = directory.join(package);
        ensure!(binary.exists(), "cargo built no {}", binary.display());
    }
    Ok(directory)
}

fn build(directory: &Path, packages: &[&String]) -> anyhow::Result<()> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace_root()).args(["build", "--quiet", "--bins"]);
    if directory.ends_with("release") {
        cargo.arg("--release");
    }
    if let Some(target) = directory.parent() {
        cargo.arg("--target-dir").arg(target);
    }
    for package in packages {
        cargo.args(["-p", package]);
    }
    let done = cargo.output().context("cannot start cargo")?;
    let log = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "cannot build {packages:?} for the book:\n{log}");
    Ok(())
}

/// The modification time of a package's newest source file, in its own directory, in `shared` or in a
/// lower stage. A package that is not a stage depends on all stages.
fn newest_source(package: &str) -> anyhow::Result<SystemTime> {
    let name = package.trim_start_matches("stage-");
    let mut directories = vec![workspace_root().join("shared")];
    if package == "ladder" {
        directories.push(workspace_root().join("tests"));
    }
    for stage in std::fs::read_dir(workspace_root().join("stages"))? {
        let stage = stage?;
        if stage.file_name().to_string_lossy().as_ref() <= name {
            directories.push(stage.path());
        }
    }
    let mut newest = SystemTime::UNIX_EPOCH;
    for directory in directories {
        for file in files_below(&directory.join("src"))? {
            newest = newest.max(file.metadata()?.modified()?);
        }
        newest = newest.max(directory.join("Cargo.toml").metadata()?.modified()?);
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_found_in_commands() {
        let text = "$ cargo run -q -p stage-02-queue -- run x.py\n$ cp -p a b\n\
                    $ cargo run -p stage-01-extreme-mvp &";
        let names: Vec<String> = named_in(text).into_iter().collect();
        assert_eq!(names, ["stage-01-extreme-mvp", "stage-02-queue"]);
    }

    #[test]
    fn a_package_that_is_not_there_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let own = directory.path().join("debug/own");
        let packages = ["stage-99-nothing".to_owned()].into();
        let error = ready(&own, &packages).unwrap_err();
        assert!(error.to_string().contains("stage-99-nothing"), "{error:#}");
    }
}
