//! The committed matrix as Markdown for the chapter of a stage: changed cells, what still escapes,
//! sums.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};

use super::cells::{Cell, Cells};
use super::markdown::{self, plain};
use crate::attack::expectations::Expectations;
use crate::attack::probe::{Group, Header};

/// The matrix, and the headers of its probes.
#[derive(Debug)]
pub struct Facts {
    pub(super) cells: Cells,
    headers: BTreeMap<String, Header>,
    expectations: Expectations,
}

impl Facts {
    /// Combines them.
    ///
    /// # Errors
    ///
    /// When the matrix and the list of probes do not match.
    pub fn new(cells: Cells, headers: Vec<Header>, expectations: Expectations) -> Result<Self> {
        let headers: BTreeMap<_, _> =
            headers.into_iter().map(|header| (header.id.clone(), header)).collect();
        let rows = cells.rows.iter().map(|(id, _)| id.as_str());
        let unknown: Vec<_> = rows.clone().filter(|id| !headers.contains_key(*id)).collect();
        let missing: Vec<_> =
            headers.keys().filter(|id| !rows.clone().any(|row| row == id.as_str())).collect();
        ensure!(
            unknown.is_empty() && missing.is_empty(),
            "the committed matrix is not of these probes (no probe: {unknown:?}; no row: \
             {missing:?}); measure it with `just matrix`"
        );
        Ok(Self { cells, headers, expectations })
    }

    pub(super) fn header(&self, id: &str) -> Result<&Header> {
        self.headers.get(id).with_context(|| format!("{id} is no probe"))
    }

    fn title(&self, id: &str) -> Result<String> {
        Ok(plain(&self.header(id)?.title))
    }

    /// The Markdown of the cells that changed between stage `one` and stage `other`.
    ///
    /// # Errors
    ///
    /// When the matrix has no such stages.
    pub fn changed_cells(&self, one: u16, other: u16) -> Result<String> {
        let pairs = self.cells.column(one)?.into_iter().zip(self.cells.column(other)?);
        let all: Vec<_> = pairs.map(|((id, was), (_, is))| (id, was, is)).collect();
        let only = |wanted: fn(&Cell, &Cell) -> bool| -> Vec<_> {
            all.iter().copied().filter(|(_, was, is)| wanted(was, is)).collect()
        };
        let closed = only(|was, is| *was == Cell::Escaped && *is != Cell::Escaped);
        let opened = only(|was, is| was.is_contained() && *is == Cell::Escaped);
        let new = only(|was, is| *was == Cell::NotApplicable && *is == Cell::Escaped);
        let others = only(|was, is| was != is && was.is_contained() && is.is_contained());
        let mut text = markdown::opening() + &closed_sentence(closed.len(), all.len(), one, other);
        text += &self.by_reason(&closed, other)?;
        for (rows, what) in [
            (&opened, "Contained before, and escaping now"),
            (&new, "Not applicable to the stage before, and escaping now"),
        ] {
            if !rows.is_empty() {
                writeln!(text, "\n{what} ({}):", rows.len())?;
                text += &self.table(rows, [one, other])?;
            }
        }
        if !others.is_empty() {
            let summary = format!("{} are contained by something else than before", others.len());
            text += &markdown::folded(&summary, &self.table(&others, [one, other])?);
        }
        Ok(text)
    }

    /// Probes by the reason of their containment on `stage`, within their groups.
    fn by_reason(&self, rows: &[(&str, &Cell, &Cell)], stage: u16) -> Result<String> {
        let mut text = String::new();
        if rows.is_empty() {
            return Ok(text);
        }
        writeln!(text, "\n| | what contains it in stage {stage:02} | what it is |\n|---|---|---|")?;
        for (group, rows) in self.grouped(rows, |row| row.0)? {
            let mut by_reason: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (id, _, is) in rows {
                by_reason.entry(shown(is)).or_default().push(self.title(id)?);
            }
            let mut name = format!("**{group}**");
            for (reason, titles) in by_reason {
                writeln!(text, "| {name} | {reason} | {} |", titles.join(" · "))?;
                name.clear();
            }
        }
        Ok(text)
    }

    fn table(&self, rows: &[(&str, &Cell, &Cell)], stages: [u16; 2]) -> Result<String> {
        let mut text = String::new();
        if rows.is_empty() {
            return Ok(text);
        }
        let [one, other] = stages;
        writeln!(text, "\n| | probe | stage {one:02} | stage {other:02} |\n|---|---|---|---|")?;
        for (group, rows) in self.grouped(rows, |row| row.0)? {
            let mut name = format!("**{group}**");
            for (id, was, is) in rows {
                let (was, is) = (shown(was), shown(is));
                writeln!(text, "| {name} | {} | {was} | {is} |", self.title(id)?)?;
                name.clear();
            }
        }
        Ok(text)
    }

    /// These rows by their group, in the order of the book.
    fn grouped<T: Copy>(
        &self,
        rows: &[T],
        id: impl Fn(&T) -> &str,
    ) -> Result<Vec<(Group, Vec<T>)>> {
        let mut groups: BTreeMap<Group, Vec<T>> = BTreeMap::new();
        for row in rows {
            groups.entry(self.header(id(row))?.group()).or_default().push(*row);
        }
        Ok(groups.into_iter().collect())
    }

    /// The Markdown of what escapes from `stage`, with the reason where there is one.
    ///
    /// # Errors
    ///
    /// When the matrix has no such stage.
    pub fn escaped(&self, stage: u16) -> Result<String> {
        let column = self.cells.column(stage)?;
        let total = column.len();
        let escaped: Vec<&str> = column
            .into_iter()
            .filter(|(_, cell)| **cell == Cell::Escaped)
            .map(|(id, _)| id)
            .collect();
        let mut text = markdown::opening();
        if escaped.is_empty() {
            writeln!(text, "None of the {total} probes escapes from stage {stage:02}.")?;
            return Ok(text);
        }
        let count = escaped.len();
        writeln!(text, "Of {total} probes, {count} escape from stage {stage:02}.")?;
        let (known, open): (Vec<_>, Vec<_>) =
            escaped.into_iter().partition(|id| self.reason(id, stage).is_some());
        if !open.is_empty() {
            writeln!(
                text,
                "\n| | what escapes, and no control of this stage is against it |\n|---|---|"
            )?;
            for (group, ids) in self.grouped(&open, |id| id)? {
                let titles: Vec<String> =
                    ids.iter().map(|id| self.title(id)).collect::<Result<_>>()?;
                writeln!(text, "| **{group}** | {} |", titles.join(" · "))?;
            }
        }
        if !known.is_empty() {
            writeln!(text, "\n| | what escapes | why it is left so |\n|---|---|---|")?;
            for (group, ids) in self.grouped(&known, |id| id)? {
                let mut name = format!("**{group}**");
                for id in ids {
                    let reason = self.reason(id, stage).unwrap_or_default();
                    writeln!(
                        text,
                        "| {name} | {} | {} |",
                        self.title(id)?,
                        reason.replace('|', "\\|")
                    )?;
                    name.clear();
                }
            }
        }
        Ok(text)
    }

    pub(super) fn reason(&self, id: &str, stage: u16) -> Option<&str> {
        let mut known_gaps = self.expectations.known_gaps.iter();
        let found = known_gaps.find(|gap| gap.probe == id && gap.on(stage));
        found.map(|known_gap| known_gap.reason.trim())
    }

    /// Why a probe escapes on no stage, and the test that shows that it can.
    pub(super) fn control(&self, id: &str) -> Option<&str> {
        let found = self.expectations.controls.iter().find(|control| control.probe == id);
        found.map(|control| control.reason.trim())
    }

    /// The Markdown of how many probes of each group escape from `stage`.
    ///
    /// # Errors
    ///
    /// When the matrix has no such stage.
    pub fn sums(&self, stage: u16) -> Result<String> {
        let column = self.cells.column(stage)?;
        let count = |cells: &[(&str, &Cell)]| {
            ["escaped", "contained", "n/a"]
                .map(|word| cells.iter().filter(|(_, cell)| cell.word() == word).count())
        };
        let mut text = markdown::opening();
        writeln!(text, "| stage {stage:02} | escaped | contained | does not apply |")?;
        writeln!(text, "|---|--:|--:|--:|")?;
        for (group, cells) in self.grouped(&column, |(id, _)| id)? {
            let [escaped, contained, other] = count(&cells);
            writeln!(text, "| [{group}](probes-{group}.md) | {escaped} | {contained} | {other} |")?;
        }
        let [escaped, contained, other] = count(&column);
        writeln!(text, "| **all** | **{escaped}** | **{contained}** | **{other}** |")?;
        Ok(text)
    }
}

fn closed_sentence(count: usize, total: usize, one: u16, other: u16) -> String {
    let what = match count {
        0 => format!("none that escaped from stage {one:02} is contained by stage {other:02}."),
        _ => {
            format!("{count} escaped from stage {one:02} and do not escape from stage {other:02}:")
        }
    };
    format!("Of {total} probes, {what}\n")
}

fn shown(cell: &Cell) -> String {
    match cell {
        Cell::Escaped => "**escaped**".to_owned(),
        Cell::Contained(by) => plain(by),
        Cell::NotApplicable => "does not apply".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::cells::tests::text;
    use super::*;
    use crate::attack::expectations::KnownGap;
    use crate::attack::probe::header::tests::EXAMPLE;

    fn facts(rows: &[(&str, &str, &str)]) -> Facts {
        let headers = rows.iter().map(|(id, _, _)| {
            let code = EXAMPLE.replace("network/tcp", id).replace("Connect to", id);
            Header::parse(&code, Path::new("x")).unwrap()
        });
        let known_gap = KnownGap {
            probe: "kernel/b".to_owned(),
            from: 4,
            until: 4,
            reason: "A known `gap`.".to_owned(),
        };
        let expectations = Expectations { known_gaps: vec![known_gap], controls: Vec::new() };
        Facts::new(Cells::parse(&text(rows)).unwrap(), headers.collect(), expectations).unwrap()
    }

    const ROWS: [(&str, &str, &str); 5] = [
        ("host-files/a", "ESCAPED", "own files"),
        ("kernel/b", "ESCAPED", "ESCAPED"),
        ("kernel/c", "refused", "ESCAPED"),
        ("kernel/d", "refused", "sentry"),
        ("traces/e", "n/a", "ESCAPED"),
    ];

    #[test]
    fn each_kind_of_turn_is_told_apart() {
        let text = facts(&ROWS).changed_cells(3, 4).unwrap();
        assert!(text.contains("Of 5 probes, 1 escaped from stage 03 and do not"), "{text}");
        let row = "| **host-files** | own files | host-files/a a service of the host |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("\nContained before, and escaping now (1):\n"), "{text}");
        assert!(
            text.contains("| **kernel** | kernel/c a service of the host | refused |"),
            "{text}"
        );
        assert!(
            text.contains("\nNot applicable to the stage before, and escaping now (1):\n"),
            "{text}"
        );
        assert!(text.contains("1 are contained by something else than before"), "{text}");
        assert!(!text.contains("kernel/b"), "{text}");
    }

    #[test]
    fn what_escapes_has_its_reason_where_there_is_one() {
        let text = facts(&ROWS).escaped(4).unwrap();
        assert!(text.contains("Of 5 probes, 3 escape from stage 04."), "{text}");
        let row = "| **kernel** | kernel/b a service of the host | A known `gap`. |";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("| **kernel** | kernel/c a service of the host |"), "{text}");
        let text = facts(&ROWS[3..4]).escaped(4).unwrap();
        assert!(text.contains("None of the 1 probes"), "{text}");
    }

    #[test]
    fn sums_are_by_group_and_over_all() {
        let text = facts(&ROWS).sums(4).unwrap();
        assert!(text.contains("| [kernel](probes-kernel.md) | 2 | 1 | 0 |"), "{text}");
        assert!(text.contains("| **all** | **3** | **2** | **0** |"), "{text}");
    }

    #[test]
    fn a_matrix_of_other_probes_is_refused() {
        let cells = Cells::parse(&text(&ROWS)).unwrap();
        let error = Facts::new(cells, Vec::new(), Expectations::default()).unwrap_err().to_string();
        assert!(error.contains("no probe: [\"host-files/a\""), "{error}");
    }
}
