//! Every link of the built book leads somewhere, and no directive is left in it.
//!
//! Links to other sites are not followed: the tests work without a network. They must be `https`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use html5gum::{Token, Tokenizer};

use crate::pages::files_below;

/// The link targets and the links of one built page.
#[derive(Debug, Default)]
struct Links {
    ids: BTreeSet<String>,
    targets: Vec<String>,
}

/// Errors in the links of the built book in `built`.
///
/// # Errors
///
/// When a file cannot be read.
pub fn errors(built: &Path) -> anyhow::Result<Vec<String>> {
    let files = files_below(built)?;
    let present: BTreeSet<PathBuf> =
        files.iter().filter_map(|file| file.strip_prefix(built).ok()).map(PathBuf::from).collect();
    let mut errors = Vec::new();
    let mut pages = BTreeMap::new();
    for page in
        present.iter().filter(|file| file.extension().is_some_and(|extension| extension == "html"))
    {
        let html = std::fs::read_to_string(built.join(page))?;
        if html.contains("{{#") {
            errors.push(format!("{}: a directive was not replaced", page.display()));
        }
        pages.insert(page.clone(), read(&html));
    }
    for (page, links) in &pages {
        for target in &links.targets {
            if let Some(error) = error_of(page, target, &present, &pages) {
                errors.push(format!("{}: the link to {target:?} {error}", page.display()));
            }
        }
    }
    Ok(errors)
}

/// Parses the ids and the links of a page.
fn read(html: &str) -> Links {
    let mut links = Links::default();
    for Ok(token) in Tokenizer::new(html) {
        let Token::StartTag(tag) = token else { continue };
        for (name, value) in tag.attributes {
            let value = String::from_utf8_lossy(&value).into_owned();
            match name.as_slice() {
                b"id" => {
                    links.ids.insert(value);
                }
                b"href" | b"src" => links.targets.push(value),
                _ => {}
            }
        }
    }
    links
}

fn error_of(
    page: &Path,
    target: &str,
    present: &BTreeSet<PathBuf>,
    pages: &BTreeMap<PathBuf, Links>,
) -> Option<&'static str> {
    if target.starts_with("https://")
        || target.starts_with("data:")
        || target.starts_with("mailto:")
    {
        return None;
    }
    if target.contains("://") || target.starts_with("//") {
        return Some("is neither of this book nor https");
    }
    let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
    let path = path.split('?').next().unwrap_or("");
    let file = match path {
        "" => page.to_path_buf(),
        // The 404 page is shown at any depth, so its links start at the root.
        _ if path.starts_with('/') => normal(Path::new(path.trim_start_matches('/'))),
        _ => normal(&page.parent().unwrap_or(Path::new("")).join(path)),
    };
    let file = if file.as_os_str().is_empty() { PathBuf::from("index.html") } else { file };
    if !present.contains(&file) {
        return Some("leads nowhere");
    }
    let ids = pages.get(&file).map(|links| &links.ids)?;
    (!fragment.is_empty() && !ids.contains(fragment)).then_some("names no place in that page")
}

/// The same path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut whole, part| {
        match part {
            Component::ParentDir => {
                whole.pop();
            }
            Component::Normal(part) => whole.push(part),
            _ => {}
        }
        whole
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors_of(pages: &[(&str, &str)]) -> Vec<String> {
        let built = tempfile::tempdir().unwrap();
        for (path, html) in pages {
            let path = built.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, html).unwrap();
        }
        errors(built.path()).unwrap()
    }

    #[test]
    fn good_links_have_no_error() {
        let first = r##"<h2 id="top">T</h2><a href="#top">1</a><a href="in/b.html#x">2</a>
            <img src="c.svg"><a href="https://example.org/#y">3</a><a href="c.svg?v=1">4</a>"##;
        let pages = [
            ("index.html", first),
            ("in/b.html", r#"<p id="x"><a href="../index.html#top">"#),
            ("c.svg", ""),
        ];
        assert_eq!(errors_of(&pages), [""; 0]);
    }

    #[test]
    fn each_bad_link_has_an_error() {
        for (html, expected) in [
            (r##"<a href="#gone">"##, "names no place"),
            (r#"<a href="b.html#gone">"#, "names no place"),
            (r#"<a href="gone.html">"#, "leads nowhere"),
            (r#"<img src="img/gone.svg">"#, "leads nowhere"),
            (r#"<a href="http://example.org">"#, "nor https"),
            ("<p>{{#include a.rs}}</p>", "was not replaced"),
        ] {
            let errors = errors_of(&[("a.html", html), ("b.html", "")]);
            assert_eq!(errors.len(), 1, "{html}: {errors:?}");
            assert!(errors[0].contains(expected), "{errors:?}");
        }
    }
}
