//! The checks of the book: functions that take text and return the errors in it.
//!
//! They take text so that a test can pass a bad example: a check that has never failed proves nothing.

pub mod chapters;
pub mod commands;
pub mod fences;
pub mod includes;
pub mod learning;
pub mod links;
pub mod unused;

use std::path::Path;

use crate::pages::Pages;
use crate::{quiz, run, times, workspace_root};

/// Every error in the sources of a book.
///
/// # Errors
///
/// When a file cannot be read.
pub fn sources(pages: &Pages) -> anyhow::Result<Vec<String>> {
    let mut errors = chapters::summary_errors(pages);
    let quizzes = quiz::read(&pages.book)?;
    errors.extend(quiz::errors(pages, &quizzes));
    let mut expanded = pages.clone();
    for text in expanded.texts.values_mut() {
        *text = quiz::expand(text, &quizzes);
    }
    for (path, text) in &expanded.texts {
        errors.extend(run::errors(path, text));
        errors.extend(includes::errors(path, text, &pages.source()));
        errors.extend(fences::errors(path, text));
        errors.extend(learning::errors(path, text));
    }
    for (path, text) in expanded.chapters() {
        errors.extend(chapters::section_errors(path, text));
    }
    let mut workspace = commands::Workspace::new(&workspace_root());
    for (path, text) in &expanded.texts {
        errors.extend(workspace.errors(path, text)?);
    }
    // The quizzes are not counted.
    errors.extend(times::errors(pages)?);
    errors.extend(unused::errors(&expanded)?);
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
