//! The foot of each page: a link to report an error of it, with the page's path.
//!
//! With `git-repository-url` in `book.toml` it opens a new issue there. Without it, it leads to the
//! section of the preface that says what to send.

use std::fmt::Write as _;
use std::path::Path;

/// The section of the preface.
const SECTION: &str = "preface.md#report-an-error";

/// The foot of the page at `page`, relative to `src`.
pub fn foot(page: &Path, repository: Option<&str>) -> String {
    let path = format!("book/src/{}", page.display());
    let target = repository.map_or_else(
        || SECTION.to_owned(),
        |url| format!("{}/issues/new?title={}", url.trim_end_matches('/'), encoded(&path)),
    );
    format!(
        "\n\n<footer class=\"report\">\n\n[Report an error on this page]({target}): `{path}`\n\n</footer>\n"
    )
}

/// Text as a value of a query.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_foot_has_the_path_of_its_page() {
        let page = Path::new("04-docker.md");
        let plain = foot(page, None);
        assert!(plain.contains("(preface.md#report-an-error): `book/src/04-docker.md`"), "{plain}");
        let issue = foot(Path::new("a b.md"), Some("https://code.example/crucible/"));
        let expected = "(https://code.example/crucible/issues/new?title=book/src/a%20b.md)";
        assert!(issue.contains(expected), "{issue}");
    }
}
