//! Every `{{#include}}` names a file that is there, and an anchor that is closed and not empty.
//!
//! Lines are included by named anchor only: a line number silently refers to other lines as soon as a
//! line is added above.

use std::path::{Path, PathBuf};

use lazy_regex::{Regex, regex};

fn directive_pattern() -> &'static Regex {
    regex!(r"\{\{\s*#(\w+)\s*([^}]*?)\s*\}\}")
}

/// One `{{#include file:anchor}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// The file, as written: relative to the page.
    pub file: PathBuf,
    /// The anchor, when one is named.
    pub anchor: Option<String>,
}

/// The includes of a text, in order. Other directives are left out.
pub fn find(text: &str) -> Vec<Include> {
    let includes = directive_pattern().captures_iter(text).filter(|found| &found[1] == "include");
    includes.map(|found| parse(&found[2])).collect()
}

fn parse(target: &str) -> Include {
    match target.split_once(':') {
        None => Include { file: target.into(), anchor: None },
        Some((file, anchor)) => Include { file: file.into(), anchor: Some(anchor.to_owned()) },
    }
}

/// `text` with the content of each include in its place, as mdBook replaces them. `directory` is that of
/// the page.
///
/// # Errors
///
/// When a file or an anchor is not there.
pub fn expand(text: &str, directory: &Path) -> anyhow::Result<String> {
    let mut expanded = String::new();
    let mut end = 0;
    for found in directive_pattern().captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        expanded.push_str(&text[end..whole.start()]);
        expanded.push_str(included(&parse(&found[2]), directory)?.trim_end_matches('\n'));
        end = whole.end();
    }
    expanded.push_str(&text[end..]);
    Ok(expanded)
}

/// The lines that an include stands for, without those that are anchors.
///
/// # Errors
///
/// When the file or the anchor is not there.
pub fn included(include: &Include, directory: &Path) -> anyhow::Result<String> {
    let file = directory.join(&include.file);
    if let Some(error) = error_of(include, directory) {
        anyhow::bail!("{}: {error}", file.display());
    }
    let text = std::fs::read_to_string(&file)?;
    let mut lines = Vec::new();
    let mut inside = include.anchor.is_none();
    for line in text.lines() {
        match &include.anchor {
            Some(anchor) if is_mark(line, "ANCHOR:", anchor) => inside = true,
            Some(anchor) if is_mark(line, "ANCHOR_END:", anchor) => inside = false,
            _ if line.contains("ANCHOR:") || line.contains("ANCHOR_END:") => {}
            _ if inside => lines.push(line),
            _ => {}
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// Whether a line begins or ends this anchor.
fn is_mark(line: &str, mark: &str, anchor: &str) -> bool {
    let rest = line.split_once(mark).map(|(_, rest)| rest.trim());
    rest.is_some_and(|rest| rest.split_whitespace().next() == Some(anchor))
}

/// Errors in the directives of one page. `source` is the directory that `page` is in.
pub fn errors(page: &Path, text: &str, source: &Path) -> Vec<String> {
    let mut errors = Vec::new();
    let directory = source.join(page);
    let directory = directory.parent().unwrap_or(source);
    for found in directive_pattern().captures_iter(text) {
        let error = match &found[1] {
            "include" => error_of(&parse(&found[2]), directory),
            other => Some(format!("#{other} is not used in this book: only #include is checked")),
        };
        if let Some(error) = error {
            errors.push(format!("{}: {}: {error}", page.display(), &found[0]));
        }
    }
    if text.matches("{{#").count() > directive_pattern().find_iter(text).count() {
        errors.push(format!("{}: a directive is not closed", page.display()));
    }
    errors
}

fn error_of(include: &Include, directory: &Path) -> Option<String> {
    let file = directory.join(&include.file);
    let Ok(text) = std::fs::read_to_string(&file) else {
        return Some("there is no such file".to_owned());
    };
    match &include.anchor {
        None if text.trim().is_empty() => Some("the file is empty".to_owned()),
        None => None,
        Some(anchor) => anchor_error(&text, anchor),
    }
}

fn anchor_error(text: &str, anchor: &str) -> Option<String> {
    if anchor.starts_with(|first: char| first.is_ascii_digit() || first == ':') {
        return Some("include by a named anchor, not by line numbers".to_owned());
    }
    let marks = |mark: &str| -> Vec<usize> {
        let lines = text.lines().enumerate();
        lines.filter(|(_, line)| is_mark(line, mark, anchor)).map(|(at, _)| at).collect()
    };
    let (begins, ends) = (marks("ANCHOR:"), marks("ANCHOR_END:"));
    match (&begins[..], &ends[..]) {
        ([], _) => Some("there is no such anchor".to_owned()),
        ([_], []) => Some("the anchor is not closed".to_owned()),
        ([begin], [end]) if begin < end => {
            let between = text.lines().skip(begin + 1).take(end - begin - 1);
            let content =
                between.filter(|line| !line.contains("ANCHOR")).any(|line| !line.trim().is_empty());
            (!content).then(|| "there is nothing between the anchor and its end".to_owned())
        }
        ([_], [_]) => Some("the anchor ends before it begins".to_owned()),
        _ => Some("the anchor is there more than once".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The errors of a page that includes `target` from a file with this content.
    fn errors_of(target: &str, content: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("code.rs"), content).unwrap();
        let text = format!("{{{{#include {target}}}}}");
        errors(Path::new("page.md"), &text, directory.path())
    }

    #[test]
    fn a_good_include_has_no_error() {
        let content = "// ANCHOR: a\nlet a;\n// ANCHOR_END: a\n";
        assert_eq!(errors_of("code.rs:a", content), [""; 0]);
        assert_eq!(errors_of("code.rs", content), [""; 0]);
    }

    #[test]
    fn each_bad_include_has_an_error() {
        for (target, content, expected) in [
            ("other.rs", "", "no such file"),
            ("code.rs", "\n", "file is empty"),
            ("code.rs:a", "let a;", "no such anchor"),
            ("code.rs:a", "// ANCHOR: ab\nlet a;\n// ANCHOR_END: ab", "no such anchor"),
            ("code.rs:a", "// ANCHOR: a\nlet a;\n", "not closed"),
            ("code.rs:a", "// ANCHOR: a\n\n// ANCHOR_END: a", "nothing between"),
            ("code.rs:a", "// ANCHOR_END: a\n// ANCHOR: a", "ends before"),
            ("code.rs:a", "// ANCHOR: a\nx\n// ANCHOR_END: a\n// ANCHOR: a", "more than once"),
            ("code.rs:3:7", "let a;", "not by line numbers"),
        ] {
            let errors = errors_of(target, content);
            assert_eq!(errors.len(), 1, "{target} of {content:?}: {errors:?}");
            assert!(errors[0].contains(expected), "{errors:?}");
        }
    }

    #[test]
    fn an_include_is_replaced_by_its_lines() {
        let directory = tempfile::tempdir().unwrap();
        let code = "a\n// ANCHOR: x\nb\n// ANCHOR: y\nc\n// ANCHOR_END: y\n// ANCHOR_END: x\nd\n";
        std::fs::write(directory.path().join("code.rs"), code).unwrap();
        let expand = |text: &str| expand(text, directory.path());
        assert_eq!(expand("1 {{#include code.rs:x}} 2").unwrap(), "1 b\nc 2");
        assert_eq!(expand("{{#include code.rs}}").unwrap(), "a\nb\nc\nd");
        assert!(
            expand("{{#include code.rs:z}}").unwrap_err().to_string().contains("no such anchor")
        );
    }

    #[test]
    fn other_and_open_directives_are_errors() {
        let all = |text| errors(Path::new("page.md"), text, Path::new("/nowhere"));
        assert!(all("{{#rustdoc_include a.rs:b}}")[0].contains("#rustdoc_include"));
        assert!(all("{{#include a.rs:b")[0].contains("not closed"));
    }
}
