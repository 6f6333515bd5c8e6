//! The pages for readers who work with an agent, and the checkpoints, have their parts.

use std::path::Path;

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use super::chapters::sections_of;
use crate::times;

/// The sections of a page on a stage with an agent.
pub const AGENT_SECTIONS: [&str; 4] =
    ["Let it do", "Explain back", "One task, four hints", "What agents get wrong here"];
/// The sections of a checkpoint.
pub const CHECKPOINT_SECTIONS: [&str; 4] =
    ["What you can do now", "Questions", "One task", "Minutes"];
/// Hints of a task.
const HINT_COUNT: usize = 4;
/// Questions of a checkpoint.
const QUESTIONS: std::ops::RangeInclusive<usize> = 5..=8;

/// Errors in one page, if it is one of these.
pub fn errors(page: &Path, text: &str) -> Vec<String> {
    let name = page.file_stem().unwrap_or_default().to_string_lossy();
    let errors = if name.starts_with("agents-") {
        agent_errors(text)
    } else if name.starts_with("checkpoint-") {
        checkpoint_errors(text)
    } else {
        Vec::new()
    };
    errors.into_iter().map(|error| format!("{}: {error}", page.display())).collect()
}

fn agent_errors(text: &str) -> Vec<String> {
    let mut errors = wrong_sections(text, &AGENT_SECTIONS);
    for (title, content) in sections_of(text) {
        if title == AGENT_SECTIONS[2] {
            let steps = (1..=HINT_COUNT).map(|n| format!("<details><summary>Hint {n}: "));
            let missing = steps.filter(|step| content.matches(step.as_str()).count() != 1);
            errors.extend(missing.map(|step| format!("{title:?} has not one {step:?}")));
        }
        if title == AGENT_SECTIONS[3] && !names_command(content) {
            errors.push(format!("{title:?} names no command that shows it"));
        }
    }
    errors
}

fn checkpoint_errors(text: &str) -> Vec<String> {
    let mut errors = wrong_sections(text, &CHECKPOINT_SECTIONS);
    for (title, content) in sections_of(text) {
        if title == CHECKPOINT_SECTIONS[1] {
            let links = questions(content);
            if !QUESTIONS.contains(&links.len()) {
                errors.push(format!("it has {} questions", links.len()));
            }
            let without = (1..).zip(&links).filter(|(_, has_link)| !**has_link);
            errors.extend(without.map(|(n, _)| format!("question {n} names no section")));
        }
        if title == CHECKPOINT_SECTIONS[2] && !names_command(content) {
            errors.push(format!("{title:?} names no command that proves it"));
        }
        if title == CHECKPOINT_SECTIONS[3] && !content.contains(times::STATED) {
            errors.push(format!("{title:?} does not say {:?} and a number", times::STATED));
        }
    }
    errors
}

fn wrong_sections(text: &str, expected: &[&str]) -> Vec<String> {
    let titles: Vec<String> = sections_of(text).into_iter().map(|(title, _)| title).collect();
    if titles == expected {
        return Vec::new();
    }
    vec![format!("its sections are {}, not {}", titles.join(" · "), expected.join(" · "))]
}

fn names_command(text: &str) -> bool {
    Parser::new(text).any(|event| match event {
        Event::Code(code) => code.starts_with("cargo ") || code.starts_with("just "),
        _ => false,
    })
}

/// For each item of a list, whether it links to a section of a page.
fn questions(text: &str) -> Vec<bool> {
    let mut found = Vec::new();
    for event in Parser::new(text) {
        match event {
            Event::Start(Tag::Item) => found.push(false),
            Event::Start(Tag::Link { dest_url, .. }) if dest_url.contains(".md#") => {
                if let Some(last) = found.last_mut() {
                    *last = true;
                }
            }
            Event::End(TagEnd::List(_)) => break,
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent_page() -> String {
        let hints =
            [1, 2, 3, 4].map(|n| format!("<details><summary>Hint {n}: x</summary>\n\nX.\n"));
        let sections = AGENT_SECTIONS.map(|title| {
            format!(
                "## {title}\n\n{}\n`cargo x`\n\n",
                if title == AGENT_SECTIONS[2] { hints.concat() } else { String::new() }
            )
        });
        format!("# A\n\n{}", sections.concat())
    }

    fn checkpoint() -> String {
        let content = "1. [A](a.md#b)\n2. [A](a.md#b)\n3. [A](a.md#b)\n4. [A](a.md#b)\n5. [A](a.md#b)\n\n`just x` Reading takes 3 minutes.";
        let sections = CHECKPOINT_SECTIONS.map(|title| format!("## {title}\n\n{content}\n\n"));
        format!("# A\n\n{}", sections.concat())
    }

    #[test]
    fn a_page_with_all_parts_has_no_error() {
        assert_eq!(errors(Path::new("agents-01.md"), &agent_page()), [""; 0]);
        assert_eq!(errors(Path::new("checkpoint-03.md"), &checkpoint()), [""; 0]);
        assert_eq!(errors(Path::new("preface.md"), ""), [""; 0]);
    }

    #[test]
    fn each_missing_part_is_an_error() {
        for (part, by, error) in [
            ("## Explain back", "### Explain back", "its sections are"),
            ("Hint 3: ", "Hint 2: ", "has not one"),
        ] {
            let found = errors(Path::new("agents-01.md"), &agent_page().replace(part, by));
            assert!(found.iter().any(|found| found.contains(error)), "{found:?}");
        }
        let without = agent_page().replace("`cargo x`", "");
        assert!(errors(Path::new("agents-01.md"), &without)[0].contains("names no command"));
        for (part, by, error) in [
            ("5. [A](a.md#b)\n", "", "4 questions"),
            ("2. [A](a.md#b)", "2. [A](a.md)", "question 2 names no section"),
            ("`just x`", "x", "no command that proves it"),
            ("Reading takes", "It takes", "does not say"),
        ] {
            let found = errors(Path::new("checkpoint-03.md"), &checkpoint().replace(part, by));
            assert!(found.iter().any(|found| found.contains(error)), "{error}: {found:?}");
        }
    }
}
