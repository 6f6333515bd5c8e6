//! A section of a page as blocks: paragraphs, lists, tables, code and HTML.
//!
//! The slides choose among them, and the times are counted over them.

use std::ops::Range;

use pulldown_cmark::{Event, Options, Parser, Tag};

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Paragraph,
    /// Items, numbered or not.
    List,
    /// A table.
    Table,
    /// A fenced block.
    Code,
    /// Markup: a figure, the name of a file, the edge of a folded answer.
    Html,
    /// A heading, a quote or a rule.
    Other,
}

/// A block and its text in the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block<'a> {
    /// What it is.
    pub kind: Kind,
    /// As it is written.
    pub raw: &'a str,
}

/// The Markdown that this book uses beyond the standard.
pub fn extensions() -> Options {
    Options::ENABLE_TABLES | Options::ENABLE_DEFINITION_LIST
}

/// The blocks of a text, in order.
pub fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut found: Vec<(Kind, Range<usize>)> = Vec::new();
    let mut depth = 0_usize;
    for (event, range) in Parser::new_ext(text, extensions()).into_offset_iter() {
        match event {
            Event::Start(tag) => {
                if depth == 0 {
                    found.push((kind(&tag), range));
                }
                depth += 1;
            }
            Event::End(_) => depth -= 1,
            _ => {}
        }
    }
    found.into_iter().map(|(kind, range)| Block { kind, raw: text[range].trim_end() }).collect()
}

fn kind(tag: &Tag<'_>) -> Kind {
    match tag {
        Tag::Paragraph => Kind::Paragraph,
        Tag::List(_) => Kind::List,
        Tag::Table(_) => Kind::Table,
        Tag::CodeBlock(_) => Kind::Code,
        Tag::HtmlBlock => Kind::Html,
        _ => Kind::Other,
    }
}

/// The first `count` sentences of a paragraph. A full stop in code ends none.
pub fn sentences(paragraph: &str, count: usize) -> &str {
    let mut left = count;
    let mut in_code = false;
    for (at, character) in paragraph.char_indices() {
        match character {
            '`' => in_code = !in_code,
            '.' | '!' | '?' if !in_code => {
                // What closes a sentence may follow: `**Bold.** Next`.
                let after =
                    paragraph[at + character.len_utf8()..].trim_start_matches(['*', '"', ')']);
                let ends = after.is_empty() || after.starts_with([' ', '\n']);
                left -= usize::from(ends);
                if left == 0 {
                    return &paragraph[..paragraph.len() - after.len()];
                }
            }
            _ => {}
        }
    }
    paragraph
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_taken_apart() {
        let text = "One `a.b`.\n\n* x\n* y\n\n| a |\n|---|\n| b |\n\n<figure>\nf\n</figure>\n\n```text\nc\n```\n\n### H\n";
        let kinds: Vec<Kind> = blocks(text).iter().map(|block| block.kind).collect();
        let expected =
            [Kind::Paragraph, Kind::List, Kind::Table, Kind::Html, Kind::Code, Kind::Other];
        assert_eq!(kinds, expected);
        assert_eq!(blocks(text)[1].raw, "* x\n* y");
    }

    #[test]
    fn sentences_end_where_they_end() {
        let text = "**Bold.** It costs 2.4 GB, in `a. b`. Why? So.";
        assert_eq!(sentences(text, 1), "**Bold.**");
        assert_eq!(sentences(text, 2), "**Bold.** It costs 2.4 GB, in `a. b`.");
        assert_eq!(sentences(text, 3), "**Bold.** It costs 2.4 GB, in `a. b`. Why?");
        assert_eq!(sentences(text, 9), text);
    }
}
