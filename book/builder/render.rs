//! Renders the book to HTML, with mdBook as a library.
//!
//! mdBook publishes the raw directive when an included file is missing, and an empty block when an
//! anchor is, and reports success both times. [`checked`] therefore checks the sources first.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, bail};
use mdbook_driver::MDBook;

use crate::pages::Pages;
use crate::quiz::{self, Quizzes};
use crate::{check, report, run, workspace_root};

/// Builds the book of `book` into the directory `into`.
///
/// # Errors
///
/// When the book cannot be read or written.
pub fn build(book: &Path, into: &Path) -> anyhow::Result<()> {
    let mut mdbook = MDBook::load(book)
        .with_context(|| format!("cannot read the book in {}", book.display()))?;
    mdbook.config.build.build_dir = into.to_path_buf();
    let quizzes = quiz::read(book)?;
    let html = mdbook.config.html_config().unwrap_or_default();
    let mut result = Ok(());
    mdbook.book.for_each_chapter_mut(|chapter| {
        let Some(page) = chapter.source_path.clone() else { return };
        match complete(&page, &chapter.content, &quizzes, html.git_repository_url.as_deref()) {
            Ok(content) => chapter.content = content,
            Err(error) => result = Err(error),
        }
    });
    result?;
    mdbook.build().with_context(|| format!("cannot build the book into {}", into.display()))
}

/// The text of a page with what the builder adds to it, before mdBook includes anything.
fn complete(
    page: &Path,
    text: &str,
    quizzes: &BTreeMap<String, Quizzes>,
    repository: Option<&str>,
) -> anyhow::Result<String> {
    let workspace = workspace_root();
    let text = run::add_listings(page, text, &quiz::expand(text, quizzes), &workspace)?;
    let text = run::mark(page, &quiz::expand(&text, quizzes), &workspace)?;
    Ok(report::link_files(&text, repository, &workspace)? + &report::foot(page, repository))
}

/// Checks the sources, builds the book, and checks the result.
///
/// # Errors
///
/// When a check finds an error, or the book cannot be built. The message lists every error.
pub fn checked(book: &Path, into: &Path) -> anyhow::Result<()> {
    let errors = check::sources(&Pages::read(book)?)?;
    if !errors.is_empty() {
        bail!("the book's sources have errors:\n{}", errors.join("\n"));
    }
    build(book, into)?;
    let errors = check::rendered(into)?;
    if !errors.is_empty() {
        bail!("the built book has errors:\n{}", errors.join("\n"));
    }
    Ok(())
}
