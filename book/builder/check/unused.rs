//! Every transcript, program, picture and generated difference is shown somewhere.
//!
//! A transcript that no page includes is still executed for nothing, and a program that no
//! transcript runs is a claim without a proof. A difference between two stages that no chapter includes
//! is one that nobody reads.

use std::ffi::OsStr;

use crate::pages::{Pages, files_below};

/// The files of `transcripts/`, `programs/`, `deltas/` and `src/img/` that nothing names.
///
/// # Errors
///
/// When a folder or a file cannot be read.
pub fn faults(pages: &Pages) -> anyhow::Result<Vec<String>> {
    let mut users: Vec<String> = pages.texts.values().cloned().collect();
    let transcripts = files_below(&pages.book.join("transcripts"))?;
    for transcript in &transcripts {
        users.push(std::fs::read_to_string(transcript)?);
    }
    let mut files = transcripts;
    files.extend(files_below(&pages.book.join("programs"))?);
    files.extend(files_below(&pages.book.join("deltas"))?);
    files.extend(files_below(&pages.book.join("src/img"))?);
    let mut faults = Vec::new();
    for file in files {
        let name = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        // A loop in a transcript says the name without its ending.
        let (whole, stem) = (name(file.file_name()), name(file.file_stem()));
        let says_stem = |text: &String| text.split([' ', ';']).any(|word| word == stem);
        let is_program = file.parent().is_some_and(|folder| folder.ends_with("programs"));
        if !users.iter().any(|text| text.contains(&whole) || (is_program && says_stem(text))) {
            faults.push(format!("nothing shows or uses {}", file.display()));
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_nothing_names_is_a_fault() {
        let book = tempfile::tempdir().unwrap();
        for (path, text) in [
            (
                "src/page.md",
                "{{#include ../transcripts/a.console}} {{#include ../deltas/x.md}} ![x](img/x.svg)",
            ),
            ("src/img/x.svg", "<svg/>"),
            ("src/img/y.svg", "<svg/>"),
            ("deltas/x.md", "x"),
            ("deltas/y.md", "y"),
            ("transcripts/a.console", "$ python3 book/programs/p.py; for it in q; do"),
            ("programs/p.py", "print(1)"),
            ("programs/q.py", "print(1)"),
        ] {
            let path = book.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let faults = faults(&Pages::read(book.path()).unwrap()).unwrap();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].ends_with("deltas/y.md"), "{faults:?}");
        assert!(faults[1].ends_with("src/img/y.svg"), "{faults:?}");
    }
}
