//! The table of programs: one case for each program, with the right values.
//!
//! A key of a case that has an `each` is a template: the case stands for one case for each item of
//! that list, with the item in place of every `@@`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use toml::{Table, Value};

/// What stands for an item of `each`.
const PLACEHOLDER: &str = "@@";
/// An item up to this length is its case's name; a longer one is numbered.
const MAX_ITEM_NAME: usize = 24;

/// One program, what it is run with, and the right values.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Case {
    /// `file/name`, and the item in brackets.
    pub name: String,
    /// The program.
    pub code: String,
    /// Its standard input.
    pub stdin: Option<Input>,
    /// The same, when it is no text.
    pub stdin_base64: Option<String>,
    /// Files beside it.
    pub files: BTreeMap<String, String>,
    /// The time limit that the request asks for.
    pub timeout_seconds: Option<f64>,
    /// The memory limit that the request asks for.
    pub memory_bytes: Option<u64>,
    /// Arguments that the server is started with.
    pub server: Vec<String>,
    /// The first stage that runs it.
    pub from: u16,
    /// Output and end have to be those of `python3 main.py`.
    pub like_python: bool,
    /// What is no difference to Python: a regular expression.
    pub unlike: Option<String>,
    /// The exit code; 0 when the case names no other end.
    pub exit: Option<i32>,
    /// The name of the signal that ends it.
    pub signal: Option<String>,
    /// Names of signals of which one has to end it.
    pub signal_any: Vec<String>,
    /// The platform's outcome.
    pub outcome: Option<String>,
    /// The whole standard output.
    pub stdout: Option<String>,
    /// The whole standard error; nothing when the program ends well and the case has no other word on it.
    pub stderr: Option<String>,
    /// Parts of standard output.
    pub stdout_contains: Vec<String>,
    /// Parts of standard error.
    pub stderr_contains: Vec<String>,
    /// What must not be in standard error.
    pub stderr_lacks: Vec<String>,
    /// The length of standard output, in bytes.
    pub stdout_bytes: Option<usize>,
    /// The length of standard output, in lines.
    pub stdout_lines: Option<usize>,
}

/// A standard input.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Input {
    /// As it is.
    Text(String),
    /// Many times the same.
    Repeated {
        /// What is repeated.
        repeat: String,
        /// How often.
        times: usize,
    },
}

impl Case {
    /// The bytes of its standard input.
    ///
    /// # Errors
    ///
    /// When `stdin_base64` is not base64.
    pub fn input(&self) -> Result<Vec<u8>> {
        match (&self.stdin, &self.stdin_base64) {
            (Some(Input::Text(text)), _) => Ok(text.clone().into_bytes()),
            (Some(Input::Repeated { repeat, times }), _) => Ok(repeat.repeat(*times).into_bytes()),
            (None, Some(text)) => Ok(STANDARD.decode(text)?),
            (None, None) => Ok(Vec::new()),
        }
    }
}

/// The directory of the table.
pub fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// All cases, in the order of the files and in them.
///
/// # Errors
///
/// When a file is missing or malformed, or two cases have the same name.
pub fn all() -> Result<Vec<Case>> {
    let mut files: Vec<_> =
        std::fs::read_dir(dir())?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    files.retain(|file| file.extension().is_some_and(|ending| ending == "toml"));
    files.retain(|file| !file.ends_with(super::exceptions::FILE));
    files.sort();
    let mut cases: Vec<Case> = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file)?;
        let group = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        cases.extend(parse(&group, &text).with_context(|| file.display().to_string())?);
    }
    let mut names: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
    names.sort_unstable();
    if let Some((one, _)) = names.iter().zip(names.iter().skip(1)).find(|(one, next)| one == next) {
        bail!("two cases are called {one}");
    }
    Ok(cases)
}

fn parse(group: &str, text: &str) -> Result<Vec<Case>> {
    let mut file: Table = toml::from_str(text)?;
    let Some(Value::Array(entries)) = file.remove("case") else { bail!("there is no [[case]]") };
    if let Some(key) = file.keys().next() {
        bail!("{key} belongs to no case");
    }
    let mut cases = Vec::new();
    for entry in entries {
        let Value::Table(mut entry) = entry else { bail!("a case is a table") };
        let Some(items) = entry.remove("each") else {
            cases.push(case(group, entry)?);
            continue;
        };
        let items: Vec<String> = items.try_into().context("each is a list of strings")?;
        for (number, item) in (1..).zip(&items) {
            let mut made = filled(&entry, item);
            let plain = |c: char| c.is_ascii_alphanumeric() || "/_.-()".contains(c);
            let short = !item.is_empty() && item.len() <= MAX_ITEM_NAME && item.chars().all(plain);
            let label = if short { item.clone() } else { number.to_string() };
            let name = entry.get("name").and_then(Value::as_str).unwrap_or_default();
            made.insert("name".to_owned(), format!("{name}[{label}]").into());
            cases.push(case(group, made)?);
        }
    }
    Ok(cases)
}

fn case(group: &str, entry: Table) -> Result<Case> {
    let name = entry.get("name").and_then(Value::as_str).unwrap_or("(without a name)").to_owned();
    let case: Case = entry.try_into().with_context(|| format!("the case {name}"))?;
    Ok(Case { name: format!("{group}/{name}"), ..case })
}

/// `table` with `item` in place of every placeholder, in keys and in values.
fn filled(table: &Table, item: &str) -> Table {
    let fill = |(key, value): (&String, &Value)| {
        (key.replace(PLACEHOLDER, item), filled_value(value, item))
    };
    table.iter().map(fill).collect()
}

fn filled_value(value: &Value, item: &str) -> Value {
    match value {
        Value::String(text) if text == PLACEHOLDER => {
            let number = item.parse().map(Value::Integer);
            // Of a case whose item is a number, only the exit code is one.
            number.unwrap_or_else(|_| item.into())
        }
        Value::String(text) => text.replace(PLACEHOLDER, item).into(),
        Value::Array(values) => {
            Value::Array(values.iter().map(|value| filled_value(value, item)).collect())
        }
        Value::Table(table) => filled(table, item).into(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_stands_for_a_case_for_each_item() {
        let text =
            "[[case]]\nname = 'a'\neach = ['1', 'x = 2']\ncode = 'exit(@@)'\nstdout = '<@@>'";
        let cases = parse("g", text).unwrap();
        let seen: Vec<_> = cases.iter().map(|case| (&*case.name, &*case.code)).collect();
        assert_eq!(seen, [("g/a[1]", "exit(1)"), ("g/a[2]", "exit(x = 2)")]);
        assert_eq!(cases[1].stdout.as_deref(), Some("<x = 2>"));
        let text = "[[case]]\nname = 'a'\neach = ['7']\nexit = '@@'";
        assert_eq!(parse("g", text).unwrap()[0].exit, Some(7));
    }

    #[test]
    fn what_is_no_field_is_an_error() {
        for text in ["", "x = 1\n[[case]]\nname = 'a'", "[[case]]\nname = 'a'\nexitcode = 1"] {
            assert!(parse("g", text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_table_is_well_formed_and_large() {
        let cases = all().unwrap();
        assert!(cases.len() > 200, "{}", cases.len());
        for case in cases {
            case.input().unwrap();
            assert!(case.unlike.is_none_or(|pattern| regex::Regex::new(&pattern).is_ok()));
        }
    }
}
