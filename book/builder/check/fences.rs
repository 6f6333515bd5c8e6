//! Every fenced block names its language, and shows nothing that was typed by hand.
//!
//! | fence | what it may contain |
//! |---|---|
//! | `rust` | includes by named anchor, all from the one file that the line above it names |
//! | `console` | commands and their output, executed in place by `tests/console.rs` |
//! | `shell` | one transcript, executed by `tests/transcripts.rs` |
//! | `python`, `bash`, `diff`, `html` | includes of whole files or anchors |
//! | `json`, `text`, `toml` | anything: neither code of this workspace nor output of a command |

use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

use super::includes::{self, Include};

/// A code block of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The first word after the backticks; empty for an untagged or an indented block.
    pub language: String,
    /// What is between the backticks.
    pub content: String,
    /// The last line of prose before the block.
    pub above: String,
}

/// The code blocks of a page, in order.
pub fn find(text: &str) -> Vec<Fence> {
    let mut fences: Vec<Fence> = Vec::new();
    let mut inside = false;
    for (event, range) in Parser::new(text).into_offset_iter() {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                inside = true;
                let language = match &kind {
                    CodeBlockKind::Fenced(info) => info.split(',').next().unwrap_or("").trim(),
                    CodeBlockKind::Indented => "",
                };
                let before = text[..range.start].trim_end().lines().last();
                fences.push(Fence {
                    language: language.to_owned(),
                    content: String::new(),
                    above: before.unwrap_or("").to_owned(),
                });
            }
            Event::End(TagEnd::CodeBlock) => inside = false,
            Event::Text(part) if inside => {
                if let Some(fence) = fences.last_mut() {
                    fence.content.push_str(&part);
                }
            }
            _ => {}
        }
    }
    fences
}

/// Errors in the code blocks of one page.
pub fn errors(page: &Path, text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    for fence in find(text) {
        if let Some(error) = error_of(&fence) {
            let first = fence.content.lines().next().unwrap_or("");
            errors.push(format!("{}: the block that begins {first:?}: {error}", page.display()));
        }
    }
    errors
}

fn error_of(fence: &Fence) -> Option<String> {
    let lines = || fence.content.lines().filter(|line| !line.trim().is_empty());
    let all_included = lines().all(|line| includes::find(line).len() == 1);
    let includes = includes::find(&fence.content);
    match fence.language.as_str() {
        "rust" if !all_included || includes.is_empty() => {
            Some("include Rust from a compiled file, never paste it".to_owned())
        }
        "rust" => rust_error(&includes, &fence.above),
        "console" if !fence.content.starts_with("$ ") => {
            Some("a console block begins with `$ ` and a command".to_owned())
        }
        "shell" if !all_included || includes.len() != 1 || !is_transcript(&includes[0]) => {
            Some("a shell block is one include of a file in transcripts/".to_owned())
        }
        "python" | "bash" | "diff" | "html" if !all_included || includes.is_empty() => {
            Some("include it from a file, so that a test can use the same".to_owned())
        }
        "console" | "shell" | "python" | "bash" | "diff" | "html" | "json" | "text" | "toml" => {
            None
        }
        "" => Some("name what language it is".to_owned()),
        other => Some(format!("{other} is no language of this book (see check/fences.rs)")),
    }
}

fn rust_error(includes: &[Include], above: &str) -> Option<String> {
    let file = &includes[0].file;
    if includes.iter().any(|include| include.anchor.is_none() || include.file != *file) {
        return Some("include named anchors of one file".to_owned());
    }
    let caption = format!("<p class=\"file\">{}</p>", shown(file).display());
    (above != caption).then(|| format!("put {caption} above it"))
}

/// The path of a file from the root of the workspace: without the leading `..`.
fn shown(file: &Path) -> PathBuf {
    file.components().skip_while(|part| part.as_os_str() == "..").collect()
}

fn is_transcript(include: &Include) -> bool {
    let file = shown(&include.file);
    file.starts_with("transcripts")
        && file.extension().is_some_and(|extension| extension == "console")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors_of(text: &str) -> Vec<String> {
        errors(Path::new("page.md"), text)
    }

    #[test]
    fn good_blocks_have_no_error() {
        let text = "<p class=\"file\">stages/x/src/lib.rs</p>\n\n```rust,ignore\n\
                    {{#include ../../stages/x/src/lib.rs:a}}\n\n\
                    {{#include ../../stages/x/src/lib.rs:b}}\n```\n\n\
                    ```console\n$ ls\n```\n\n```shell\n{{#include ../transcripts/a.console}}\n```\n\n\
                    ```python\n{{#include ../programs/a.py}}\n```\n\n```json\n{}\n```\n";
        assert_eq!(errors_of(text), [""; 0]);
    }

    #[test]
    fn each_bad_block_has_an_error() {
        let caption = "<p class=\"file\">a.rs</p>\n\n";
        for (text, expected) in [
            ("```\nx\n```".to_owned(), "what language"),
            ("    indented".to_owned(), "what language"),
            ("```cobol\nx\n```".to_owned(), "no language of this book"),
            ("```rust\nlet x = 1;\n```".to_owned(), "never paste"),
            ("```rust\n```".to_owned(), "never paste"),
            (format!("{caption}```rust\n{{{{#include ../../a.rs}}}}\n```"), "named anchors"),
            (
                format!("{caption}```rust\n{{{{#include a.rs:a}}}}\n{{{{#include b.rs:a}}}}\n```"),
                "of one file",
            ),
            (
                format!("{caption}```rust\n{{{{#include ../b.rs:a}}}}\n```"),
                "<p class=\"file\">b.rs",
            ),
            ("```rust\n{{#include ../../a.rs:a}}\n```".to_owned(), "<p class=\"file\">a.rs"),
            ("```console\nhello\n```".to_owned(), "begins with"),
            ("```shell\n$ ls\nmade up\n```".to_owned(), "transcripts/"),
            ("```shell\n{{#include ../programs/a.py}}\n```".to_owned(), "transcripts/"),
            ("```python\nprint(1)\n```".to_owned(), "from a file"),
        ] {
            let errors = errors_of(&text);
            assert_eq!(errors.len(), 1, "{text}: {errors:?}");
            assert!(errors[0].contains(expected), "{text}: {errors:?}");
        }
    }
}
