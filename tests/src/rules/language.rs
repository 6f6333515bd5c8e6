//! The banned list of `STYLE.md`, applied to comments, identifiers, messages, the API and scripts.
//!
//! The list is a fenced block ```` ```banned ```` of lines `pattern | where | use instead`; a second
//! block ```` ```allowed ```` has the exceptions, `path prefix | pattern | reason`. Patterns are
//! regular expressions for one line, case-insensitive unless they say `(?-i)`.
//!
//! The chapters of the book, transcripts and snapshots are not checked: chapters keep their images,
//! and the others record what programs print.

mod lexer;

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use regex::{Regex, RegexBuilder};

use lexer::fragments;

/// Which part of a file a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A comment in Rust.
    Comments,
    /// Rust without comments and literals: identifiers and keywords.
    Code,
    /// A string literal in Rust: messages and help texts are there.
    Strings,
    /// The contract, `openapi.yaml`.
    Api,
    /// Any other file that is checked.
    Scripts,
}

impl Place {
    const ALL: [(&str, Self); 5] = [
        ("comments", Self::Comments),
        ("code", Self::Code),
        ("strings", Self::Strings),
        ("api", Self::Api),
        ("scripts", Self::Scripts),
    ];

    /// The places that the second column of a line names.
    fn parse(text: &str) -> Result<Vec<Self>> {
        if text == "all" {
            return Ok(Self::ALL.map(|(_, place)| place).to_vec());
        }
        let named = text.split(',').map(|name| {
            let known = Self::ALL.iter().find(|(known, _)| *known == name.trim());
            known.map(|(_, place)| *place).with_context(|| format!("{name:?} is not a place"))
        });
        named.collect()
    }
}

/// One line of the banned list.
#[derive(Debug)]
struct Rule {
    pattern: Regex,
    places: Vec<Place>,
    instead: String,
}

/// One line of the exceptions.
#[derive(Debug)]
struct Exception {
    prefix: String,
    pattern: Regex,
}

/// The banned list and its exceptions.
#[derive(Debug)]
pub struct BannedList {
    rules: Vec<Rule>,
    exceptions: Vec<Exception>,
}

impl BannedList {
    /// Reads the list out of the text of `STYLE.md`.
    ///
    /// # Errors
    ///
    /// When a block is missing or there twice, or a line does not have its form.
    pub fn parse(style: &str) -> Result<Self> {
        let mut rules = Vec::new();
        for [pattern, places, instead] in block(style, "banned")?.context("no banned list")? {
            let places = Place::parse(places).with_context(|| format!("in {pattern:?}"))?;
            rules.push(Rule { pattern: regex(pattern)?, places, instead: instead.to_owned() });
        }
        ensure!(!rules.is_empty(), "the banned list is empty");
        let mut exceptions = Vec::new();
        for [prefix, pattern, _] in block(style, "allowed")?.unwrap_or_default() {
            exceptions.push(Exception { prefix: prefix.to_owned(), pattern: regex(pattern)? });
        }
        Ok(Self { rules, exceptions })
    }

    /// The banned words in a file: one message for each, with its line.
    pub fn violations(&self, path: &str, text: &str) -> Vec<String> {
        let path_of = Path::new(path);
        let fragments = if path_of.extension().is_some_and(|extension| extension == "rs") {
            fragments(text)
        } else if path_of.ends_with("openapi.yaml") {
            lines(text, Place::Api)
        } else {
            lines(text, Place::Scripts)
        };
        let mut violations = Vec::new();
        for (line, place, text) in fragments {
            let text = self.without_exceptions(path, &text);
            // In code, an identifier is searched in its words as well.
            let words =
                (place == Place::Code).then(|| self.without_exceptions(path, &words(&text)));
            for rule in self.rules.iter().filter(|rule| rule.places.contains(&place)) {
                let found = rule.pattern.find(&text);
                let found = found.or_else(|| rule.pattern.find(words.as_deref()?));
                if let Some(found) = found {
                    let (found, instead) = (found.as_str(), &rule.instead);
                    violations.push(format!("{path}:{line}: {found:?}; use instead: {instead}"));
                }
            }
        }
        violations
    }

    /// The text with a blank in the place of each exception.
    fn without_exceptions(&self, path: &str, text: &str) -> String {
        let here = self.exceptions.iter().filter(|exception| path.starts_with(&exception.prefix));
        here.fold(text.to_owned(), |text, exception| {
            exception.pattern.replace_all(&text, " ").into_owned()
        })
    }
}

fn regex(pattern: &str) -> Result<Regex> {
    let built = RegexBuilder::new(pattern).case_insensitive(true).build();
    built.with_context(|| format!("{pattern:?} is not a regular expression"))
}

/// The lines of the fenced block called `name`, in three columns. None when there is no such block.
fn block<'a>(style: &'a str, name: &str) -> Result<Option<Vec<[&'a str; 3]>>> {
    let fence = format!("```{name}");
    let mut found = None;
    let mut lines = style.lines();
    while lines.by_ref().any(|line| line == fence) {
        ensure!(found.is_none(), "there are two blocks {fence}");
        let mut rows = Vec::new();
        for line in lines.by_ref().take_while(|line| *line != "```") {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            match line.split(" | ").map(str::trim).collect::<Vec<_>>()[..] {
                [first, second, third] => rows.push([first, second, third]),
                _ => bail!("{line:?} does not have three columns"),
            }
        }
        found = Some(rows);
    }
    Ok(found)
}

fn lines(text: &str, place: Place) -> Vec<(usize, Place, String)> {
    (1..).zip(text.lines()).map(|(number, line)| (number, place, line.to_owned())).collect()
}

/// Identifiers in their words: `first_error` as `first error`, `ErrorKind` as `Error Kind`.
fn words(code: &str) -> String {
    let mut words = String::with_capacity(code.len());
    let mut after_lower = false;
    for character in code.chars() {
        if character.is_uppercase() && after_lower {
            words.push(' ');
        }
        after_lower = character.is_lowercase();
        words.push(if character == '_' { ' ' } else { character });
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const STYLE: &str = "# Style\n\nNot grumpy here.\n\n```banned\n# a remark\n\
                         \\bgrumpy\\b | comments, code,strings | moody\n\n\
                         \\bwobble(s|d)?\\b | all | oscillate\n\
                         (?-i)\\bFoo\\b | code | Bar\n```\n\n\
                         ```allowed\ntests/ | wobble board | an instrument\n```\n";

    fn violations(path: &str, text: &str) -> Vec<String> {
        BannedList::parse(STYLE).unwrap().violations(path, text)
    }

    #[test]
    fn a_planted_word_is_found_with_its_line() {
        let found = violations("shared/src/a.rs", "//! Good.\n\n/// A Grumpy cat.\nfn f() {}\n");
        assert_eq!(found, ["shared/src/a.rs:3: \"Grumpy\"; use instead: moody"]);
        for bad in [
            "fn grumpy() {}",
            "fn is_grumpy_now() {}",
            "struct GrumpyCat;",
            "struct Foo;",
            "let a = \"so grumpy\";",
            "let a = r#\"a \"grumpy\" one\"#;",
            "/* fine\nand grumpy */",
            "wobble();",
        ] {
            assert_eq!(violations("a.rs", bad).len(), 1, "{bad}");
        }
        for good in ["fn grumpiness() {}", "struct FOO;", "let foo = 1;", "// Foo"] {
            assert_eq!(violations("a.rs", good), [""; 0], "{good}");
        }
    }

    #[test]
    fn a_word_is_banned_in_its_places_only() {
        assert_eq!(violations("a/openapi.yaml", "summary: It wobbles").len(), 1);
        assert_eq!(violations("a/openapi.yaml", "summary: grumpy"), [""; 0]);
        assert_eq!(violations("setup.sh", "# wobbled").len(), 1);
        assert_eq!(violations("setup.sh", "# grumpy"), [""; 0]);
    }

    #[test]
    fn an_exception_excuses_itself_and_no_more() {
        assert_eq!(violations("tests/a.rs", "// a wobble board"), [""; 0]);
        assert_eq!(violations("stages/a.rs", "// a wobble board").len(), 1);
        assert_eq!(violations("tests/a.rs", "// a wobble board wobbles").len(), 1);
    }

    #[test]
    fn an_exception_applies_to_the_words_of_an_identifier() {
        assert_eq!(violations("tests/a.rs", "enum A { WobbleBoard, wobble_board }"), [""; 0]);
        assert_eq!(violations("tests/a.rs", "enum A { WobbleBoat }").len(), 1);
    }

    #[test]
    fn a_list_without_its_form_is_an_error() {
        for (style, expected) in [
            ("# no list", "no banned list"),
            ("```banned\n```", "empty"),
            ("```banned\na | all\n```", "three columns"),
            ("```banned\na | everywhere | b\n```", "is not a place"),
            ("```banned\n( | all | b\n```", "not a regular expression"),
            ("```banned\na | all | b\n```\n```banned\nc | all | d\n```", "two blocks"),
        ] {
            let error = format!("{:#}", BannedList::parse(style).unwrap_err());
            assert!(error.contains(expected), "{style:?}: {error}");
        }
    }
}
