//! What must hold of the book, as functions that list what does not.
//!
//! Each check takes text and returns faults, so that a test can feed it a bad example: a check
//! that has never been seen to fail proves nothing.

pub mod chapters;
pub mod fences;
pub mod includes;
pub mod links;
pub mod unused;

use std::path::Path;

use crate::pages::Pages;

/// Everything that is wrong with the sources of a book.
///
/// # Errors
///
/// When a file that is there cannot be read.
pub fn sources(pages: &Pages) -> anyhow::Result<Vec<String>> {
    let mut faults = chapters::summary_faults(pages);
    for (path, text) in &pages.texts {
        faults.extend(includes::faults(path, text, &pages.source()));
        faults.extend(fences::faults(path, text));
    }
    for (path, text) in pages.chapters() {
        faults.extend(chapters::section_faults(path, text));
    }
    faults.extend(unused::faults(pages)?);
    Ok(faults)
}

/// Everything that is wrong with a built book.
///
/// # Errors
///
/// When a file cannot be read.
pub fn rendered(built: &Path) -> anyhow::Result<Vec<String>> {
    links::faults(built)
}
