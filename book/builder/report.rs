//! What leads from a page to the repository: the paths above its listings, and in its foot a link to report an
//! error of it, with the page's path.
//!
//! With `git-repository-url` in `book.toml` each path leads to its file there, and the foot opens a new issue.
//! Without it, a path is text, and the foot leads to the section of the preface that says what to send.

use std::fmt::Write as _;
use std::path::Path;

use lazy_regex::{Regex, regex};

use crate::check::includes;

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

fn caption_pattern() -> &'static Regex {
    regex!(r#"(<p class="file"[^>]*>)([a-z]+/[^<]+)</p>"#)
}

fn generated_pattern() -> &'static Regex {
    regex!(r"\{\{#include \.\./deltas/[\w-]+\.md\}\}")
}

/// The text of a page with its generated parts in place, and with links from the path above each listing to the
/// file in the repository, if there is an address of it.
///
/// # Errors
///
/// When a generated part is not there.
pub fn link_files(
    text: &str,
    repository: Option<&str>,
    workspace: &Path,
) -> anyhow::Result<String> {
    let Some(url) = repository else { return Ok(text.to_owned()) };
    let mut whole = String::new();
    let mut end = 0;
    for found in generated_pattern().find_iter(text) {
        whole.push_str(&text[end..found.start()]);
        whole.push_str(&includes::expand(found.as_str(), &workspace.join("book/src"))?);
        end = found.end();
    }
    whole.push_str(&text[end..]);
    let with = format!("$1<a href=\"{}/blob/HEAD/$2\">$2</a></p>", url.trim_end_matches('/'));
    Ok(caption_pattern().replace_all(&whole, with).into_owned())
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
    fn a_path_leads_to_its_file() {
        let workspace = crate::workspace_root();
        let text = "<p class=\"file\" data-stage=\"05\">book/programs/a.py</p>\n\n{{#include ../deltas/probes-kernel.md}}\n";
        assert_eq!(link_files(text, None, &workspace).unwrap(), text);
        let linked = link_files(text, Some("https://code.example/crucible/"), &workspace).unwrap();
        let link = |path: &str| {
            format!("<a href=\"https://code.example/crucible/blob/HEAD/{path}\">{path}</a></p>")
        };
        assert!(linked.starts_with(&format!(
            "<p class=\"file\" data-stage=\"05\">{}",
            link("book/programs/a.py")
        )));
        // In a generated part as well, whose own includes stay those of the page.
        assert!(linked.contains(&link("tests/probes/kernel/mount.py")), "{linked}");
        assert!(linked.contains("{{#include ../../tests/probes/kernel/mount.py}}"));
        let gone = link_files("{{#include ../deltas/gone.md}}", Some("https://x"), &workspace);
        assert!(gone.is_err());
    }

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
