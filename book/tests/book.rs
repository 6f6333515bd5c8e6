//! The book builds, and everything that it includes and links to is there.

use crucible_book::pages::Pages;
use crucible_book::{book_root, check, render};

#[test]
fn the_sources_are_sound() {
    let faults = check::sources(&Pages::read(&book_root()).unwrap()).unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn it_builds_and_every_link_leads_somewhere() {
    let folder = tempfile::tempdir().unwrap();
    render::build(&book_root(), folder.path()).unwrap();
    let faults = check::rendered(folder.path()).unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(folder.path().join("index.html").exists());
}

#[test]
fn a_page_that_nobody_wrote_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::copy(book_root().join("book.toml"), folder.path().join("book.toml")).unwrap();
    std::fs::write(folder.path().join("src/SUMMARY.md"), "- [Gone](gone.md)\n").unwrap();
    let error = render::build(folder.path(), &folder.path().join("built")).unwrap_err();
    assert!(format!("{error:#}").contains("gone.md"), "{error:#}");
    assert!(render::checked(folder.path(), &folder.path().join("built")).is_err());
}
