//! The committed matrix, read back from its text.
//!
//! `Matrix::text` writes it: a line for each probe, whose id takes 36 columns and each of whose
//! cells takes 18, and at the end the sums, which are checked here. It is read strictly, because a
//! line that is skipped would be a probe that is silently missing.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

/// The widths of the id and of each cell.
const WIDTHS: (usize, usize) = (36, 18);
/// The names of the sums, in their order.
const SUMS: [&str; 4] = ["escaped", "contained", "n/a", "error"];

/// The verdict on one probe and one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// The probe escaped.
    Escaped,
    /// It was contained, for this reason.
    Contained(String),
    /// It does not apply to the stage.
    NotApplicable,
}

impl Cell {
    fn parse(text: &str) -> Result<Self> {
        match text {
            "" => bail!("a cell is empty"),
            "ERROR" => bail!("a probe could not be judged; measure the matrix again"),
            "ESCAPED" => Ok(Self::Escaped),
            "n/a" => Ok(Self::NotApplicable),
            by => Ok(Self::Contained(by.to_owned())),
        }
    }

    /// Whether it was contained.
    pub fn is_contained(&self) -> bool {
        matches!(self, Self::Contained(_))
    }

    /// Escaped, contained or not applicable, as in `SUMS`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Escaped => SUMS[0],
            Self::Contained(_) => SUMS[1],
            Self::NotApplicable => SUMS[2],
        }
    }
}

/// Every probe on every stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cells {
    /// The numbers of the stages.
    pub stages: Vec<u16>,
    /// The id of each probe, and its cell on each stage.
    pub rows: Vec<(String, Vec<Cell>)>,
}

/// The path of the committed matrix.
pub fn snapshot() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snapshots/matrix.snap")
}

impl Cells {
    /// Reads the committed matrix.
    ///
    /// # Errors
    ///
    /// When it is missing or malformed.
    pub fn load() -> Result<Self> {
        let path = snapshot();
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read the matrix, {}", path.display()))?;
        Self::parse(without_head(&text)).with_context(|| format!("{}", path.display()))
    }

    /// Reads the text of a matrix.
    ///
    /// # Errors
    ///
    /// When it is malformed; the message names the line.
    pub fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines().skip_while(|line| line.trim().is_empty());
        let head = lines.next().context("the matrix is empty")?;
        let numbers = head.split_whitespace().map(str::parse);
        let stages: Vec<u16> = numbers.collect::<Result<_, _>>().context("no numbers of stages")?;
        ensure!(!stages.is_empty(), "no stages");
        let (mut rows, mut sums) = (Vec::new(), 0);
        for line in lines.filter(|line| !line.trim().is_empty()) {
            let (id, texts) = columns(line)?;
            ensure!(texts.len() == stages.len(), "{id} has {} cells", texts.len());
            if let Some(word) = id.strip_prefix("total ") {
                check_sum(word, &texts, &rows)?;
                sums += 1;
                continue;
            }
            ensure!(sums == 0 && id.contains('/'), "{id:?} is no probe");
            ensure!(!rows.iter().any(|(known, _)| *known == id), "{id} is there twice");
            let cells = texts.iter().map(|text| Cell::parse(text)).collect::<Result<_>>();
            rows.push((id.clone(), cells.context(id)?));
        }
        ensure!(sums == SUMS.len(), "there are {sums} sums, not {}", SUMS.len());
        Ok(Self { stages, rows })
    }

    /// Each probe's cell on this stage.
    ///
    /// # Errors
    ///
    /// When the matrix has no such column.
    pub fn column(&self, stage: u16) -> Result<Vec<(&str, &Cell)>> {
        let at = self.stages.iter().position(|number| *number == stage);
        let at = at.with_context(|| {
            format!("the committed matrix has no stage {stage}; measure it with `just matrix`")
        })?;
        Ok(self.rows.iter().map(|(id, cells)| (id.as_str(), &cells[at])).collect())
    }
}

/// The text below the header of the insta snapshot.
fn without_head(text: &str) -> &str {
    let body = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"));
    body.map_or(text, |(_, body)| body)
}

fn columns(line: &str) -> Result<(String, Vec<String>)> {
    ensure!(line.is_ascii(), "{line:?} is not ASCII");
    let (id, mut rest) = line.split_at_checked(WIDTHS.0).unwrap_or((line, ""));
    let mut texts = Vec::new();
    while !rest.is_empty() {
        let (text, next) = rest.split_at_checked(WIDTHS.1).unwrap_or((rest, ""));
        texts.push(text.trim().to_owned());
        rest = next;
    }
    Ok((id.trim().to_owned(), texts))
}

fn check_sum(word: &str, texts: &[String], rows: &[(String, Vec<Cell>)]) -> Result<()> {
    ensure!(SUMS.contains(&word), "total {word:?} is no sum");
    for (at, text) in texts.iter().enumerate() {
        let counted = rows.iter().filter(|(_, cells)| cells[at].word() == word).count();
        ensure!(text.parse() == Ok(counted), "total {word} is {text}, and not {counted}");
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Two stages and these probes, in the format of the matrix.
    pub(crate) fn text(rows: &[(&str, &str, &str)]) -> String {
        let line = |a: &str, b: &str, c: &str| format!("{a:<36}{b:<18}{c}\n");
        let mut text = line("", "03", "04");
        for (id, one, other) in rows {
            text += &line(id, one, other);
        }
        let word = |cell: &str| match cell {
            "ESCAPED" => 0,
            "n/a" => 2,
            "ERROR" => 3,
            _ => 1,
        };
        for (at, sum) in SUMS.iter().enumerate() {
            let one = rows.iter().filter(|row| word(row.1) == at).count();
            let other = rows.iter().filter(|row| word(row.2) == at).count();
            text += &line(&format!("total {sum}"), &one.to_string(), &other.to_string());
        }
        text
    }

    const ROWS: [(&str, &str, &str); 3] = [
        ("host-files/read-secret", "ESCAPED", "own files"),
        ("kernel/ptrace", "no such call", "clean environment"),
        ("platform/sse", "n/a", "ESCAPED"),
    ];

    #[test]
    fn a_matrix_is_read_with_and_without_the_head_of_a_snapshot() {
        let cells = Cells::parse(&text(&ROWS)).unwrap();
        assert_eq!(cells.stages, [3, 4]);
        let column = cells.column(4).unwrap();
        assert_eq!(column[0], ("host-files/read-secret", &Cell::Contained("own files".into())));
        assert_eq!(column[2].1, &Cell::Escaped);
        assert!(cells.column(5).unwrap_err().to_string().contains("no stage 5"));
        let head = format!("---\nsource: x.rs\nexpression: text\n---\n{}", text(&ROWS));
        assert_eq!(Cells::parse(without_head(&head)).unwrap(), cells);
        // insta trims leading spaces of a snapshot.
        assert_eq!(Cells::parse(text(&ROWS).trim()).unwrap(), cells);
    }

    #[test]
    fn what_is_not_in_the_format_is_refused() {
        let good = text(&ROWS);
        for (from, to, error) in [
            ("own files", "", "cells"),
            ("own files", "ERROR", "could not be judged"),
            ("no such call      ", "                  ", "a cell is empty"),
            ("kernel/ptrace", "kernel ptrace", "is no probe"),
            ("kernel/ptrace         ", "host-files/read-secret", "is there twice"),
            ("ESCAPED", "refused", "total escaped is 1, and not 0"),
            ("total n/a", "total a/b", "is no sum"),
            ("03", "xx", "no numbers of stages"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good, "{from}");
            let message = format!("{:#}", Cells::parse(&bad).unwrap_err());
            assert!(message.contains(error), "{message}\nis not\n{error}");
        }
        let cut: Vec<&str> = good.lines().take(5).collect();
        assert!(Cells::parse(&cut.join("\n")).unwrap_err().to_string().contains("1 sums"));
        assert!(Cells::parse("").is_err());
    }
}
