//! The stages, found by their names, and their binaries, built when they are missing or stale.
//!
//! A workspace member called `stage-NN-something` is stage NN; there is no other
//! registration. The binary is that of the profile with which the ladder itself was built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::support::workspace::{self, Workspace};

/// One stage of the course.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// 1 for the first.
    pub number: u16,
    /// The package, and its binary: `stage-02-queue`.
    pub name: String,
    /// The package's directory.
    pub dir: PathBuf,
    /// The path of the binary.
    binary: PathBuf,
}

/// The number in the name of a stage's package; None for other packages.
pub fn number_of(package: &str) -> Option<u16> {
    let (number, name) = package.strip_prefix("stage-")?.split_once('-')?;
    let two_digits = number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit());
    if two_digits && !name.is_empty() { number.parse().ok() } else { None }
}

/// All stages, in their order.
///
/// # Errors
///
/// When cargo fails.
pub fn all() -> Result<Vec<Stage>> {
    let workspace = Workspace::load()?;
    let exe = std::env::current_exe().context("cannot find the path of this program")?;
    let profile = profile_dir(&exe, &workspace.target);
    let mut stages: Vec<_> = workspace
        .packages
        .iter()
        .filter_map(|package| {
            let number = number_of(&package.name)?;
            let binary = profile.join(&package.name);
            let dir = package.dir().to_owned();
            Some(Stage { number, name: package.name.clone(), dir, binary })
        })
        .collect();
    stages.sort_by_key(|stage| stage.number);
    Ok(stages)
}

/// The stage with this number.
///
/// # Errors
///
/// When there is none; the message lists the existing ones.
pub fn find(number: u16) -> Result<Stage> {
    let stages = all()?;
    let known: Vec<_> = stages.iter().map(|stage| stage.number.to_string()).collect();
    let known = known.join(", ");
    let found = stages.into_iter().find(|stage| stage.number == number);
    found.ok_or_else(|| anyhow!("there is no stage {number}; this workspace has {known}"))
}

impl Stage {
    /// The path of the stage's binary, which is built first if it is missing or older than its
    /// code.
    ///
    /// # Errors
    ///
    /// When cargo cannot build it. The output of the compiler goes to standard error.
    pub fn binary(&self) -> Result<&Path> {
        if is_current(&self.binary) {
            return Ok(&self.binary);
        }
        let mut build = Command::new(workspace::cargo());
        build.args(["build", "--package", &self.name]).current_dir(&self.dir);
        match self.binary.parent().and_then(Path::file_name).and_then(|name| name.to_str()) {
            Some("debug") | None => {}
            Some(profile) => {
                build.args(["--profile", profile]);
            }
        }
        let status = build.status().context("cannot run cargo to build the stage")?;
        if !status.success() {
            bail!("{} does not build; the output of the compiler is above", self.name);
        }
        if !self.binary.is_file() {
            bail!("cargo built {}, but not as {}", self.name, self.binary.display());
        }
        Ok(&self.binary)
    }
}

/// `target/PROFILE` for a program in it (the ladder) or in its `deps` (a test).
fn profile_dir(exe: &Path, target: &Path) -> PathBuf {
    let mut dir = exe.parent().unwrap_or(exe);
    if dir.ends_with("deps") {
        dir = dir.parent().unwrap_or(dir);
    }
    if dir.starts_with(target) { dir.to_owned() } else { target.join("debug") }
}

/// Whether `binary` exists and none of its sources is newer, by cargo's dep-info file.
///
/// An attack on an old binary would prove nothing. A touched source costs one unnecessary call of
/// cargo, no more.
fn is_current(binary: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    let list = std::fs::read_to_string(binary.with_extension("d")).unwrap_or_default();
    let (Some(built), Some((_, sources))) = (changed(binary), list.split_once(": ")) else {
        return false;
    };
    sources_in(sources).iter().all(|source| changed(source).is_some_and(|time| time <= built))
}

/// The paths of a dep-info line: separated by spaces, with `\ ` for a space inside one.
fn sources_in(line: &str) -> Vec<PathBuf> {
    let line = line.trim_end().replace("\\ ", "\0");
    line.split(' ')
        .filter(|path| !path.is_empty())
        .map(|path| path.replace('\0', " ").into())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_right_shape_are_stages() {
        assert_eq!(number_of("stage-05-gvisor"), Some(5));
        assert_eq!(number_of("stage-10-frontier-events"), Some(10));
        for name in
            ["stage-5-gvisor", "stage-005-x", "stage-ab-x", "stage-05", "stage-05-", "shared"]
        {
            assert_eq!(number_of(name), None, "{name}");
        }
    }

    #[test]
    fn the_workspace_has_stages_in_order_and_says_which() {
        let numbers: Vec<_> = all().unwrap().iter().map(|stage| stage.number).collect();
        assert!(numbers.starts_with(&[1, 2]), "{numbers:?}");
        assert!(numbers.is_sorted(), "{numbers:?}");
        let error = find(99).unwrap_err().to_string();
        assert!(error.starts_with("there is no stage 99; this workspace has 1, 2"), "{error}");
    }

    #[test]
    fn binaries_lie_beside_the_ladder_in_every_profile() {
        let target = Path::new("/w/target");
        for (exe, dir) in [
            ("/w/target/debug/ladder", "/w/target/debug"),
            ("/w/target/release/deps/soak-0123", "/w/target/release"),
            ("/usr/local/bin/ladder", "/w/target/debug"),
        ] {
            assert_eq!(profile_dir(Path::new(exe), target), Path::new(dir), "{exe}");
        }
    }

    #[test]
    fn a_binary_older_than_a_source_is_stale() {
        let dir = tempfile::tempdir().unwrap();
        let [binary, source] = ["stage-02-x", "with space.rs"].map(|name| dir.path().join(name));
        std::fs::write(&source, "").unwrap();
        std::fs::write(&binary, "").unwrap();
        assert!(!is_current(&binary), "without dep-info a binary is stale");
        let line = |path: &Path| path.display().to_string().replace(' ', "\\ ");
        let list = format!("{}: {}\n", line(&binary), line(&source));
        std::fs::write(binary.with_extension("d"), list).unwrap();
        assert!(is_current(&binary));
        let later = std::time::SystemTime::now() + std::time::Duration::from_mins(1);
        std::fs::File::options().write(true).open(&source).unwrap().set_modified(later).unwrap();
        assert!(!is_current(&binary));
        std::fs::remove_file(&source).unwrap();
        assert!(!is_current(&binary));
    }
}
