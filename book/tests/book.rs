//! The book builds, and everything that it includes and links to is there.

use crucible_book::pages::Pages;
use crucible_book::{book_root, check, render};

#[test]
fn the_sources_are_sound() {
    let errors = check::sources(&Pages::read(&book_root()).unwrap()).unwrap();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn it_builds_and_every_link_leads_somewhere() {
    let directory = tempfile::tempdir().unwrap();
    render::build(&book_root(), directory.path()).unwrap();
    let errors = check::rendered(directory.path()).unwrap();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    assert!(directory.path().join("index.html").exists());
}

#[test]
fn a_page_without_a_file_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("src")).unwrap();
    std::fs::copy(book_root().join("book.toml"), directory.path().join("book.toml")).unwrap();
    std::fs::write(directory.path().join("src/SUMMARY.md"), "- [Gone](gone.md)\n").unwrap();
    let error = render::build(directory.path(), &directory.path().join("built")).unwrap_err();
    assert!(format!("{error:#}").contains("gone.md"), "{error:#}");
    assert!(render::checked(directory.path(), &directory.path().join("built")).is_err());
}

#[test]
fn a_malformed_quiz_stops_the_build() {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in [
        ("book.toml", "[book]\n"),
        ("src/SUMMARY.md", "- [P](p.md)\n"),
        ("src/p.md", "# P\n"),
        (
            "quizzes/01.toml",
            "[[quiz]]\nquestion = 'Q?'\ntranscript = 't'\nshows = 's'\nanswer = 1\n",
        ),
    ] {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let error = render::build(directory.path(), &directory.path().join("built")).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("01.toml is malformed") && error.contains("answer"), "{error}");
    std::fs::remove_dir_all(directory.path().join("quizzes")).unwrap();
    render::build(directory.path(), &directory.path().join("built")).unwrap();
    let page = std::fs::read_to_string(directory.path().join("built/p.html")).unwrap();
    assert!(
        page.contains("Report an error on this page") && page.contains("book/src/p.md"),
        "{page}"
    );
}

/// pandoc reports pictures that are missing, and nothing else may be reported either. `just epub` has
/// epubcheck look at the file, where it is installed.
#[test]
fn the_book_is_made_into_an_epub() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("book.epub");
    crucible_book::epub::write(&book_root(), &file).unwrap();
    let bytes = std::fs::read(&file).unwrap();
    assert!(bytes.starts_with(b"PK") && bytes.len() > 500_000, "{} bytes", bytes.len());
}
