//! The book as an EPUB: the content of mdBook's print page, made into one by pandoc.
//!
//! An e-reader has neither the scripts nor a stage, and a folded answer may not open there: answers are
//! unfolded, and each figure is a picture with its title as text.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use anyhow::{Context as _, ensure};
use lazy_regex::{Regex, regex};

use crate::pages::files_below;
use crate::render;

/// Parts of the print page, and what stands in their place.
static PARTS: LazyLock<[(&'static Regex, &'static str); 7]> = LazyLock::new(|| {
    [
        // The signs of warnings.
        (regex!(r"(?s)<svg\b.*?</svg>"), ""),
        // The links of headings to themselves.
        (regex!(r#"(?s)<a class="header"[^>]*>(.*?)</a>"#), "$1"),
        (regex!(r"</?details[^>]*>"), ""),
        (regex!(r"(?s)<summary>(.*?)</summary>"), "<p><strong>$1</strong></p>"),
        (regex!(r#"(?s)<footer class="report">.*?</footer>"#), ""),
        (regex!(r#"<div style="break-before: page;[^>]*></div>"#), ""),
        (regex!(r#"(?s)<div class="(?:guide|matrix)-filter">.*?</div>"#), ""),
    ]
});

fn figure_pattern() -> &'static Regex {
    regex!(r#"(?s)<svg\b[^>]*class="diagram"[^>]*aria-labelledby="([\w-]+)".*?</svg>"#)
}

fn title_pattern() -> &'static Regex {
    regex!(r#"(?s)<title id="([\w-]+)">(.*?)</title>"#)
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
    let figures = figures(book)?;
    for (name, figure) in &figures {
        // A picture has no colour of the text around it.
        let drawn = figure.replace("currentColor", "#333");
        std::fs::write(work.path().join(format!("{name}.svg")), drawn)?;
    }
    let content = content(&print, &figures)?;
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

/// The figures of the book by the ids of their titles. Those in the print page are HTML, whose attributes
/// have lost their capital letters, and so no SVG any more.
fn figures(book: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut figures = BTreeMap::new();
    for file in files_below(&book.join("src/img"))? {
        if file.extension().is_some_and(|extension| extension == "svg") {
            let text = std::fs::read_to_string(&file)?;
            let title = title_pattern().captures(&text);
            let title = title.with_context(|| format!("{} has no title", file.display()))?;
            figures.insert(title[1].to_owned(), text);
        }
    }
    Ok(figures)
}

/// The content of mdBook's print page for an e-reader.
fn content(print: &str, figures: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let main = print.split_once("<main>").and_then(|(_, rest)| rest.split_once("</main>"));
    let (main, _) = main.context("mdBook's print page has no main part")?;
    let mut main = main.to_owned();
    while let Some(found) = figure_pattern().captures(&main) {
        let (range, name) = (found.get(0).map_or(0..0, |whole| whole.range()), found[1].to_owned());
        let figure = figures.get(&name).with_context(|| format!("there is no figure {name}"))?;
        let title = title_pattern().captures(figure).map(|title| title[2].replace('"', "&quot;"));
        let title = title.unwrap_or_default();
        main.replace_range(range, &format!("<img src=\"{name}.svg\" alt=\"{title}\">"));
    }
    let main =
        PARTS.iter().fold(main, |main, (part, with)| part.replace_all(&main, *with).into_owned());
    let page = "<!doctype html><html><head><title>Crucible</title></head><body>";
    Ok(format!("{page}{main}</body></html>"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_hand_or_a_script_is_replaced() {
        let print = "<nav>N</nav><main><h1 id=\"a\"><a class=\"header\" href=\"#a\">T</a></h1>\
            <svg class=\"diagram\" viewbox=\"0\" aria-labelledby=\"t-title\"><title></title></svg>\
            <svg><path></path></svg>\
            <details class=\"quiz-answer\"><summary>Answer</summary>\n<p>R</p></details>\
            <footer class=\"report\">\n<p>F</p>\n</footer></main>";
        let figure = "<svg><title id=\"t-title\">A \"b\"</title></svg>".to_owned();
        let page = content(print, &[("t-title".to_owned(), figure)].into()).unwrap();
        let body = "<body><h1 id=\"a\">T</h1><img src=\"t-title.svg\" alt=\"A &quot;b&quot;\">\
            <p><strong>Answer</strong></p>\n<p>R</p></body>";
        assert!(page.contains(body), "{page}");
        let gone = content(print, &BTreeMap::new()).unwrap_err();
        assert!(gone.to_string().contains("no figure t-title"));
        assert!(content("<p>", &BTreeMap::new()).is_err());
    }
}
