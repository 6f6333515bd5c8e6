//! One slide: its title, what it shows, and the notes of the lecturer.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pulldown_cmark::{Event, Parser};

use super::select::{Piece, Section, escaped, markdown};
use super::{Session, Slide};
use crate::blocks::blocks;
use crate::check::chapters::sections_of;
use crate::pages::{Pages, files_below};

/// A slide as markup.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) session: String,
    pub(super) title: String,
    pub(super) body: String,
    pub(super) notes: String,
    pub(super) small: bool,
}

/// Makes a slide of what it names.
pub(super) fn slide(
    pages: &Pages,
    sessions: &[Session],
    session: &Session,
    slide: &Slide,
) -> Result<Shown> {
    let source = pages.source();
    let page = slide.page.as_ref().or(session.page.as_ref());
    let section = match (page, &slide.section) {
        (Some(page), Some(title)) => Some(section(pages, page, title)?),
        _ => None,
    };
    let in_section =
        Section { blocks: section.map(blocks).unwrap_or_default(), directory: &source };
    let mut shown = Piece::default();
    for name in &slide.take {
        let piece = match name.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["plan", day] => only(plan(sessions, day.parse()?)),
            ["exercises", stage] => only(exercises(&pages.book, stage)?),
            ["image", name] => only(image(&source, name)?),
            _ => in_section.take(name)?,
        };
        shown.html += &piece.html;
        shown.notes += &piece.notes;
        shown.commands.extend(piece.commands);
    }
    shown.commands.extend(section.map(commands_in).unwrap_or_default());
    let title = slide.title.as_ref().or(slide.section.as_ref()).unwrap_or(&session.title);
    Ok(Shown {
        session: session.title.clone(),
        title: title.clone(),
        body: shown.html.clone(),
        notes: notes(session, slide, page, &shown),
        small: slide.small,
    })
}

fn only(html: String) -> Piece {
    Piece { html, ..Piece::default() }
}

fn section<'a>(pages: &'a Pages, page: &str, title: &str) -> Result<&'a str> {
    let text = pages.texts.get(Path::new(page)).with_context(|| format!("there is no {page}"))?;
    let sections = sections_of(text);
    let found = sections.into_iter().find(|(name, _)| name == title);
    Ok(found.with_context(|| format!("{page} has no section {title:?}"))?.1)
}

/// What the lecturer reads: the time, own words, answers, commands.
fn notes(session: &Session, slide: &Slide, page: Option<&String>, shown: &Piece) -> String {
    let Session { day, start, minutes, hands_on, .. } = session;
    let mut notes = format!("<p class=\"when\">Day {day}, {start}, {minutes} minutes");
    // Writing to a String cannot fail.
    if *hands_on > 0 {
        let _ = write!(notes, ", of which {hands_on} are for the participants");
    }
    if let (Some(page), Some(section)) = (page, &slide.section) {
        let _ = write!(notes, ". {}, <i>{}</i>", escaped(page), escaped(section));
    }
    notes += "</p>";
    notes += &slide.say.as_ref().map(|say| markdown(say)).unwrap_or_default();
    notes += &shown.notes;
    let mut commands: Vec<&String> = Vec::new();
    for command in &shown.commands {
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    if !commands.is_empty() {
        let lines: Vec<String> = commands.iter().map(|command| escaped(command)).collect();
        let _ = write!(notes, "<pre>{}</pre>", lines.join("\n"));
    }
    notes
}

/// The commands that the text of a section names.
fn commands_in(section: &str) -> Vec<String> {
    let is_command =
        |code: &str| ["cargo ", "just ", "bash "].iter().any(|word| code.starts_with(word));
    let codes = Parser::new(section).filter_map(|event| match event {
        Event::Code(code) if is_command(&code) => Some(code.into_string()),
        _ => None,
    });
    codes.collect()
}

/// The sessions of a day as a table. What is between two of them is a break.
fn plan(sessions: &[Session], day: u8) -> String {
    let mut html =
        "<table><thead><tr><th>from</th><th>to</th><th></th><th>minutes</th><th>by the participants</th></tr></thead><tbody>"
            .to_owned();
    let mut row = |begin: u16, end: u16, title: &str, hands_on: u16| {
        let clock = |at: u16| format!("{:02}:{:02}", at / 60, at % 60);
        let own = if hands_on > 0 { hands_on.to_string() } else { String::new() };
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{own}</td></tr>",
            clock(begin),
            clock(end),
            escaped(title),
            end - begin
        );
    };
    let mut last = None;
    for session in sessions.iter().filter(|session| session.day == day) {
        let (Some(begin), Some(end)) = (session.begin(), session.end()) else { continue };
        if let Some(last) = last.filter(|last| *last < begin) {
            row(last, begin, if begin - last > 30 { "lunch" } else { "break" }, 0);
        }
        row(begin, end, &session.title, session.hands_on);
        last = Some(end);
    }
    html + "</tbody></table>"
}

/// What the title of an exercise is read from.
#[derive(serde::Deserialize)]
struct Exercise {
    title: String,
    kind: String,
    minutes: u32,
}

/// The exercises of a stage, such as `04`.
fn exercises(book: &Path, stage: &str) -> Result<String> {
    let mut html =
        "<table><thead><tr><th>command</th><th></th><th></th><th>minutes</th></tr></thead><tbody>"
            .to_owned();
    for file in files_below(&book.join("exercises"))? {
        let id = file.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        if !id.starts_with(&format!("{stage}-")) || !file.ends_with("exercise.toml") {
            continue;
        }
        let Exercise { title, kind, minutes } = toml::from_str(&std::fs::read_to_string(&file)?)?;
        let id: String = id.chars().take(4).collect();
        let _ = write!(
            html,
            "<tr><td><code>just exercise {id}</code></td><td>{}</td><td>{kind}</td><td>{minutes}</td></tr>",
            escaped(&title)
        );
    }
    anyhow::ensure!(html.contains("<td>"), "stage {stage} has no exercises");
    Ok(html + "</tbody></table>")
}

/// A picture of `src/img`, in the page itself.
fn image(source: &Path, name: &str) -> Result<String> {
    let file = source.join(format!("img/{name}.png"));
    let bytes = std::fs::read(&file).with_context(|| format!("there is no {}", file.display()))?;
    let data = STANDARD.encode(bytes);
    Ok(format!("<img alt=\"{}\" src=\"data:image/png;base64,{data}\">", escaped(name)))
}
