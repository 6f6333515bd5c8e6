//! What a command has to say in the end: a table for a person or JSON for a program, both on
//! standard output, and whether all is as promised.

use anyhow::{Context as _, Result};
use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use serde::Serialize;

/// How a command ended that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Ending {
    /// Everything is as promised.
    Kept,
    /// Something is not; the report says what.
    Broken,
}

impl Ending {
    /// [`Ending::Kept`] when `promises` were.
    pub fn of(promises: bool) -> Self {
        if promises { Self::Kept } else { Self::Broken }
    }
}

/// One line, below the header: most of what a terminal shows should be the numbers.
const STYLE: TableStyle =
    TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table that fits 80 columns; all columns but the first are numbers and stand to the right.
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

/// Prints `report` as JSON.
///
/// # Errors
///
/// When it cannot be written as JSON, which no report of this crate is meant to be.
pub fn json(report: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(report).context("cannot write the report as JSON")?;
    println!("{text}");
    Ok(())
}
