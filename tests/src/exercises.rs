//! `exercise`: the exercises of the book, each with a check of the reader's answer.
//!
//! An exercise is a directory of `book/exercises`: `exercise.toml` says what is to be done, `start.*` is
//! what the reader's answer begins as, `solution.*` is one that passes, and `check.py` decides, with the
//! stage's real server. Answers and progress are in one directory of the reader, `exercises/`, which can
//! be copied to another machine.

pub mod catalog;
pub mod check;
pub mod progress;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::support::report::Status;
use crate::support::workspace::Workspace;

use catalog::Exercise;
use check::Judgement;
use progress::Progress;

/// Command-line options of `exercise`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Which one, such as 04-1; without, a list of all with your progress
    id: Option<String>,
    /// Show the next hint, and those before it, instead of a check
    #[arg(long, requires = "id")]
    hint: bool,
    /// Show a solution, once you have tried
    #[arg(long, requires = "id", conflicts_with = "hint")]
    solution: bool,
    /// Directory with your answers and your progress
    #[arg(long, value_name = "DIRECTORY", default_value = "exercises")]
    directory: PathBuf,
}

/// Runs the command.
///
/// # Errors
///
/// When there is no such exercise, or its files, the stage or the answer cannot be used.
pub async fn run(options: Options) -> Result<Status> {
    tokio::task::spawn_blocking(move || run_blocking(&options)).await?
}

fn run_blocking(options: &Options) -> Result<Status> {
    let exercises = catalog::all(&Workspace::load()?.root)?;
    let mut progress = Progress::load(&options.directory)?;
    let Some(id) = &options.id else {
        list(&exercises, &progress);
        return Ok(Status::Pass);
    };
    let Some(exercise) = exercises.iter().find(|exercise| exercise.id == *id) else {
        bail!("there is no exercise {id}; `cargo run -p ladder -- exercise` lists them");
    };
    if options.hint {
        return hint(exercise, &mut progress);
    }
    if options.solution {
        if progress.of(id).attempts == 0 {
            bail!("try it first: `cargo run -p ladder -- exercise {id}`");
        }
        print!("{}", exercise.solution()?);
        return Ok(Status::Pass);
    }
    attempt(exercise, &mut progress, options)
}

/// All exercises, with what has passed.
fn list(exercises: &[Exercise], progress: &Progress) {
    for exercise in exercises {
        let Exercise { id, title, kind, minutes, .. } = exercise;
        let mark = if progress.of(id).passed { "passed" } else { "" };
        println!("{id}  {mark:<6}  {title} ({kind}, {minutes} min)");
    }
    let passed = exercises.iter().filter(|exercise| progress.of(&exercise.id).passed).count();
    println!("\n{passed} of {} passed", exercises.len());
}

/// Shows the next hint below those that were shown before.
fn hint(exercise: &Exercise, progress: &mut Progress) -> Result<Status> {
    let (shown, count) = (progress.of(&exercise.id).hints, exercise.hints.len());
    for (number, hint) in (1..=shown + 1).zip(&exercise.hints) {
        println!("hint {number} of {count}: {hint}");
    }
    if shown < count {
        progress.change(&exercise.id, |record| record.hints += 1)?;
    } else {
        println!("there are no more hints; after an attempt, --solution shows a solution");
    }
    Ok(Status::Pass)
}

/// Checks the reader's answer, which is created the first time.
fn attempt(exercise: &Exercise, progress: &mut Progress, options: &Options) -> Result<Status> {
    let answer = options.directory.join(exercise.answer_name());
    println!("{}: {}\n\n{}\n", exercise.id, exercise.title, exercise.task.trim());
    if !answer.exists() {
        std::fs::create_dir_all(&options.directory)?;
        std::fs::write(&answer, exercise.start()?)
            .with_context(|| format!("cannot create {}", answer.display()))?;
        println!("Your answer begins as {}. Edit it, then run this again.", answer.display());
        return Ok(Status::Pass);
    }
    let judgement = check::check(exercise, &answer)?;
    let passed = matches!(judgement, Judgement::Passed);
    progress.change(&exercise.id, |record| {
        record.attempts += 1;
        record.passed |= passed;
    })?;
    match judgement {
        Judgement::Passed => println!("passed"),
        Judgement::NotYet(why) => {
            println!(
                "not yet: {why}\n\nA hint: cargo run -p ladder -- exercise {} --hint",
                exercise.id
            );
        }
    }
    Ok(Status::of(passed))
}
