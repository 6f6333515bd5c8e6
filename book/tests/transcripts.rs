//! Executes every transcript of the book and compares its output: one test for each file.
//!
//! `UPDATE=1 cargo test -p crucible-book --test transcripts` writes the real output into the
//! files; read the difference before you commit it. `-- 04-` after that selects those of chapter 04.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use crucible_book::output::settled;
use crucible_book::pages::files_below;
use crucible_book::session::Session;
use crucible_book::transcript::{Step, parse, write};
use crucible_book::{binaries, book_root, workspace_root};
use libtest_mimic::{Arguments, Trial};

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    let files = files_below(&book_root().join("transcripts"))?;
    ensure!(!files.is_empty(), "the book has no transcripts");
    let mut trials = vec![Trial::test("made_up_output_is_detected", || {
        Ok(made_up_output_is_detected().map_err(|error| format!("{error:#}"))?)
    })];
    for file in files {
        let name = file.file_stem().context("a transcript has a name")?;
        let name = name.to_string_lossy().into_owned();
        trials.push(Trial::test(name, move || {
            Ok(check(&file).map_err(|error| format!("{error:#}"))?)
        }));
    }
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

/// Executes a transcript, and fails when its output differs from what the file shows.
fn check(file: &Path) -> anyhow::Result<()> {
    let shown = std::fs::read_to_string(file)?;
    let executed = write(&execute(&shown)?);
    let (expected, seen) = (settled(&shown), settled(&executed));
    if seen == expected {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(file, executed)
            .with_context(|| format!("cannot write {}", file.display()));
    }
    let compared = snapbox::Assert::new().try_eq(None, seen.into(), expected.into());
    let difference = compared.err().map_or_else(String::new, |difference| difference.to_string());
    bail!(
        "{} does not show the real output; UPDATE=1 writes it into the file\n{difference}",
        file.display()
    )
}

fn execute(text: &str) -> anyhow::Result<Vec<Step>> {
    let own = Path::new(env!("CARGO_BIN_EXE_crucible-book"));
    let binaries = binaries::ready(own, &binaries::named_in(text))?;
    let mut session = Session::start(&workspace_root(), &binaries)?;
    let mut steps = parse(text)?;
    for step in &mut steps {
        step.output = session.execute(step)?;
    }
    Ok(steps)
}

fn made_up_output_is_detected() -> anyhow::Result<()> {
    let steps = execute("$ echo true\nfalse\n")?;
    ensure!(write(&steps) == "$ echo true\ntrue\n", "got {steps:?}");
    Ok(())
}
