//! The book as an EPUB: the content of mdBook's print page, made into one by pandoc.
//!
//! An e-reader has neither the scripts nor a stage, and a folded answer may not open there: answers are
//! unfolded, and each figure is a picture with its title as text.

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context as _, ensure};
use regex::{Captures, Regex};

use crate::render;

/// Parts of the print page, and what stands in their place.
static PARTS: LazyLock<[(Regex, &str); 6]> = LazyLock::new(|| {
    [
        // The links of headings to themselves.
        (pattern(r#"(?s)<a class="header"[^>]*>(.*?)</a>"#), "$1"),
        (pattern(r"</?details[^>]*>"), ""),
        (pattern(r"(?s)<summary>(.*?)</summary>"), "<p><strong>$1</strong></p>"),
        (pattern(r#"(?s)<footer class="report">.*?</footer>"#), ""),
        (pattern(r#"<div style="break-before: page;[^>]*></div>"#), ""),
        (pattern(r#"(?s)<div class="(?:guide|matrix)-filter">.*?</div>"#), ""),
    ]
});
static FIGURE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?s)<svg\b[^>]*class="diagram".*?</svg>"#));
static TITLE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)<title[^>]*>(.*?)</title>"));

#[allow(clippy::expect_used, reason = "constant patterns, compiled by the first test")]
fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a valid pattern")
}

/// Builds the book of `book`, and writes it to `file` as an EPUB.
///
/// # Errors
///
/// When the book cannot be built, or pandoc is missing or fails.
pub fn write(book: &Path, file: &Path) -> anyhow::Result<()> {
    let work = tempfile::tempdir()?;
    render::build(book, work.path())?;
    let print = std::fs::read_to_string(work.path().join("print.html"))?;
    let (content, figures) = content(&print)?;
    for (number, figure) in (1..).zip(figures) {
        std::fs::write(work.path().join(figure_name(number)), figure)?;
    }
    let source = work.path().join("content.html");
    std::fs::write(&source, content)?;
    let mut pandoc = Command::new("pandoc");
    pandoc
        .args(["--from", "html", "--to", "epub3", "--toc", "--toc-depth", "2"])
        .args([
            "--epub-chapter-level",
            "1",
            "--metadata",
            "title=Crucible",
            "--metadata",
            "lang=en",
        ])
        .args(["--metadata", "author=The Crucible authors", "--css"])
        .arg(book.join("theme/epub.css"))
        .arg("--resource-path")
        .arg(work.path())
        .arg("--output")
        .args([file, &source]);
    let done = pandoc
        .output()
        .context("cannot start pandoc: apt-get install pandoc, or just setup --with-tests")?;
    let reported = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success() && reported.is_empty(), "pandoc reported: {reported}");
    Ok(())
}

/// The content of mdBook's print page for an e-reader, and its figures.
fn content(print: &str) -> anyhow::Result<(String, Vec<String>)> {
    let main = print.split_once("<main>").and_then(|(_, rest)| rest.split_once("</main>"));
    let (main, _) = main.context("mdBook's print page has no main part")?;
    let mut figures = Vec::new();
    let main = FIGURE.replace_all(main, |found: &Captures| {
        // A picture has no colour of the text around it.
        figures.push(found[0].replace("currentColor", "#333"));
        let title = TITLE.captures(&found[0]).map(|title| title[1].replace('"', "&quot;"));
        let name = figure_name(figures.len());
        format!("<img src=\"{name}\" alt=\"{}\">", title.unwrap_or_default())
    });
    let main = PARTS
        .iter()
        .fold(main.into_owned(), |main, (part, with)| part.replace_all(&main, *with).into_owned());
    let page = "<!doctype html><html><head><title>Crucible</title></head><body>";
    Ok((format!("{page}{main}</body></html>"), figures))
}

fn figure_name(number: usize) -> String {
    format!("figure-{number}.svg")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_hand_or_a_script_is_replaced() {
        let print = "<nav>N</nav><main><h1 id=\"a\"><a class=\"header\" href=\"#a\">T</a></h1>\
            <svg xmlns=\"x\" class=\"diagram\"><title id=\"t\">A \"b\"</title><path stroke=\"currentColor\"/></svg>\
            <details class=\"quiz-answer\"><summary>Answer</summary>\n<p>R</p></details>\
            <footer class=\"report\">\n<p>F</p>\n</footer></main>";
        let (page, figures) = content(print).unwrap();
        let body = "<body><h1 id=\"a\">T</h1><img src=\"figure-1.svg\" alt=\"A &quot;b&quot;\">\
            <p><strong>Answer</strong></p>\n<p>R</p></body>";
        assert!(page.contains(body), "{page}");
        assert!(figures.len() == 1 && figures[0].contains("stroke=\"#333\""), "{figures:?}");
        assert!(content("<p>").is_err());
    }
}
