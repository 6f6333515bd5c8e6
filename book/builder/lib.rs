//! The book's machinery: it builds the book, checks it, and executes what it shows.
//!
//! The rule it keeps: nothing in the book is only claimed. Code is included from compiled files,
//! console output from commands that really ran, and a missing include, anchor or link is a fault.
//! mdBook itself is silent about all three.
//!
//! It does not check that the prose is true.

pub mod binaries;
pub mod check;
pub mod output;
pub mod pages;
pub mod render;
pub mod serve;
pub mod session;
pub mod transcript;

use std::path::{Path, PathBuf};

/// The folder `book/`, wherever this workspace lies.
pub fn book_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The root of the workspace: where the commands of the book are typed.
pub fn workspace_root() -> PathBuf {
    let book = book_root();
    book.parent().map_or_else(|| book.clone(), Path::to_path_buf)
}
