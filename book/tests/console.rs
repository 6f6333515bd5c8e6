//! Every `console` block of the book is executed where it stands.
//!
//! `TRYCMD=overwrite cargo test -p crucible-book --test console` writes the real output into the
//! pages; read the difference before you commit it.

use std::path::Path;
use std::time::Duration;

use crucible_book::pages::Pages;
use crucible_book::session::PATH;
use crucible_book::{binaries, book_root, workspace_root};

#[test]
fn the_console_blocks_of_the_pages() {
    let pages = Pages::read(&book_root()).unwrap();
    let all: String = pages.texts.values().map(String::as_str).collect();
    let own = Path::new(env!("CARGO_BIN_EXE_crucible-book"));
    let binaries = binaries::ready(own, &binaries::named_in(&all)).unwrap();
    // The commands run at the root of the workspace. No other test runs in this process.
    std::env::set_current_dir(workspace_root()).unwrap();
    trycmd::TestCases::new()
        .register_bin("cargo", workspace_root().join("book/shims/cargo"))
        .env("PATH", PATH)
        .env("CRUCIBLE_BOOK_BINARIES", binaries.display().to_string())
        .timeout(Duration::from_mins(2))
        .case("book/src/*.md")
        .run();
}
