//! Every transcript, program, figure and generated delta is used by a page or a transcript.
//!
//! A transcript that no page includes would be executed for nothing, a program that no transcript runs
//! would be a claim without a proof, and a delta that no chapter includes would never be read.

use std::ffi::OsStr;

use crate::pages::{Pages, files_below};

/// The files of `transcripts/`, `programs/`, `deltas/` and `src/img/` that no text names.
///
/// # Errors
///
/// When a directory or a file cannot be read.
pub fn errors(pages: &Pages) -> anyhow::Result<Vec<String>> {
    let mut users: Vec<String> = pages.texts.values().cloned().collect();
    let transcripts = files_below(&pages.book.join("transcripts"))?;
    for transcript in &transcripts {
        users.push(std::fs::read_to_string(transcript)?);
    }
    let mut files = transcripts;
    files.extend(files_below(&pages.book.join("programs"))?);
    files.extend(files_below(&pages.book.join("deltas"))?);
    files.extend(files_below(&pages.book.join("src/img"))?);
    let mut errors = Vec::new();
    for file in files {
        let name = |part: Option<&OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        // A loop in a transcript has the name without its extension.
        let (whole, stem) = (name(file.file_name()), name(file.file_stem()));
        let names_stem = |text: &String| text.split([' ', ';']).any(|word| word == stem);
        let is_program = file.parent().is_some_and(|directory| directory.ends_with("programs"));
        if !users.iter().any(|text| text.contains(&whole) || (is_program && names_stem(text))) {
            errors.push(format!("nothing shows or uses {}", file.display()));
        }
    }
    Ok(errors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_nothing_names_is_an_error() {
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
        let errors = errors(&Pages::read(book.path()).unwrap()).unwrap();
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert!(errors[0].ends_with("deltas/y.md"), "{errors:?}");
        assert!(errors[1].ends_with("src/img/y.svg"), "{errors:?}");
    }
}
