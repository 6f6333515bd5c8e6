//! The committed matrix as a table for the book's page: a row for each probe, which opens to what the
//! probe does, how success is seen, and what holds it on which stage. Each cell leads to the verdict of its
//! stage on the probe's own place, with its program ([`super::probe_pages`]).

use std::fmt::Write as _;

use anyhow::Result;

use super::cells::Cell;
use super::containment::Facts;
use super::{markdown, probe_pages};

/// The name of the generated file.
pub(super) const FILE: &str = "matrix-table.md";

/// The table as one block of HTML, without an empty line in it.
///
/// # Errors
///
/// When a probe of the matrix is unknown.
pub(super) fn table(facts: &Facts) -> Result<String> {
    let mut text = markdown::opening();
    text.push_str(
        "<div class=\"table-wrapper\"><table class=\"matrix\">\n<thead><tr><th>probe</th>",
    );
    for stage in &facts.cells.stages {
        write!(text, "<th>{stage:02}</th>")?;
    }
    text.push_str("</tr></thead>\n<tbody>\n");
    for (id, cells) in &facts.cells.rows {
        row(&mut text, facts, id, cells)?;
    }
    text.push_str("</tbody></table></div>\n");
    Ok(text)
}

fn row(text: &mut String, facts: &Facts, id: &str, cells: &[Cell]) -> Result<()> {
    let header = facts.header(id)?;
    let (group, class) = (header.group(), header.class);
    write!(text, "<tr data-group=\"{group}\" data-class=\"{class}\"><td>")?;
    write!(text, "<details><summary><code>{id}</code> {}</summary><dl>", html(&header.title))?;
    for (name, value) in [
        ("tries", header.intent.as_str()),
        ("has escaped when", &header.success),
        ("would be", class.as_str()),
        ("described in", &header.source),
    ] {
        write!(text, "<dt>{name}</dt><dd>{}</dd>", html(value))?;
    }
    write!(text, "<dt>on the stages</dt><dd>{}</dd>", html(&by_stage(facts, id, cells)))?;
    let page = probe_pages::page(group);
    let place = probe_pages::place(id);
    write!(
        text,
        "</dl><a href=\"{page}#{place}\">The program, and all verdicts</a></details></td>"
    )?;
    for (stage, cell) in facts.cells.stages.iter().zip(cells) {
        let (class, title, shown) = match cell {
            Cell::Escaped => ("escaped", "escaped", "ESC"),
            Cell::Contained(by) => ("contained", by.as_str(), "ok"),
            Cell::NotApplicable => ("other", "does not apply", "-"),
        };
        write!(
            text,
            "<td class=\"{class}\"><a href=\"{page}#{place}-{stage:02}\" title=\"{}\">{shown}</a></td>",
            html(title)
        )?;
    }
    text.push_str("</tr>\n");
    Ok(())
}

/// What became of a probe, with neighbouring stages of one verdict together.
fn by_stage(facts: &Facts, id: &str, cells: &[Cell]) -> String {
    let of_run = |run: Run<'_>| {
        let verdict = match run.cell {
            Cell::Escaped => match run.reason {
                Some(reason) => format!("escapes ({reason})"),
                None => "escapes".to_owned(),
            },
            Cell::Contained(by) => format!("contained by {by}"),
            Cell::NotApplicable => "does not apply".to_owned(),
        };
        match run.stages[..] {
            [only] => format!("{only:02} {verdict}"),
            [first, .., last] => format!("{first:02}–{last:02} {verdict}"),
            [] => verdict,
        }
    };
    runs(facts, id, cells).into_iter().map(of_run).collect::<Vec<_>>().join("; ")
}

/// Neighbouring stages with one verdict on a probe.
pub(super) struct Run<'a> {
    pub(super) stages: Vec<u16>,
    pub(super) cell: &'a Cell,
    /// Why it is left so, for a known gap.
    pub(super) reason: Option<&'a str>,
}

/// The verdicts on a probe, in the order of the stages.
pub(super) fn runs<'a>(facts: &'a Facts, id: &str, cells: &'a [Cell]) -> Vec<Run<'a>> {
    let mut runs: Vec<Run<'a>> = Vec::new();
    for (stage, cell) in facts.cells.stages.iter().copied().zip(cells) {
        let is_escape = *cell == Cell::Escaped;
        let reason = facts.reason(id, stage).filter(|_| is_escape);
        match runs.last_mut() {
            Some(run) if run.cell == cell && run.reason == reason => run.stages.push(stage),
            _ => runs.push(Run { stages: vec![stage], cell, reason }),
        }
    }
    runs
}

/// `text` in an element or in an attribute, so that nothing in it is HTML or Markdown.
pub(super) fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\r' => escaped.push(' '),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::cells::Cells;
    use super::*;
    use crate::attack::expectations::Expectations;
    use crate::attack::probe;

    #[test]
    fn each_probe_is_a_row_that_says_what_holds_it() {
        let headers = probe::all().unwrap().into_iter().map(|probe| probe.header).collect();
        let cells = Cells::load().unwrap();
        let rows = cells.rows.len();
        let facts = Facts::new(cells, headers, Expectations::load().unwrap()).unwrap();
        let text = table(&facts).unwrap();
        assert_eq!(text.matches("<tr data-group").count(), rows);
        let (_, block) = text.split_once("<div").unwrap();
        assert!(!block.contains("\n\n"), "an empty line ends a block of HTML");
        let line = text.lines().find(|line| line.contains("<code>kernel/bpf<")).unwrap();
        assert!(line.contains("01–03 escapes; 04–10 contained by refused"), "{line}");
        let cell = "<td class=\"contained\"><a href=\"probes-kernel.md#kernel-bpf-05\" title=\"refused\">ok</a></td>";
        assert!(line.contains(cell), "{line}");
    }

    #[test]
    fn what_a_header_says_is_text() {
        assert_eq!(html("<b>&\"x\"\ny"), "&lt;b&gt;&amp;&quot;x&quot; y");
    }
}
