//! The exercises of the book, read from their directories.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

/// Where they are, from the root of the workspace.
const DIR: &str = "book/exercises";

/// What a reader does in an exercise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Finds a way around something.
    Break,
    /// Repairs something.
    Fix,
    /// Adds something.
    Extend,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Break => "break",
            Self::Fix => "fix",
            Self::Extend => "extend",
        })
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    kind: Kind,
    minutes: u32,
    stages: Vec<u16>,
    task: String,
    hints: Vec<String>,
}

/// One exercise.
#[derive(Debug, Clone)]
pub struct Exercise {
    /// The number of its stage, and its own: `04-1`.
    pub id: String,
    /// A few words.
    pub title: String,
    /// What the reader does.
    pub kind: Kind,
    /// Minutes that it takes.
    pub minutes: u32,
    /// The stages whose servers the check starts.
    pub stages: Vec<u16>,
    /// What is to be done.
    pub task: String,
    /// From a nudge to nearly the solution.
    pub hints: Vec<String>,
    /// Its directory.
    pub dir: PathBuf,
    /// The ending of the answer's name.
    extension: String,
}

impl Exercise {
    /// The name of the reader's file.
    pub fn answer_name(&self) -> String {
        format!("{}.{}", self.id, self.extension)
    }

    /// The path of what an answer begins as.
    pub fn start_path(&self) -> PathBuf {
        self.dir.join(format!("start.{}", self.extension))
    }

    /// The path of an answer that passes.
    pub fn solution_path(&self) -> PathBuf {
        self.dir.join(format!("solution.{}", self.extension))
    }

    /// What an answer begins as.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn start(&self) -> Result<String> {
        read(&self.start_path())
    }

    /// An answer that passes.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn solution(&self) -> Result<String> {
        read(&self.solution_path())
    }
}

/// All exercises of the workspace at `root`, in the order of their ids.
///
/// # Errors
///
/// When one is incomplete or malformed.
pub fn all(root: &Path) -> Result<Vec<Exercise>> {
    let dir = root.join(DIR);
    let mut exercises = Vec::new();
    for entry in std::fs::read_dir(&dir).with_context(|| format!("cannot list {DIR}"))? {
        let path = entry?.path();
        if path.join("exercise.toml").is_file() {
            exercises.push(one(&path).with_context(|| path.display().to_string())?);
        }
    }
    exercises.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(exercises)
}

fn one(dir: &Path) -> Result<Exercise> {
    let File { title, kind, minutes, stages, task, hints } =
        toml::from_str(&read(&dir.join("exercise.toml"))?)?;
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut parts = name.splitn(3, '-');
    let (Some(stage), Some(number), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        bail!("its name is not STAGE-NUMBER-WORDS");
    };
    ensure!(hints.len() >= 2, "it has fewer than two hints");
    ensure!(dir.join("check.py").is_file(), "it has no check.py");
    let extension = extension(dir)?;
    let id = format!("{stage}-{number}");
    let dir = dir.to_owned();
    Ok(Exercise { id, title, kind, minutes, stages, task, hints, dir, extension })
}

/// The ending that `start.*` and `solution.*` have.
fn extension(dir: &Path) -> Result<String> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        let is_start = path.file_stem().is_some_and(|stem| stem == "start");
        if let (true, Some(extension)) = (is_start, path.extension()) {
            ensure!(
                dir.join("solution").with_extension(extension).is_file(),
                "it has no solution of the kind of its start"
            );
            return Ok(extension.to_string_lossy().into_owned());
        }
    }
    bail!("it has no start")
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
