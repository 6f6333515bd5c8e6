//! Every page is in the table of contents, and every chapter has its sections in their order.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, TagEnd};

use crate::pages::{Pages, is_continued};

/// The sections of a stage's chapter, in their order.
pub const SECTIONS: [&str; 13] = [
    "You will be able to",
    "tl;dr",
    "The pain",
    "The idea",
    "The code",
    "Run it",
    "Attack it",
    "What changed",
    "Still unsafe",
    "Predict, then run",
    "Exercises",
    "Minutes to read and to do",
    "Further reading",
];

/// The section that a chapter lacks which continues that of its stage: the stage has its differences once.
const OF_THE_STAGE: &str = "What changed";

/// Differences between `SUMMARY.md` and the files of the book.
pub fn summary_errors(pages: &Pages) -> Vec<String> {
    let summary_path = Path::new("SUMMARY.md");
    let Some(summary) = pages.texts.get(summary_path) else {
        return vec!["there is no SUMMARY.md".to_owned()];
    };
    let listed: BTreeSet<PathBuf> = links_of(summary).into_iter().map(PathBuf::from).collect();
    let present: BTreeSet<PathBuf> =
        pages.texts.keys().filter(|path| *path != summary_path).cloned().collect();
    let missing = listed.difference(&present);
    let missing =
        missing.map(|page| format!("SUMMARY.md names {}, which is not there", page.display()));
    let unlisted = present.difference(&listed);
    let unlisted = unlisted.map(|page| format!("{} is not in SUMMARY.md", page.display()));
    missing.chain(unlisted).collect()
}

fn links_of(text: &str) -> Vec<String> {
    let links = Parser::new(text).filter_map(|event| match event {
        Event::Start(Tag::Link { dest_url, .. }) => {
            Some(dest_url.trim_start_matches("./").to_owned())
        }
        _ => None,
    });
    links.collect()
}

/// Errors in the sections of one chapter.
pub fn section_errors(page: &Path, text: &str) -> Vec<String> {
    let sections = sections_of(text);
    let titles: Vec<&str> = sections.iter().map(|(title, _)| title.as_str()).collect();
    let expected =
        SECTIONS.into_iter().filter(|title| *title != OF_THE_STAGE || !is_continued(page));
    let expected: Vec<_> = expected.collect();
    if titles != expected {
        let (is, should) = (titles.join(" · "), expected.join(" · "));
        return vec![format!(
            "{}: its sections are {is}\n  but should be {should}",
            page.display()
        )];
    }
    let mut errors = Vec::new();
    for (title, content) in &sections {
        let error = match title.as_str() {
            _ if content.trim().is_empty() => Some("is empty"),
            "Predict, then run" if !content.contains("<details>") => Some("has no folded answer"),
            "The idea" if !content.contains("{{#include img/") => Some("has no diagram"),
            "Minutes to read and to do" if numbers_in(content) < 2 => Some("needs two numbers"),
            _ => None,
        };
        if let Some(error) = error {
            errors.push(format!("{}: the section {title:?} {error}", page.display()));
        }
    }
    errors
}

/// Title and raw text of each section, that is, of each heading of the second level.
pub(crate) fn sections_of(text: &str) -> Vec<(String, &str)> {
    let mut headings: Vec<(String, std::ops::Range<usize>)> = Vec::new();
    let mut open = false;
    for (event, range) in Parser::new(text).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { level: HeadingLevel::H2, .. }) => {
                open = true;
                headings.push((String::new(), range));
            }
            Event::End(TagEnd::Heading(HeadingLevel::H2)) => open = false,
            Event::Text(part) | Event::Code(part) if open => {
                if let Some((title, _)) = headings.last_mut() {
                    title.push_str(&part);
                }
            }
            _ => {}
        }
    }
    let ends = headings.iter().skip(1).map(|(_, range)| range.start).chain([text.len()]);
    let sections = headings.iter().zip(ends);
    sections.map(|((title, range), end)| (title.clone(), &text[range.end..end])).collect()
}

fn numbers_in(text: &str) -> usize {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| word.parse::<u32>().is_ok()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chapter() -> String {
        let content = "{{#include img/d.svg}} <details> 10 20";
        let sections = SECTIONS.map(|title| format!("\n## {title}\n\n{content}\n"));
        format!("# 01\n{}", sections.concat())
    }

    fn errors_of(text: &str) -> Vec<String> {
        section_errors(Path::new("01-x.md"), text)
    }

    #[test]
    fn a_whole_chapter_has_no_error() {
        assert_eq!(errors_of(&chapter()), [""; 0]);
    }

    #[test]
    fn a_chapter_that_continues_another_has_no_differences_of_its_own() {
        let page = Path::new("09b-x.md");
        assert!(section_errors(page, &chapter())[0].contains("but should be"));
        let (before, after) = chapter()
            .split_once("## What changed")
            .map(|(before, after)| {
                let (_, after) = after.split_once("## Still unsafe").unwrap();
                (before.to_owned(), after.to_owned())
            })
            .unwrap();
        let continued = format!("{before}## Still unsafe{after}");
        assert_eq!(section_errors(page, &continued), [""; 0]);
        assert!(errors_of(&continued)[0].contains("but should be"));
    }

    #[test]
    fn missing_swapped_and_empty_sections_are_errors() {
        let missing = chapter().replace("## Still unsafe", "### Still unsafe");
        assert!(errors_of(&missing)[0].contains("but should be"));
        let swapped = chapter().replace("## tl;dr", "## x").replace("## The pain", "## tl;dr");
        assert!(errors_of(&swapped)[0].contains("but should be"));
        for (section, without, expected) in [
            ("Exercises", "{{#include img/d.svg}} <details> 10 20", "is empty"),
            ("Predict, then run", "<details>", "no folded answer"),
            ("The idea", "{{#include img/", "no diagram"),
            ("Minutes to read and to do", "20", "two numbers"),
        ] {
            let (before, after) = {
                let text = chapter();
                let (before, after) = text.split_once(&format!("## {section}\n")).unwrap();
                (before.to_owned(), after.replacen(without, "", 1))
            };
            let errors = errors_of(&format!("{before}## {section}\n{after}"));
            assert_eq!(errors.len(), 1, "{section}: {errors:?}");
            assert!(errors[0].contains(expected), "{errors:?}");
        }
    }

    #[test]
    fn a_page_and_the_summary_must_know_each_other() {
        let page = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
        let texts = [page("SUMMARY.md", "[P](p.md)\n- [Q](q.md)\n"), page("p.md", "# P")].into();
        let mut pages = Pages { book: "/nowhere".into(), texts };
        assert_eq!(summary_errors(&pages), ["SUMMARY.md names q.md, which is not there"]);
        pages.texts.extend([page("q.md", "# Q"), page("r.md", "# R")]);
        assert_eq!(summary_errors(&pages), ["r.md is not in SUMMARY.md"]);
        pages.texts.remove(Path::new("SUMMARY.md"));
        assert_eq!(summary_errors(&pages), ["there is no SUMMARY.md"]);
    }
}
