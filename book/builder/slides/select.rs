//! What a slide takes of a section.
//!
//! | piece | is |
//! |---|---|
//! | `text 2`, `text 2 1` | the second paragraph; its first sentence |
//! | `list 1`, `list 1 leads`, `list 1 4` | the first list; what is bold in its items; its first four items |
//! | `table 1`, `table 1 5`, `table 1 5 1,3` | the first table; its first five rows; of those the first and third column |
//! | `figure` | the figure |
//! | `image NAME` | the picture `img/NAME.png` |
//! | `code ANCHOR`, `code ANCHOR 1-20` | the listing of an anchor, with the name of its file; some of its lines |
//! | `shell NAME`, `shell NAME 2-3`, `shell NAME 2-3 6` | a transcript; some of its commands; six lines of output of each |
//! | `include NAME` | an included file of Markdown, such as a delta |
//! | `question 1` | the first question of *Predict, then run*; its answer is in the notes |

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use pulldown_cmark_escape::escape_html;

use crate::blocks::{Block, Kind, extensions, sentences};
use crate::check::includes;
use crate::transcript;

/// A part of a slide: what is shown, and what is for the lecturer.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) html: String,
    /// Markup for the notes.
    pub(super) notes: String,
    /// The commands that are shown.
    pub(super) commands: Vec<String>,
}

/// The blocks of a section, and the directory that their includes are relative to.
pub(super) struct Section<'a> {
    pub(super) blocks: Vec<Block<'a>>,
    pub(super) directory: &'a Path,
}

impl Section<'_> {
    /// What `piece` names.
    pub(super) fn take(&self, piece: &str) -> Result<Piece> {
        let words: Vec<&str> = piece.split_whitespace().collect();
        let html = match words.as_slice() {
            ["text", n] => markdown(self.of(Kind::Paragraph, n)?),
            ["text", n, count] => markdown(sentences(self.of(Kind::Paragraph, n)?, count.parse()?)),
            ["list", n] => markdown(self.of(Kind::List, n)?),
            ["list", n, "leads"] => leads(self.of(Kind::List, n)?)?,
            ["list", n, count] => items(self.of(Kind::List, n)?, count.parse()?),
            ["table", n] => table(self.of(Kind::Table, n)?, usize::MAX, None),
            ["table", n, rows] => table(self.of(Kind::Table, n)?, rows.parse()?, None),
            ["table", n, rows, columns] => {
                table(self.of(Kind::Table, n)?, rows.parse()?, Some(numbers(columns)?))
            }
            ["figure"] => self.figure()?,
            ["code", anchor] => self.code(anchor, None)?,
            ["code", anchor, lines] => self.code(anchor, Some(range(lines)?))?,
            ["include", name] => {
                let block = self.including(&format!("{name}.md}}}}"))?;
                markdown(&includes::expand(block.raw, self.directory)?)
            }
            ["shell", name, rest @ ..] => return self.shell(name, rest),
            ["question", n] => return self.question(n),
            _ => bail!("{piece:?} is none of the pieces that a slide can take"),
        };
        Ok(Piece { html, ..Piece::default() })
    }

    /// The nth block of a kind, from 1.
    fn of(&self, kind: Kind, n: &str) -> Result<&str> {
        let n: usize = n.parse().with_context(|| format!("{n:?} is no number"))?;
        let mut found = self.blocks.iter().filter(|block| block.kind == kind);
        let block = n.checked_sub(1).and_then(|before| found.nth(before));
        Ok(block.with_context(|| format!("the section has no {kind:?} number {n}"))?.raw)
    }

    fn including(&self, part: &str) -> Result<&Block<'_>> {
        let found = self.blocks.iter().find(|block| block.raw.contains(part));
        found.with_context(|| format!("the section includes no {part:?}"))
    }

    fn figure(&self) -> Result<String> {
        let figure = self.including("<figure")?;
        includes::expand(figure.raw, self.directory)
    }

    fn code(&self, anchor: &str, lines: Option<(usize, usize)>) -> Result<String> {
        let mark = format!(":{anchor}}}}}");
        let place = self.blocks.iter().position(|block| block.raw.contains(&mark));
        let place = place.with_context(|| format!("the section has no listing {anchor:?}"))?;
        let found = includes::find(self.blocks[place].raw);
        let include = found.iter().find(|include| include.anchor.as_deref() == Some(anchor));
        let include = include.with_context(|| format!("{anchor:?} is no include"))?;
        let text = includes::included(include, self.directory)?;
        let (first, last) = lines.unwrap_or((1, usize::MAX));
        let shown: Vec<&str> =
            text.lines().skip(first - 1).take(last.saturating_sub(first - 1)).collect();
        ensure!(!shown.is_empty(), "{anchor:?} has no line {first}");
        let above = place.checked_sub(1).map_or("", |before| self.blocks[before].raw);
        let file =
            above.strip_prefix("<p class=\"file\">").and_then(|name| name.strip_suffix("</p>"));
        let file = file.unwrap_or_default();
        Ok(format!("<p class=\"file\">{file}</p><pre>{}</pre>", escaped(&shown.join("\n"))))
    }

    fn shell(&self, name: &str, rest: &[&str]) -> Result<Piece> {
        let block = self.including(&format!("/{name}.console}}}}"))?;
        let found = includes::find(block.raw);
        let include = found.first().context("no include")?;
        let steps = transcript::parse(&includes::included(include, self.directory)?)?;
        let (first, last) = rest.first().map_or(Ok((1, steps.len())), |steps| range(steps))?;
        ensure!(last <= steps.len(), "{name} has {} commands", steps.len());
        let most = rest.get(1).map_or(Ok(usize::MAX), |lines| lines.parse())?;
        let mut html = "<pre class=\"shell\">".to_owned();
        for step in &steps[first - 1..last] {
            html += "<b>$ ";
            html += &escaped(&step.command.join("\n> "));
            html += "</b>\n";
            for (number, line) in step.output.lines().enumerate() {
                if number == most {
                    html += "...\n";
                    break;
                }
                html += &escaped(line);
                html.push('\n');
            }
        }
        let commands = steps.iter().map(transcript::Step::script).collect();
        Ok(Piece { html: html.trim_end().to_owned() + "</pre>", commands, notes: String::new() })
    }

    fn question(&self, n: &str) -> Result<Piece> {
        let place =
            self.blocks.iter().position(|block| block.raw.starts_with(&format!("**{n}.**")));
        let place = place.with_context(|| format!("there is no question {n}"))?;
        let answer = self.blocks[place + 1..].iter().take_while(|block| !ends_answer(block.raw));
        let answer = answer.filter(|block| block.kind == Kind::Paragraph);
        let notes: String = answer.map(|block| markdown(block.raw)).collect();
        let question = self.blocks[place].raw;
        Ok(Piece {
            html: format!("<div class=\"question\">{}</div>", markdown(question)),
            notes: if notes.is_empty() { notes } else { format!("<p><b>Answer:</b></p>{notes}") },
            commands: Vec::new(),
        })
    }
}

/// Whether a block is the end of a folded answer, or the next question.
fn ends_answer(raw: &str) -> bool {
    let next = raw.strip_prefix("**");
    raw.starts_with("</details>") || next.is_some_and(|rest| rest.starts_with(char::is_numeric))
}

/// Markdown as HTML. A link is its text: a slide leads nowhere.
pub(super) fn markdown(text: &str) -> String {
    render(Parser::new_ext(text, extensions()))
}

fn render<'a>(events: impl Iterator<Item = Event<'a>>) -> String {
    let mut html = String::new();
    let is_link = |event: &Event<'_>| {
        matches!(event, Event::Start(Tag::Link { .. }) | Event::End(TagEnd::Link))
    };
    pulldown_cmark::html::push_html(&mut html, events.filter(|event| !is_link(event)));
    html
}

/// What is bold at the beginning of each item.
fn leads(list: &str) -> Result<String> {
    let mut html = "<ul class=\"leads\">".to_owned();
    let mut inside = false;
    let mut count = 0;
    for event in Parser::new(list) {
        match event {
            Event::Start(Tag::Item) => count += 1,
            Event::Start(Tag::Strong) => {
                inside = true;
                html += "<li>";
            }
            Event::End(TagEnd::Strong) => {
                inside = false;
                html += "</li>";
            }
            Event::Text(text) | Event::Code(text) if inside => html += &escaped(&text),
            _ => {}
        }
    }
    ensure!(html.matches("<li>").count() == count, "an item has not one part that is bold");
    Ok(html + "</ul>")
}

/// The first items of a list.
fn items(list: &str, count: usize) -> String {
    let mut left = count;
    let mut depth = 0_usize;
    let kept = Parser::new(list).filter(move |event| {
        let is_item = matches!(event, Event::Start(Tag::Item));
        depth += usize::from(is_item);
        let keep = left > 0 || depth == 0;
        if matches!(event, Event::End(TagEnd::Item)) {
            depth -= 1;
            left = left.saturating_sub(usize::from(depth == 0));
        }
        keep
    });
    render(kept)
}

/// A table with its first rows, and some of its columns.
fn table(raw: &str, rows: usize, columns: Option<Vec<usize>>) -> String {
    let (mut row, mut column) = (0, 0);
    let kept = Parser::new_ext(raw, extensions()).filter(move |event| {
        match event {
            Event::Start(Tag::TableRow) => (row, column) = (row + 1, 0),
            Event::Start(Tag::TableHead) => column = 0,
            Event::Start(Tag::TableCell) => column += 1,
            _ => {}
        }
        let is_structure = matches!(
            event,
            Event::Start(Tag::Table(_) | Tag::TableHead)
                | Event::End(TagEnd::Table | TagEnd::TableHead)
        );
        let is_row = matches!(event, Event::Start(Tag::TableRow) | Event::End(TagEnd::TableRow));
        let in_column = is_row || columns.as_ref().is_none_or(|columns| columns.contains(&column));
        is_structure || (row <= rows && in_column)
    });
    render(kept)
}

fn numbers(text: &str) -> Result<Vec<usize>> {
    text.split(',').map(|number| Ok(number.parse()?)).collect()
}

fn range(text: &str) -> Result<(usize, usize)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (first.parse()?, last.parse()?);
    ensure!(1 <= first && first <= last, "{text} is no range");
    Ok((first, last))
}

/// Text that is no markup.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    // Writing to a String cannot fail.
    let _ = escape_html(&mut escaped, text);
    escaped
}
