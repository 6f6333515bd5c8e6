//! How long a page takes to read, by its words.
//!
//! The recipe: the words of the text, answers included, at [`WORDS_PER_MINUTE`]; each line of code or output that is
//! shown, at [`LINES_PER_MINUTE`]. Tables of results that are included are looked at, not read, and are not counted.

use std::fmt::Write as _;
use std::path::Path;

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use crate::blocks::extensions;
use crate::check::chapters::sections_of;
use crate::check::{fences, includes};
use crate::pages::Pages;

/// Words of technical text that are read in a minute.
pub const WORDS_PER_MINUTE: usize = 200;
/// Lines of code or output that are read in a minute.
pub const LINES_PER_MINUTE: usize = 40;
/// What stands before the number in a checkpoint.
pub const STATED: &str = "Reading takes ";
/// The section of a chapter with its minutes: first those to read.
const SECTION: &str = "Minutes to read and to do";

/// What there is to read in a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Words outside of listings.
    pub words: usize,
    /// Lines of listings.
    pub lines: usize,
}

impl Amount {
    /// Minutes, rounded up.
    pub fn minutes(self) -> usize {
        let hundredths = self.words * 100 / WORDS_PER_MINUTE + self.lines * 100 / LINES_PER_MINUTE;
        hundredths.div_ceil(100)
    }

    /// Whether a stated number of minutes is right, to within a seventh or two minutes.
    fn allows(self, stated: usize) -> bool {
        stated.abs_diff(self.minutes()) <= (self.minutes() / 7).max(2)
    }
}

/// What there is to read in a page of the directory `source`.
///
/// # Errors
///
/// When an included file cannot be read.
pub fn amount(text: &str, source: &Path) -> anyhow::Result<Amount> {
    let mut amount = Amount::default();
    let mut in_code = false;
    for event in Parser::new_ext(text, extensions()) {
        match event {
            Event::Start(Tag::CodeBlock(_)) => in_code = true,
            Event::End(TagEnd::CodeBlock) => in_code = false,
            Event::Text(text) | Event::Code(text) if !in_code => {
                let words = text.split_whitespace();
                amount.words += words.filter(|word| word.contains(char::is_alphanumeric)).count();
            }
            _ => {}
        }
    }
    for fence in fences::find(text) {
        amount.lines += includes::expand(&fence.content, source)?.lines().count();
    }
    Ok(amount)
}

/// The chapters of the stages `1..=last`, together.
fn chapters_up_to(pages: &Pages, first: &str, last: &str) -> anyhow::Result<Amount> {
    let mut all = Amount::default();
    for (path, text) in pages.chapters() {
        let stage = path.to_string_lossy().chars().take(2).collect::<String>();
        if (first..=last).contains(&stage.as_str()) {
            let Amount { words, lines } = amount(text, &pages.source())?;
            all = Amount { words: all.words + words, lines: all.lines + lines };
        }
    }
    Ok(all)
}

/// Minutes that a chapter or a checkpoint states and that do not follow from its words.
///
/// # Errors
///
/// When an included file cannot be read.
pub fn errors(pages: &Pages) -> anyhow::Result<Vec<String>> {
    let mut errors = Vec::new();
    let mut check = |page: &Path, stated: Option<usize>, amount: Amount| {
        if !stated.is_some_and(|stated| amount.allows(stated)) {
            errors.push(format!(
                "{}: it states {stated:?} minutes to read; {} words and {} lines are {}",
                page.display(),
                amount.words,
                amount.lines,
                amount.minutes()
            ));
        }
    };
    for (page, text) in pages.chapters() {
        let sections = sections_of(text);
        let stated = sections.iter().find(|(title, _)| title == SECTION);
        check(
            page,
            stated.and_then(|(_, text)| first_number(text)),
            amount(text, &pages.source())?,
        );
    }
    for (page, text) in &pages.texts {
        let name = page.to_string_lossy();
        let Some(last) = name.strip_prefix("checkpoint-").and_then(|name| name.strip_suffix(".md"))
        else {
            continue;
        };
        let first = pages.texts.keys().filter_map(|page| {
            let name = page.to_str()?.strip_prefix("checkpoint-")?.strip_suffix(".md")?;
            (name < last).then(|| name.parse::<usize>().ok()).flatten()
        });
        let first = format!("{:02}", first.max().unwrap_or(0) + 1);
        let stated = text.split_once(STATED).and_then(|(_, rest)| first_number(rest));
        check(page, stated, chapters_up_to(pages, &first, last)?);
    }
    Ok(errors)
}

fn first_number(text: &str) -> Option<usize> {
    text.split(|c: char| !c.is_ascii_digit()).find_map(|word| word.parse().ok())
}

/// The amounts of all pages, as a table for a terminal.
///
/// # Errors
///
/// When an included file cannot be read.
pub fn table(pages: &Pages) -> anyhow::Result<String> {
    let mut table = format!("{:<32}{:>8}{:>8}{:>9}\n", "page", "words", "lines", "minutes");
    for (page, text) in &pages.texts {
        let amount = amount(text, &pages.source())?;
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "{:<32}{:>8}{:>8}{:>9}",
            page.display().to_string(),
            amount.words,
            amount.lines,
            amount.minutes()
        );
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_lines_are_counted() {
        let text = "# A b\n\nOne `two` & three.\n\n| a | b |\n|---|---|\n| c | d e |\n\n```text\nx y\nz\n```\n";
        let found = amount(text, Path::new("/nowhere")).unwrap();
        assert_eq!(found, Amount { words: 2 + 3 + 2 + 3, lines: 2 });
        assert_eq!(Amount { words: 210, lines: 40 }.minutes(), 3);
    }

    #[test]
    fn minutes_that_do_not_follow_from_the_words_are_an_error() {
        let chapter = |minutes: usize| {
            let words = "word ".repeat(4000);
            format!("# A\n\n{words}\n\n## {SECTION}\n\n{minutes} minutes to read, 5 to do.\n")
        };
        let checkpoint = |minutes: usize| format!("{STATED}{minutes} minutes.");
        let with = |read: usize, stated: usize| {
            let texts = [
                ("01-a.md".into(), chapter(read)),
                ("02-a.md".into(), chapter(21)),
                ("checkpoint-02.md".into(), checkpoint(stated)),
            ];
            errors(&Pages { book: "/nowhere".into(), texts: texts.into() }).unwrap()
        };
        assert_eq!(with(20, 40), [""; 0]);
        assert!(with(15, 40)[0].contains("01-a.md: it states Some(15)"), "{:?}", with(15, 40));
        assert!(with(20, 60)[0].contains("checkpoint-02.md"));
    }
}
