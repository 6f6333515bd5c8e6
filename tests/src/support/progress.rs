//! Progress bars and phases.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error; hidden when that is not a terminal.
pub fn bar(length: usize, what: &str) -> ProgressBar {
    let template = "{prefix:<24} [{bar:32}] {pos}/{len}  {msg}";
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    // indicatif draws to standard error, and only when that is a terminal.
    ProgressBar::new(length).with_style(style).with_prefix(what.to_owned())
}

/// Prints the phase on standard error when there is no bar: a log without a line for an hour looks
/// like a process that hangs.
pub fn phase(what: &str) {
    if !std::io::stderr().is_terminal() {
        eprintln!("{what}");
    }
}
