//! The checks of the book: functions that take text and return the errors in it.
//!
//! They take text so that a test can pass a bad example: a check that has never failed proves nothing.

pub mod chapters;
pub mod fences;
pub mod includes;
pub mod links;
pub mod unused;

use std::path::Path;

use crate::pages::Pages;
use crate::{quiz, run};

/// Every error in the sources of a book.
///
/// # Errors
///
/// When a file cannot be read.
pub fn sources(pages: &Pages) -> anyhow::Result<Vec<String>> {
    let mut errors = chapters::summary_errors(pages);
    let quizzes = quiz::read(&pages.book)?;
    errors.extend(quiz::errors(pages, &quizzes));
    let mut pages = pages.clone();
    for text in pages.texts.values_mut() {
        *text = quiz::expand(text, &quizzes);
    }
    for (path, text) in &pages.texts {
        errors.extend(run::errors(path, text));
        errors.extend(includes::errors(path, text, &pages.source()));
        errors.extend(fences::errors(path, text));
    }
    for (path, text) in pages.chapters() {
        errors.extend(chapters::section_errors(path, text));
    }
    errors.extend(unused::errors(&pages)?);
    Ok(errors)
}

/// Every error in a built book.
///
/// # Errors
///
/// When a file cannot be read.
pub fn rendered(built: &Path) -> anyhow::Result<Vec<String>> {
    links::errors(built)
}
