//! `deltas`: what changes from each stage to the next, written for the book to include.
//!
//! Three differences of each pair of neighbours, and two views of each stage's column of the
//! matrix:
//!
//! | file in `book/deltas` | made of | shows |
//! |---|---|---|
//! | `NN-wiring.md` | both `main.rs` | the lines that the wiring gained and lost |
//! | `NN-behaviour.md` | both transcripts | which responses differ |
//! | `NN-containment.md` | the committed matrix | which cells changed |
//! | `NN-attack.md` | the same | how many probes of each group escape |
//! | `NN-unsafe-cells.md` | the same, and `known_gaps.toml` | which probes escape, and why |
//! | `matrix-table.md` | all of it | each probe, what it tries, and what holds it on each stage |
//! | `probes-GROUP.md` | the same, and the probes | each probe of a group with its verdicts and its program |
//!
//! A transcript, `tests/transcripts/NN.txt`, has the responses of one stage to
//! `tests/scenario.toml`. All of it is committed, so that a change of behaviour shows up in review.

pub mod behaviour;
pub mod cells;
pub mod containment;
mod markdown;
mod matrix_page;
mod probe_pages;
mod redact;
mod removed_controls;
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

/// The directory of the generated files, from the root of the workspace.
const DELTAS_DIR: &str = "book/deltas";
/// The directory of the transcripts.
const TRANSCRIPTS: &str = "tests/transcripts";
/// The endings of generated files; other files in the same directory are ignored.
const KINDS: [&str; 5] =
    ["-wiring.md", "-behaviour.md", "-containment.md", "-attack.md", "-unsafe-cells.md"];

/// Command-line options of `deltas`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Write nothing; list the stale files, and exit with 1 when there are any
    #[arg(long)]
    check: bool,
    /// Leave out the files for which the stages have to run: transcripts, and their differences
    #[arg(long)]
    sources_only: bool,
}

/// The expected content of generated files, by their paths from the root of the workspace.
pub type Files = BTreeMap<PathBuf, String>;

/// Writes all files, or lists those that are stale.
///
/// # Errors
///
/// When the scenario cannot be run on a stage, or a file cannot be read or written.
pub async fn run(options: Options) -> Result<Status> {
    let root = Workspace::load()?.root;
    let stages = stages::all()?;
    let mut files = from_sources(&stages)?;
    if !options.sources_only {
        files.extend(from_run(&stages).await?);
    }
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

/// The files that are made of committed sources: wiring, and the views of the matrix.
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
    let probes = probe::all()?;
    let headers = probes.iter().map(|probe| probe.header.clone()).collect();
    let facts = Facts::new(Cells::load()?, headers, Expectations::load()?)?;
    let table = PathBuf::from(DELTAS_DIR).join(matrix_page::FILE);
    files.insert(table, matrix_page::table(&facts)?);
    for (name, text) in probe_pages::all(&facts, &probes, &Workspace::load()?.root)? {
        files.insert(PathBuf::from(DELTAS_DIR).join(name), text);
    }
    for stage in stages.iter().map(|stage| stage.number) {
        files.insert(delta(stage, "attack"), facts.sums(stage)?);
        files.insert(delta(stage, "unsafe-cells"), facts.escaped(stage)?);
    }
    for pair in stages.windows(2) {
        let (one, other) = (pair[0].number, pair[1].number);
        files.insert(delta(other, "containment"), facts.changed_cells(one, other)?);
    }
    Ok(files)
}

/// The files for which the scenario has to be run: transcripts, and their differences.
///
/// # Errors
///
/// When a stage does not build, start, respond or stop.
pub async fn from_run(stages: &[Stage]) -> Result<Files> {
    let transcripts = runner::run(&Scenario::load()?, stages).await?;
    from_transcripts(stages, &transcripts)
}

/// The same files, from given transcripts.
///
/// # Errors
///
/// When they are not of one scenario.
pub fn from_transcripts(stages: &[Stage], transcripts: &[Transcript]) -> Result<Files> {
    let mut files = Files::new();
    let transcripts: Vec<_> = stages.iter().map(|stage| stage.number).zip(transcripts).collect();
    for (stage, transcript) in &transcripts {
        files.insert(transcript_path(*stage), transcript.text());
    }
    for pair in transcripts.windows(2) {
        files.insert(delta(pair[1].0, "behaviour"), behaviour::between(pair[0], pair[1])?);
    }
    Ok(files)
}

/// The committed transcript of each stage.
///
/// # Errors
///
/// When one is missing or malformed.
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
    PathBuf::from(format!("{DELTAS_DIR}/{stage:02}-{kind}.md"))
}

fn transcript_path(stage: u16) -> PathBuf {
    PathBuf::from(format!("{TRANSCRIPTS}/{stage:02}.txt"))
}

/// Which of `files` differ from those in the workspace at `root`, with the differences.
///
/// # Errors
///
/// When an existing file cannot be read.
pub fn stale(root: &Path, files: &Files) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for (path, text) in files {
        let shown = path.display();
        let file = root.join(path);
        if !file.exists() {
            problems.push(format!("{shown} is missing"));
            continue;
        }
        let there =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {shown}"))?;
        if there != *text {
            let diff = similar::TextDiff::from_lines(&there, text);
            let diff = diff.unified_diff().context_radius(1).to_string();
            problems.push(format!("{shown} is stale:\n{diff}"));
        }
    }
    Ok(problems)
}

/// The generated files in the workspace at `root` that no stage needs any more.
///
/// # Errors
///
/// When a directory cannot be listed.
pub fn surplus(root: &Path, stages: &[Stage]) -> Result<Vec<String>> {
    let of_a_stage =
        |name: &str| stages.iter().any(|stage| name.starts_with(&format!("{:02}", stage.number)));
    let mut problems = Vec::new();
    for (dir, endings) in [(DELTAS_DIR, &KINDS[..]), (TRANSCRIPTS, &[".txt"][..])] {
        for entry in std::fs::read_dir(root.join(dir)).with_context(|| dir.to_owned())? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if endings.iter().any(|ending| name.ends_with(ending)) && !of_a_stage(&name) {
                problems.push(format!("{dir}/{name} belongs to no stage; delete it"));
            }
        }
    }
    Ok(problems)
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
