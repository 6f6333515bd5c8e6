//! Builds the book, checks it, and executes the commands that it shows.
//!
//! Nothing in the book is typed by hand if it can be checked: code is included from compiled files, and
//! console output comes from commands that were executed. A missing include, anchor or link is an error
//! here; mdBook itself reports none of the three.
//!
//! What it does not check: the prose.

pub mod binaries;
pub mod blocks;
pub mod check;
pub mod epub;
pub mod guide;
pub mod output;
pub mod pages;
pub mod quiz;
pub mod render;
pub mod report;
pub mod run;
pub mod serve;
pub mod session;
pub mod slides;
pub mod times;
pub mod transcript;

use std::path::{Path, PathBuf};

/// The directory `book/` of this workspace.
pub fn book_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The root of the workspace: the working directory of the book's commands.
pub fn workspace_root() -> PathBuf {
    let book = book_root();
    book.parent().map_or_else(|| book.clone(), Path::to_path_buf)
}
