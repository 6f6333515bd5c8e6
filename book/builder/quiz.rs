//! Quizzes: "predict, then run", as data (`book/quizzes/NN.toml`), two or more for each stage.
//!
//! A chapter has the mark `<!-- quiz NN -->`, which [`expand`] replaces by Markdown: the question, the
//! choices, and the reasons in a folded answer, so that a page without JavaScript has all of it. The
//! script `theme/quiz.js` makes a form of that. Nothing is stored, and nothing is sent.
//!
//! What a quiz says a program does is shown by a transcript, which a test executes. [`errors`] finds a
//! quiz that has no reason, not one right answer, or a transcript that does not show what it says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use pulldown_cmark_escape::escape_html;
use serde::Deserialize;

use crate::pages::{Pages, files_below, is_continued};
use crate::transcript;

/// Quizzes of a stage at least.
const MIN_QUIZZES: usize = 2;
/// Between the accepted texts in the page.
const ALTERNATIVE: &str = "|";
/// Bytes of a text that may be a part of a line.
const MIN_PART_BYTES: usize = 5;

/// The quizzes of one stage: a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quizzes {
    /// In the order in which they are asked.
    #[serde(default)]
    pub quiz: Vec<Quiz>,
}

/// One question. It has choices, or takes a short text.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quiz {
    /// The question, in Markdown.
    pub question: String,
    /// A program of `book/programs` that the question is about, shown below it.
    pub program: Option<String>,
    /// The transcript that shows the answer, without `.console`.
    pub transcript: String,
    /// A part of what the transcript's commands print.
    pub shows: String,
    /// The answers to choose from.
    #[serde(default)]
    pub choice: Vec<Choice>,
    /// The answer to type.
    pub text: Option<Text>,
}

/// One answer to choose.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// The answer, in Markdown.
    pub answer: String,
    /// Whether it is the right one.
    #[serde(default)]
    pub right: bool,
    /// Why it is right or wrong.
    pub reason: String,
}

/// A short answer that is typed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// What is accepted, in small letters. The first is shown.
    pub accept: Vec<String>,
    /// Why it is right.
    pub right: String,
    /// What another answer has overlooked.
    pub wrong: String,
}

/// Reads all quizzes of the book in `book`, by the two digits of their stage.
///
/// # Errors
///
/// When a file cannot be read or is malformed.
pub fn read(book: &Path) -> anyhow::Result<BTreeMap<String, Quizzes>> {
    let mut all = BTreeMap::new();
    let directory = book.join("quizzes");
    let files = if directory.is_dir() { files_below(&directory)? } else { Vec::new() };
    for file in files {
        let stage = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let quizzes =
            toml::from_str(&text).with_context(|| format!("{} is malformed", file.display()))?;
        all.insert(stage, quizzes);
    }
    Ok(all)
}

/// The mark of a page that is replaced by the quizzes of a stage.
fn mark(stage: &str) -> String {
    format!("<!-- quiz {stage} -->")
}

/// Everything that is wrong with the quizzes, and with the marks in the pages.
pub fn errors(pages: &Pages, quizzes: &BTreeMap<String, Quizzes>) -> Vec<String> {
    let mut errors = Vec::new();
    let mut known = BTreeSet::new();
    for (page, text) in pages.chapters().filter(|(page, _)| !is_continued(page)) {
        let stage: String = page.to_string_lossy().chars().take(2).collect();
        if text.matches("<!-- quiz ").count() != 1 || !text.contains(&mark(&stage)) {
            errors.push(format!("{}: put {} into it, once", page.display(), mark(&stage)));
        }
        let count = quizzes.get(&stage).map_or(0, |quizzes| quizzes.quiz.len());
        if count < MIN_QUIZZES {
            errors
                .push(format!("quizzes/{stage}.toml: {count} quizzes, of at least {MIN_QUIZZES}"));
        }
        known.insert(stage);
    }
    for (stage, quizzes) in quizzes {
        if !known.contains(stage) {
            errors.push(format!("quizzes/{stage}.toml: there is no chapter of this number"));
        }
        for (quiz, number) in quizzes.quiz.iter().zip(1..) {
            let found = quiz.errors(&pages.book);
            errors.extend(
                found.into_iter().map(|e| format!("quizzes/{stage}.toml, quiz {number}: {e}")),
            );
        }
    }
    errors
}

impl Text {
    /// The answer that is shown.
    fn shown(&self) -> &str {
        self.accept.first().map_or("", String::as_str)
    }
}

impl Quiz {
    fn errors(&self, book: &Path) -> Vec<String> {
        let mut errors = Vec::new();
        let mut check = |is_bad: bool, error: &str| {
            if is_bad {
                errors.push(error.to_owned());
            }
        };
        check(is_empty(&self.question), "it has no question");
        match (&self.text, self.choice.len()) {
            (None, 0) => check(true, "it takes no answer: add choices or a text"),
            (Some(_), 1..) => check(true, "it has choices and a text: take one of them"),
            (None, count) => {
                let right = self.choice.iter().filter(|choice| choice.right).count();
                let answers: BTreeSet<_> =
                    self.choice.iter().map(|one| one.answer.trim()).collect();
                check(count < 2, "one choice is no choice");
                check(right != 1, &format!("{right} answers are right, and one has to be"));
                check(
                    answers.len() < count || answers.contains(""),
                    "two answers are alike, or one is empty",
                );
                let has_none = self.choice.iter().any(|choice| is_empty(&choice.reason));
                check(has_none, "a choice has no reason");
            }
            (Some(text), 0) => {
                let is_normal = |text: &String| {
                    !text.is_empty() && *text == normal(text) && !text.contains(ALTERNATIVE)
                };
                let is_bad = text.accept.is_empty() || !text.accept.iter().all(is_normal);
                check(is_bad, "accept needs answers in small letters, without spaces around them");
                check(
                    is_empty(&text.right) || is_empty(&text.wrong),
                    "right or wrong has no reason",
                );
            }
        }
        errors.extend(self.proof_error(book));
        errors
    }

    /// Why the transcript does not show the answer.
    fn proof_error(&self, book: &Path) -> Option<String> {
        let file = format!("transcripts/{}.console", self.transcript);
        let Ok(steps) = std::fs::read_to_string(book.join(&file))
            .map_err(anyhow::Error::from)
            .and_then(|text| transcript::parse(&text))
        else {
            return Some(format!("there is no {file}"));
        };
        if is_empty(&self.shows) || !steps.iter().any(|step| self.is_shown_by(&step.output)) {
            return Some(format!("no command of {file} prints {:?}", self.shows));
        }
        let program = self.program.as_ref()?;
        let stem = program.trim_end_matches(".py");
        if !book.join("programs").join(program).exists() {
            return Some(format!("there is no programs/{program}"));
        }
        let words = |step: &transcript::Step| {
            step.script().split([' ', ';', '/', '.']).any(|word| word == stem)
        };
        (!steps.iter().any(words)).then(|| format!("no command of {file} runs {program}"))
    }

    /// A short text has to be a whole line: a `0` stands in every address.
    fn is_shown_by(&self, output: &str) -> bool {
        let is_long = self.shows.len() >= MIN_PART_BYTES;
        output.lines().any(|line| line == self.shows || (is_long && line.contains(&self.shows)))
    }

    /// The answers, and the reasons in the same order. Of a text these are the right one, and all others.
    fn reasons(&self) -> Vec<(bool, &str)> {
        match &self.text {
            Some(text) => vec![(true, text.right.as_str()), (false, text.wrong.as_str())],
            None => {
                self.choice.iter().map(|choice| (choice.right, choice.reason.as_str())).collect()
            }
        }
    }

    /// The quiz as Markdown, whose includes are relative to the pages.
    fn markdown(&self, stage: &str, number: usize) -> String {
        let mut text =
            format!("<div class=\"quiz\" id=\"quiz-{stage}-{number}\"{}>\n\n", self.data());
        // Writing to a String cannot fail.
        let _ = write!(text, "**Quiz {number}.** {}\n\n", one_line(&self.question));
        if let Some(program) = &self.program {
            let _ = write!(
                text,
                "<p class=\"file\">book/programs/{program}</p>\n\n```python\n{{{{#include ../programs/{program}}}}}\n```\n\n"
            );
        }
        for (choice, place) in self.choice.iter().zip(1..) {
            let _ = writeln!(text, "{place}. {}", one_line(&choice.answer));
        }
        text.push_str("\n<details class=\"quiz-answer\"><summary>Answer</summary>\n\n");
        for ((is_right, reason), place) in self.reasons().into_iter().zip(1..) {
            let verdict = match (&self.text, is_right) {
                (Some(text), true) => format!("**Right**: `{}`.", text.shown()),
                (None, true) => "**Right.**".to_owned(),
                (_, false) => "**Wrong.**".to_owned(),
            };
            let _ = writeln!(text, "{place}. {verdict} {}", one_line(reason));
        }
        let _ = write!(
            text,
            "\nThe run:\n\n```shell\n{{{{#include ../transcripts/{}.console}}}}\n```\n\n</details>\n</div>\n\n",
            self.transcript
        );
        text
    }

    /// What the script needs to know.
    fn data(&self) -> String {
        let right = self.reasons().iter().position(|(is_right, _)| *is_right).unwrap_or_default();
        let mut data = format!(" data-right=\"{}\"", right + 1);
        if let Some(text) = &self.text {
            data.push_str(" data-accept=\"");
            // Writing to a String cannot fail.
            let _ = escape_html(&mut data, &text.accept.join(ALTERNATIVE));
            data.push('"');
        }
        data
    }
}

/// The text of a page with the quizzes in place of their mark.
pub fn expand(text: &str, quizzes: &BTreeMap<String, Quizzes>) -> String {
    quizzes.iter().fold(text.to_owned(), |text, (stage, quizzes)| {
        if !text.contains(&mark(stage)) {
            return text;
        }
        let rendered: String = quizzes
            .quiz
            .iter()
            .zip(1..)
            .map(|(quiz, number)| quiz.markdown(stage, number))
            .collect();
        text.replace(&mark(stage), rendered.trim_end())
    })
}

/// As the script compares what is typed.
fn normal(text: &str) -> String {
    one_line(&text.to_lowercase())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn is_empty(text: &str) -> bool {
    text.trim().is_empty()
}

#[cfg(test)]
mod tests;
