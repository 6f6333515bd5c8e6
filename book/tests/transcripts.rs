//! Every transcript of the book is executed, and prints what the book says.
//!
//! `UPDATE=1 cargo test -p crucible-book --test transcripts` writes what was printed into the files;
//! read the difference before you commit it.

use std::path::{Path, PathBuf};

use crucible_book::output::settled;
use crucible_book::pages::files_below;
use crucible_book::session::Session;
use crucible_book::transcript::{Step, parse, write};
use crucible_book::{binaries, book_root, workspace_root};

/// The transcripts whose names begin with `prefix`.
fn transcripts(prefix: &str) -> Vec<PathBuf> {
    let mut all = files_below(&book_root().join("transcripts")).unwrap_or_default();
    all.retain(|it| it.file_name().is_some_and(|it| it.to_string_lossy().starts_with(prefix)));
    all
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

#[track_caller]
fn check(prefix: &str) {
    let files = transcripts(prefix);
    assert!(!files.is_empty(), "no transcript begins with {prefix}");
    let mut failed = 0;
    for file in files {
        let shown = std::fs::read_to_string(&file).unwrap_or_default();
        let executed = execute(&shown).map(|steps| write(&steps));
        let (update, executed) = match executed {
            Ok(executed) => (std::env::var_os("UPDATE").is_some(), executed),
            Err(fault) => (false, format!("{fault:#}")),
        };
        let (expected, seen) = (settled(&shown), settled(&executed));
        if seen == expected {
            continue;
        }
        if update {
            assert!(std::fs::write(&file, executed).is_ok(), "cannot write {}", file.display());
            continue;
        }
        failed += 1;
        eprintln!("--- {} does not show what happens ---", file.display());
        let compared = snapbox::Assert::new().try_eq(None, seen.into(), expected.into());
        compared.unwrap_or_else(|difference| eprintln!("{difference}"));
    }
    assert_eq!(failed, 0, "UPDATE=1 writes what was printed into the files");
}

#[test]
fn chapter_01() {
    check("01-");
}

#[test]
fn chapter_02() {
    check("02-");
}

#[test]
fn chapter_03() {
    check("03-");
}

#[test]
fn chapter_04() {
    check("04-");
}

#[test]
fn every_transcript_belongs_to_a_chapter_above() {
    let source = include_str!("transcripts.rs");
    for file in transcripts("") {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let prefix = name.get(..3).unwrap_or_default();
        assert!(source.contains(&format!("check(\"{prefix}\")")), "no test executes {name}");
    }
}

#[test]
fn an_output_that_was_made_up_is_seen() {
    let steps = execute("$ echo true\nfalse\n").unwrap();
    assert_eq!(write(&steps), "$ echo true\ntrue\n");
}
