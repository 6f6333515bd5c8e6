//! The report of a command, a table or JSON on standard output, and whether it passed.

use anyhow::{Context as _, Result};
use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ContentArrangement, LineStyle, Table, TableStyle,
};
use serde::Serialize;

use crate::attack::verdict::Verdict;

/// The result of a command that ran to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Status {
    /// Everything passed.
    Pass,
    /// Something failed, which the report shows.
    Fail,
}

impl Status {
    /// [`Status::Pass`] when `passed`.
    pub fn of(passed: bool) -> Self {
        if passed { Self::Pass } else { Self::Fail }
    }
}

/// One line below the header, and no other borders.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table that fits 80 columns; all columns but the first are numbers, aligned right.
pub fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(header);
    table.set_content_arrangement(ContentArrangement::Dynamic);
    if !table.is_tty() {
        table.set_width(80);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A table of words, aligned left.
pub fn words<const N: usize>(header: [&str; N]) -> Table {
    let mut table = table(header);
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Left);
    }
    table
}

/// A table of short words with a header of names.
pub fn grid(header: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(header);
    table
}

/// The text of a cell in the colour of its verdict, unless `NO_COLOR` is set.
pub fn painted(text: &str, verdict: &Verdict) -> Cell {
    let cell = Cell::new(text);
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        return cell;
    }
    match verdict {
        Verdict::Escaped => cell.fg(Color::Red).add_attribute(Attribute::Bold),
        Verdict::Contained(_) => cell.fg(Color::Green),
        Verdict::NotApplicable(_) => cell.fg(Color::DarkGrey),
        Verdict::Error(_) => cell.fg(Color::Yellow).add_attribute(Attribute::Bold),
    }
}

/// Prints `report` as JSON.
///
/// # Errors
///
/// When it cannot be serialised, which does not happen with the reports of this crate.
pub fn json(report: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(report).context("cannot write the report as JSON")?;
    println!("{text}");
    Ok(())
}
