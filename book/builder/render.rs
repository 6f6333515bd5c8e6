//! From Markdown to HTML, by mdBook as a library.
//!
//! mdBook publishes the raw directive when an included file is missing, and an empty block when an
//! anchor is, and reports success both times. [`checked`] looks first.

use std::path::Path;

use anyhow::{Context, bail};
use mdbook_driver::MDBook;

use crate::check;
use crate::pages::Pages;

/// Builds the book of `book` into the folder `into`.
///
/// # Errors
///
/// When the book cannot be read or written.
pub fn build(book: &Path, into: &Path) -> anyhow::Result<()> {
    let mut mdbook = MDBook::load(book)
        .with_context(|| format!("cannot read the book in {}", book.display()))?;
    mdbook.config.build.build_dir = into.to_path_buf();
    mdbook.build().with_context(|| format!("cannot build the book into {}", into.display()))
}

/// Builds the book after its sources, and before its result, have been checked.
///
/// # Errors
///
/// When a check finds something, or the book cannot be built. The message lists every fault.
pub fn checked(book: &Path, into: &Path) -> anyhow::Result<()> {
    let faults = check::sources(&Pages::read(book)?)?;
    if !faults.is_empty() {
        bail!("the book's sources have faults:\n{}", faults.join("\n"));
    }
    build(book, into)?;
    let faults = check::rendered(into)?;
    if !faults.is_empty() {
        bail!("the built book has faults:\n{}", faults.join("\n"));
    }
    Ok(())
}
