//! The page that the slides are in: style and script are part of it, and its policy allows no other source.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::pieces::Shown;
use super::select::escaped;

/// No connection to anywhere. Pictures are in the page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

/// The whole page.
pub(super) fn deck(book: &Path, slides: &[Shown]) -> Result<String> {
    let part = |name: &str| {
        let file = book.join("slides").join(name);
        std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    };
    let (style, script) = (part("deck.css")?, part("deck.js")?);
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n<meta name=\"viewport\" content=\"width=device-width\">\n<title>Crucible: slides</title>\n<link rel=\"icon\" href=\"data:,\">\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
    );
    for (number, slide) in (1..).zip(slides) {
        // Writing to a String cannot fail.
        let _ = write!(
            html,
            "<section class=\"slide{}\" id=\"{number}\">\n<header><span>{}</span><h1>{}</h1></header>\n<div class=\"body\">{}</div>\n<footer><span>Crucible</span><span>{number} / {}</span></footer>\n</section>\n<aside class=\"notes\">{}</aside>\n",
            if slide.small { " small" } else { "" },
            escaped(&slide.session),
            escaped(&slide.title),
            slide.body,
            slides.len(),
            slide.notes,
        );
    }
    html += "</main>\n<div id=\"help\" hidden><p><kbd>&rarr;</kbd> <kbd>space</kbd> next &middot; <kbd>&larr;</kbd> back &middot; <kbd>Home</kbd> <kbd>End</kbd> &middot; <kbd>n</kbd> notes &middot; <kbd>s</kbd> a second window with notes &middot; <kbd>d</kbd> dark or light &middot; <kbd>p</kbd> print &middot; <kbd>?</kbd> this help</p></div>\n";
    let _ = write!(html, "<script>\n{script}</script>\n</body>\n</html>\n");
    Ok(html)
}
