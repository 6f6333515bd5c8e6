//! The lecturer's deck: one HTML file, made of the sections of the chapters.
//!
//! `book/slides/*.toml` names sections, figures, listings and transcripts; no text of a chapter is copied. So a
//! chapter that changes changes its slides, and a section that is gone is an error here.

mod html;
mod pieces;
mod select;

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use crate::pages::{Pages, files_below};

/// The directory of the sessions, in that of the book.
const SESSIONS: &str = "slides";

/// One session of the course: a file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The day, from 1.
    pub day: u8,
    /// When it begins, as `HH:MM`.
    pub start: String,
    /// How long it takes.
    pub minutes: u16,
    /// Of these, how long the participants work by themselves.
    #[serde(default)]
    pub hands_on: u16,
    /// Its name.
    pub title: String,
    /// The page that its slides are from, unless they name another.
    pub page: Option<String>,
    /// Its slides.
    #[serde(default)]
    pub slide: Vec<Slide>,
}

/// One slide.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slide {
    /// Its title, unless it is that of its section.
    pub title: Option<String>,
    /// The page, unless it is that of its session.
    pub page: Option<String>,
    /// The section of the page.
    pub section: Option<String>,
    /// What is shown of the section: see `pieces.rs`.
    pub take: Vec<String>,
    /// What the lecturer does or says beside that. Markdown.
    pub say: Option<String>,
    /// Smaller text, for what is long.
    #[serde(default)]
    pub small: bool,
}

/// Reads the sessions of the book in `book`, in the order of their times.
///
/// # Errors
///
/// When a file cannot be read or is malformed, or two sessions overlap.
pub fn read(book: &Path) -> anyhow::Result<Vec<Session>> {
    let mut sessions = Vec::new();
    for file in files_below(&book.join(SESSIONS))? {
        if file.extension().is_some_and(|extension| extension == "toml") {
            let text = std::fs::read_to_string(&file)?;
            let session: Session =
                toml::from_str(&text).with_context(|| format!("in {}", file.display()))?;
            ensure!(session.begin().is_some(), "{}: start is HH:MM", file.display());
            sessions.push(session);
        }
    }
    sessions.sort_by_key(|session| (session.day, session.begin()));
    for (before, after) in sessions.iter().zip(sessions.iter().skip(1)) {
        if before.day == after.day && before.end() > after.begin() {
            bail!("{:?} is not over when {:?} begins", before.title, after.title);
        }
    }
    Ok(sessions)
}

impl Session {
    /// When it begins, in minutes of the day.
    fn begin(&self) -> Option<u16> {
        let (hour, minute) = self.start.split_once(':')?;
        Some(hour.parse::<u16>().ok()? * 60 + minute.parse::<u16>().ok()?)
    }

    fn end(&self) -> Option<u16> {
        self.begin().map(|begin| begin + self.minutes)
    }
}

/// The deck of the book in `book`, as one HTML page that needs no other file.
///
/// # Errors
///
/// When a slide names what is not there.
pub fn deck(book: &Path) -> anyhow::Result<String> {
    let pages = Pages::read(book)?;
    let sessions = read(book)?;
    let mut slides = Vec::new();
    for session in &sessions {
        for (number, slide) in session.slide.iter().enumerate() {
            let shown = pieces::slide(&pages, &sessions, session, slide)
                .with_context(|| format!("slide {} of {:?}", number + 1, session.title))?;
            slides.push(shown);
        }
    }
    ensure!(!slides.is_empty(), "there are no slides");
    html::deck(book, &slides)
}

/// Writes the deck to `file`.
///
/// # Errors
///
/// When the deck cannot be made or written.
pub fn write(book: &Path, file: &Path) -> anyhow::Result<()> {
    let deck = deck(book)?;
    if let Some(directory) = file.parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::write(file, deck).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests;
