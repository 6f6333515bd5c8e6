//! The security guide: measures as data (`book/guide/*.toml`), each with what proves it.
//!
//! [`errors`] finds a measure that is said to be done and whose proof does not exist, or is a test that
//! is not run. [`tables`] is what the pages of the book include; `crucible-book guide` writes it.

pub mod proof;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use pulldown_cmark_escape::escape_html;
use serde::Deserialize;

use crate::pages::files_below;
use proof::{Proof, Proofs};

/// The file that the pages include, in the directory of the book.
pub const TABLES: &str = "guide/tables.md";
/// Measures at least, in all categories together.
const MIN_MEASURES: usize = 130;
/// Categories: a file for each.
const CATEGORY_COUNT: usize = 10;

/// One category of measures: a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Its name.
    pub title: String,
    /// One sentence about it.
    pub about: String,
    /// Its measures, in the order of their ids.
    pub item: Vec<Measure>,
}

/// One measure.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measure {
    /// A letter for the category, and a number.
    pub id: String,
    /// What is so where it is done.
    pub measure: String,
    /// What happens without it.
    pub importance: Importance,
    /// What it takes.
    pub effort: Effort,
    /// Where it comes from.
    pub source: String,
    /// What this repository does.
    pub status: Status,
    /// What shows it.
    #[serde(default)]
    pub proof: Vec<Proof>,
    /// What is not done, and why.
    pub left: Option<String>,
}

/// What happens without a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, strum::AsRefStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "lowercase")]
pub enum Importance {
    /// A program gets out, or a result is forged.
    Critical,
    /// One layer less.
    High,
    /// An attack costs less, or is noticed later.
    Medium,
    /// Order.
    Low,
}

/// What a measure takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, strum::AsRefStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "lowercase")]
pub enum Effort {
    /// Days.
    High,
    /// Hours.
    Medium,
    /// A setting.
    Low,
}

/// What this repository does about a measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, strum::AsRefStr)]
pub enum Status {
    /// All of it, and a test shows it.
    #[serde(rename = "done")]
    #[strum(serialize = "done")]
    Done,
    /// A part; `left` says what is missing.
    #[serde(rename = "partly")]
    #[strum(serialize = "partly")]
    Partly,
    /// It is said how, and nothing can test it here.
    #[serde(rename = "documented")]
    #[strum(serialize = "documented")]
    Documented,
    /// Nothing; `left` says why.
    #[serde(rename = "not done")]
    #[strum(serialize = "not done")]
    NotDone,
}

/// Reads all categories of the book in `book`, in the order of their numbers.
///
/// # Errors
///
/// When a file cannot be read or is malformed.
pub fn read(book: &Path) -> anyhow::Result<Vec<Category>> {
    let mut files = files_below(&book.join("guide"))?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort_by_key(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.split('-').next().and_then(|number| number.parse::<u32>().ok())
    });
    let parsed = files.iter().map(|file| {
        let text = std::fs::read_to_string(file)?;
        toml::from_str(&text).with_context(|| format!("{} is malformed", file.display()))
    });
    parsed.collect()
}

/// Everything that is wrong with the guide.
///
/// # Errors
///
/// When a file of the workspace cannot be read.
pub fn errors(categories: &[Category], workspace: &Path) -> anyhow::Result<Vec<String>> {
    let mut proofs = Proofs::new(workspace);
    let mut errors = Vec::new();
    let count: usize = categories.iter().map(|category| category.item.len()).sum();
    if categories.len() != CATEGORY_COUNT || count < MIN_MEASURES {
        errors.push(format!("{count} measures in {} categories are too few", categories.len()));
    }
    let mut seen = BTreeSet::new();
    for (category, letter) in categories.iter().zip('A'..) {
        for (measure, number) in category.item.iter().zip(1..) {
            let id = &measure.id;
            if *id != format!("{letter}{number}") || !seen.insert(id.clone()) {
                errors.push(format!("{id} of {} is not {letter}{number}", category.title));
            }
            errors.extend(measure.contradiction().map(|what| format!("{id} {what}")));
            for proof in &measure.proof {
                errors.extend(proofs.error(proof)?.map(|what| format!("{id}: {what}")));
            }
        }
    }
    Ok(errors)
}

impl Measure {
    /// What its status does not allow.
    fn contradiction(&self) -> Option<&'static str> {
        let is_executed = self.proof.iter().any(Proof::is_executed);
        match (self.status, &self.left) {
            (Status::Done, Some(_)) => Some("is done, and says what is left"),
            (Status::Done, None) if self.proof.is_empty() => Some("is done without a proof"),
            (Status::Done, None) if self.importance == Importance::Critical && !is_executed => {
                Some("is critical, and no test or probe shows that it is done")
            }
            (Status::Partly | Status::NotDone, None) => Some("does not say what is left"),
            (Status::Documented, _) if self.proof.is_empty() => Some("names no document"),
            _ => None,
        }
    }
}

/// Writes the tables of the book in `book`.
///
/// # Errors
///
/// When a file cannot be read or written, or is malformed.
pub fn write(book: &Path) -> anyhow::Result<()> {
    Ok(std::fs::write(book.join(TABLES), tables(&read(book)?))?)
}

/// The tables of all categories, each between the anchors of its letter.
pub fn tables(categories: &[Category]) -> String {
    let mut text = "<!-- Written by `just guide` from book/guide/*.toml. -->\n".to_owned();
    for (category, letter) in categories.iter().zip('A'..) {
        // Writing to a String cannot fail.
        let _ = write!(text, "<!-- ANCHOR: {letter} -->\n{}\n\n{TABLE_HEAD}", category.about);
        for measure in &category.item {
            text.push_str(&row(measure));
        }
        let _ = write!(text, "</tbody></table></div>\n<!-- ANCHOR_END: {letter} -->\n");
    }
    let _ = write!(
        text,
        "<!-- ANCHOR: totals -->\n{}\n<!-- ANCHOR_END: totals -->\n",
        totals(categories)
    );
    text
}

const TABLE_HEAD: &str = "<div class=\"table-wrapper\"><table class=\"guide\"><thead><tr><th>id</th><th>measure</th><th>importance</th><th>effort</th><th>here</th><th>source</th></tr></thead><tbody>\n";

fn row(measure: &Measure) -> String {
    let Measure { id, importance, effort, status, .. } = measure;
    let (importance, effort, status) = (importance.as_ref(), effort.as_ref(), status.as_ref());
    let mut what = escaped(&measure.measure);
    if let Some(left) = &measure.left {
        let _ = write!(what, "<br><small>{}</small>", escaped(left));
    }
    let proofs: Vec<String> = measure.proof.iter().map(Proof::html).collect();
    if !proofs.is_empty() {
        let _ = write!(what, "<br><small>{}</small>", proofs.join(", "));
    }
    let source = escaped(&measure.source);
    format!(
        "<tr id=\"{id}\" data-importance=\"{importance}\" data-effort=\"{effort}\" data-status=\"{status}\"><td>{id}</td><td>{what}</td><td>{importance}</td><td>{effort}</td><td>{status}</td><td>{source}</td></tr>\n"
    )
}

/// Text that is no markup, in an element and in an attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    // Writing to a String cannot fail.
    let _ = escape_html(&mut escaped, text);
    escaped
}

fn totals(categories: &[Category]) -> String {
    let all: Vec<&Measure> = categories.iter().flat_map(|category| &category.item).collect();
    let with = |status| all.iter().filter(|measure| measure.status == status).count();
    format!(
        "{} measures: {} done, {} partly, {} documented, {} not done.",
        all.len(),
        with(Status::Done),
        with(Status::Partly),
        with(Status::Documented),
        with(Status::NotDone),
    )
}

#[cfg(test)]
mod tests;
