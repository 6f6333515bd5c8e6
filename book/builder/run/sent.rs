//! The programs that the commands of a page send to a stage, in the order of the commands.
//!
//! A command shows where a program goes, and a reader wants to read it and to run it as well. So a page that
//! sends a program without a listing of it gets one, folded, below the commands, and with that a run button.

use std::collections::BTreeSet;
use std::path::Path;

use lazy_regex::{Regex, regex};
use pulldown_cmark::{CodeBlockKind, CowStr, Event, Parser, Tag};
use serde::Deserialize;

use crate::check::includes;
use crate::transcript;

/// A program that a command sends.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sent {
    /// A file of `book/programs`, by its name without the extension.
    File(String),
    /// Text in the command, and the time that it may take.
    Inline(String, Option<u32>),
}

/// A submission as a command writes it. With anything else in it, it is about the request and not a program to
/// run.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    code: String,
    timeout_seconds: Option<u32>,
}

fn program_pattern() -> &'static Regex {
    // A program that `python3` runs is no program for a stage; `book/send.sh` and `run` have no such word.
    regex!(r"(python3 +)?book/programs/(\$?)([\w-]+)\.py|send\.sh \S+ -c '([^']+)'|'(\{[^']+\})'")
}

/// The programs that the commands of one code block send. Blocks without commands have none.
fn in_commands(text: &str) -> Vec<Sent> {
    let Ok(steps) = transcript::parse(text) else { return Vec::new() };
    let mut sent = Vec::new();
    for script in steps.iter().map(transcript::Step::script) {
        for found in program_pattern().captures_iter(&script) {
            let text = |group: usize| found.get(group).map(|text| text.as_str().to_owned());
            match (text(3), text(4), text(5)) {
                (Some(name), ..) if &found[2] == "$" => sent.extend(in_loop(&script, &name)),
                (Some(name), ..) if found.get(1).is_none() => sent.push(Sent::File(name)),
                (_, Some(code), _) => sent.push(Sent::Inline(code, None)),
                (.., Some(body)) => sent.extend(submitted(&body)),
                _ => {}
            }
        }
    }
    sent
}

/// The files of `for NAME in a b; do ... book/programs/$NAME.py`.
fn in_loop(script: &str, name: &str) -> Vec<Sent> {
    let begin = format!("for {name} in ");
    let words = script.split_once(&begin).and_then(|(_, rest)| rest.split_once(';'));
    let words = words.map_or("", |(words, _)| words);
    words.split_whitespace().map(|word| Sent::File(word.to_owned())).collect()
}

fn submitted(body: &str) -> Option<Sent> {
    let Submission { code, timeout_seconds } = serde_json::from_str(body).ok()?;
    (!code.is_empty()).then_some(Sent::Inline(code, timeout_seconds))
}

/// The code blocks with commands of a page, as the position behind each, and what they send. The directory is
/// that of the page.
///
/// # Errors
///
/// When a file that is included is not there.
pub(super) fn by_block(text: &str, directory: &Path) -> anyhow::Result<Vec<(usize, Vec<Sent>)>> {
    let mut blocks = Vec::new();
    for (event, range) in Parser::new(text).into_offset_iter() {
        let Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) = event else { continue };
        if !has_commands(&language) {
            continue;
        }
        let lines = text[range.clone()].split_inclusive('\n');
        let content: String = lines.filter(|line| !line.starts_with("```")).collect();
        let sent = in_commands(&includes::expand(&content, directory)?);
        if !sent.is_empty() {
            blocks.push((range.end, sent));
        }
    }
    Ok(blocks)
}

fn has_commands(language: &CowStr<'_>) -> bool {
    ["console", "shell"].contains(&language.as_ref())
}

/// The same without what is in `shown` or was there before.
pub(super) fn first_of_each(
    blocks: Vec<(usize, Vec<Sent>)>,
    shown: &BTreeSet<String>,
) -> Vec<(usize, Vec<Sent>)> {
    let mut seen = BTreeSet::new();
    let mut is_new = |sent: &Sent| {
        let is_shown = matches!(sent, Sent::File(name) if shown.contains(name));
        !is_shown && seen.insert(sent.clone())
    };
    let only_new = |(end, sent): (usize, Vec<Sent>)| {
        (end, sent.into_iter().filter(&mut is_new).collect::<Vec<_>>())
    };
    blocks.into_iter().map(only_new).filter(|(_, sent)| !sent.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Sent {
        Sent::File(name.to_owned())
    }

    fn inline(code: &str, seconds: Option<u32>) -> Sent {
        Sent::Inline(code.to_owned(), seconds)
    }

    #[test]
    fn the_programs_of_commands_are_found() {
        for (command, expected) in [
            ("$ cargo run -q -p stage-05-gvisor -- run book/programs/a.py", vec![file("a")]),
            (
                "$ for it in a b-c; do\n>   book/send.sh $url book/programs/$it.py\n> done",
                vec![file("a"), file("b-c")],
            ),
            ("$ book/send.sh $url -c 'print(\"x\")' | cat", vec![inline("print(\"x\")", None)]),
            (
                "$ post '{\"code\": \"a\\nb\", \"timeout_seconds\": 2}'",
                vec![inline("a\nb", Some(2))],
            ),
            // None of a stage: a client, an error on purpose, and what a command prints.
            ("$ python3 book/programs/receiver.py &", vec![]),
            (
                "$ post '{\"code\": \"a\", \"timeout_seconds\": \"x\"}' '{\"code\": \"\"}' '{\"codes\": 1}'",
                vec![],
            ),
            ("$ cat list\nbook/programs/a.py", vec![]),
            ("no command: book/programs/a.py", vec![]),
        ] {
            assert_eq!(in_commands(command), expected, "{command}");
        }
    }

    #[test]
    fn each_program_comes_after_the_first_block_that_sends_it() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("t.console"), "$ book/send.sh u book/programs/a.py\n")
            .unwrap();
        let run = "```console\n$ x run book/programs/b.py\n```\n";
        let text = format!(
            "# T\n\n{run}\nA\n\n```shell\n{{{{#include t.console}}}}\n```\n\n{run}\n```text\n$ x run book/programs/c.py\n```\n"
        );
        let blocks = by_block(&text, directory.path()).unwrap();
        assert_eq!(blocks.len(), 3);
        assert!(text[blocks[0].0..].trim_start().starts_with("A\n"), "{blocks:?}");
        let names = |shown: &[&str]| -> Vec<Vec<Sent>> {
            let shown = shown.iter().map(|name| (*name).to_owned()).collect();
            first_of_each(blocks.clone(), &shown).into_iter().map(|(_, sent)| sent).collect()
        };
        assert_eq!(names(&[]), [[file("b")], [file("a")]]);
        assert_eq!(names(&["b"]), [[file("a")]]);
        assert!(by_block("```shell\n{{#include gone}}\n```\n", directory.path()).is_err());
    }
}
