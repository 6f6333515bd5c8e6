//! `deltas`: what changes from each stage to the next, written for the book to include.
//!
//! Three differences of each pair of neighbours, and two views of each stage's column of the matrix:
//!
//! | file in `book/deltas` | made of | says |
//! |---|---|---|
//! | `NN-wiring.md` | both `main.rs` | what the wiring gained and lost |
//! | `NN-behaviour.md` | both transcripts | what is answered otherwise |
//! | `NN-containment.md` | the committed matrix | which cells turned |
//! | `NN-attack.md` | the same | how many probes of each group escape |
//! | `NN-unsafe-cells.md` | the same, and `known_gaps.toml` | which escape, and why |
//!
//! A transcript, `tests/transcripts/NN.txt`, is what one stage answers to `tests/scenario.toml`.
//! All of it is committed, so that a change of behaviour is a change that somebody reads.

pub mod behaviour;
pub mod cells;
pub mod containment;
mod markdown;
mod redact;
mod render;
mod runner;
pub mod scenario;
pub mod transcript;
pub mod wiring;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;

use self::cells::Cells;
use self::containment::Facts;
use self::scenario::Scenario;
use self::transcript::Transcript;
use self::wiring::Wiring;
use crate::attack::expectations::Expectations;
use crate::attack::probe;
use crate::support::report::Status;
use crate::support::stages::{self, Stage};
use crate::support::workspace::Workspace;

/// Where the book includes them from, seen from the root of the workspace.
const FOLDER: &str = "book/deltas";
/// Where the transcripts lie.
const TRANSCRIPTS: &str = "tests/transcripts";
/// How the names of generated files end; others in the same directory are nobody's business here.
const KINDS: [&str; 5] =
    ["-wiring.md", "-behaviour.md", "-containment.md", "-attack.md", "-unsafe-cells.md"];

/// Command-line options of `deltas`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Write nothing; say which files are stale, and end with 1 when there are any
    #[arg(long)]
    check: bool,
}

/// What generated files should hold, by their paths from the root of the workspace.
pub type Files = BTreeMap<PathBuf, String>;

/// Writes all files, or says which are stale.
///
/// # Errors
///
/// When a stage does not play, or a file cannot be read or written.
pub async fn run(options: Options) -> Result<Status> {
    let root = Workspace::load()?.root;
    let stages = stages::all()?;
    let mut files = from_sources(&stages)?;
    files.extend(from_play(&stages).await?);
    let stale = stale(&root, &files)?;
    if options.check {
        for error in &stale {
            eprintln!("{error}");
        }
        return Ok(Status::of(stale.is_empty()));
    }
    for error in &stale {
        println!("{error}");
    }
    write(&root, &files)?;
    println!("{} files, {} of them new or changed", files.len(), stale.len());
    Ok(Status::Pass)
}

/// The files that are made of what is committed: wiring, and what the matrix says.
///
/// # Errors
///
/// When a source cannot be read, or the committed matrix is not of these stages and probes.
pub fn from_sources(stages: &[Stage]) -> Result<Files> {
    let mut files = Files::new();
    let wirings = stages.iter().map(Wiring::read).collect::<Result<Vec<_>>>()?;
    for pair in wirings.windows(2) {
        files.insert(delta(pair[1].stage, "wiring"), wiring::between(&pair[0], &pair[1])?);
    }
    let headers = probe::all()?.into_iter().map(|probe| probe.header).collect();
    let facts = Facts::new(Cells::load()?, headers, Expectations::load()?)?;
    for stage in stages.iter().map(|stage| stage.number) {
        files.insert(delta(stage, "attack"), facts.sums(stage)?);
        files.insert(delta(stage, "unsafe-cells"), facts.escaped(stage)?);
    }
    for pair in stages.windows(2) {
        let (one, other) = (pair[0].number, pair[1].number);
        files.insert(delta(other, "containment"), facts.turned(one, other)?);
    }
    Ok(files)
}

/// The files for which the scenario has to be played: transcripts, and their differences.
///
/// # Errors
///
/// When a stage does not build, start, answer or stop.
pub async fn from_play(stages: &[Stage]) -> Result<Files> {
    let transcripts = runner::play(&Scenario::load()?, stages).await?;
    from_transcripts(stages, &transcripts)
}

/// The same files, of transcripts that are there.
///
/// # Errors
///
/// When they are not of one scenario.
pub fn from_transcripts(stages: &[Stage], transcripts: &[Transcript]) -> Result<Files> {
    let mut files = Files::new();
    let played: Vec<_> = stages.iter().map(|stage| stage.number).zip(transcripts).collect();
    for (stage, transcript) in &played {
        files.insert(transcript_path(*stage), transcript.text());
    }
    for pair in played.windows(2) {
        files.insert(delta(pair[1].0, "behaviour"), behaviour::between(pair[0], pair[1])?);
    }
    Ok(files)
}

/// The committed transcript of each stage.
///
/// # Errors
///
/// When one is missing, or is no transcript.
pub fn committed(root: &Path, stages: &[Stage]) -> Result<Vec<Transcript>> {
    let read = |stage: &Stage| {
        let path = root.join(transcript_path(stage.number));
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}; `just deltas` writes it", path.display()))?;
        Transcript::parse(&text).with_context(|| path.display().to_string())
    };
    stages.iter().map(read).collect()
}

fn delta(stage: u16, kind: &str) -> PathBuf {
    PathBuf::from(format!("{FOLDER}/{stage:02}-{kind}.md"))
}

fn transcript_path(stage: u16) -> PathBuf {
    PathBuf::from(format!("{TRANSCRIPTS}/{stage:02}.txt"))
}

/// Which of `files` are not in the workspace at `root` as they should be, and where they differ.
///
/// # Errors
///
/// When a file that is there cannot be read.
pub fn stale(root: &Path, files: &Files) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for (path, text) in files {
        let shown = path.display();
        let file = root.join(path);
        if !file.exists() {
            faults.push(format!("{shown} is missing"));
            continue;
        }
        let there =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {shown}"))?;
        if there != *text {
            let diff = similar::TextDiff::from_lines(&there, text);
            let diff = diff.unified_diff().context_radius(1).to_string();
            faults.push(format!("{shown} is stale:\n{diff}"));
        }
    }
    Ok(faults)
}

/// The generated files in the workspace at `root` that no stage needs any more.
///
/// # Errors
///
/// When a directory cannot be listed.
pub fn surplus(root: &Path, stages: &[Stage]) -> Result<Vec<String>> {
    let of_a_stage =
        |name: &str| stages.iter().any(|stage| name.starts_with(&format!("{:02}", stage.number)));
    let mut faults = Vec::new();
    for (dir, endings) in [(FOLDER, &KINDS[..]), (TRANSCRIPTS, &[".txt"][..])] {
        for entry in std::fs::read_dir(root.join(dir)).with_context(|| dir.to_owned())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if endings.iter().any(|ending| name.ends_with(ending)) && !of_a_stage(&name) {
                faults.push(format!("{dir}/{name} is of no stage; delete it"));
            }
        }
    }
    Ok(faults)
}

fn write(root: &Path, files: &Files) -> Result<()> {
    for (path, text) in files {
        let file = root.join(path);
        if let Some(dir) = file.parent() {
            std::fs::create_dir_all(dir)
                .with_context(|| format!("cannot make {}", dir.display()))?;
        }
        std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
