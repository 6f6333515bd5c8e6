//! Every transcript of the book is executed, and prints what the book says: one test for each file.
//!
//! `UPDATE=1 cargo test -p crucible-book --test transcripts` writes what was printed into the files;
//! read the difference before you commit it. `-- 04-` after that takes those of chapter 04 alone.

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
    let mut trials = vec![Trial::test("an_output_that_was_made_up_is_seen", || {
        Ok(made_up_output_is_seen().map_err(|error| format!("{error:#}"))?)
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

/// Executes a transcript, and fails when it prints something else than it shows.
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
        "{} does not show what happens; UPDATE=1 writes what was printed into it\n{difference}",
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

fn made_up_output_is_seen() -> anyhow::Result<()> {
    let steps = execute("$ echo true\nfalse\n")?;
    ensure!(write(&steps) == "$ echo true\ntrue\n", "got {steps:?}");
    Ok(())
}
