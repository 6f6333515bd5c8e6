//! The committed matrix as a table for the book's page: a row for each probe, which opens to what the
//! probe does, how success is seen, and what holds it on which stage.

use std::fmt::Write as _;

use anyhow::Result;

use super::cells::Cell;
use super::containment::Facts;
use super::markdown;

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
    text.push_str("</dl></details></td>");
    for cell in cells {
        match cell {
            Cell::Escaped => text.push_str("<td class=\"escaped\">ESC</td>"),
            Cell::Contained(by) => {
                write!(text, "<td class=\"contained\" title=\"{}\">ok</td>", html(by))?;
            }
            Cell::NotApplicable => text.push_str("<td class=\"other\">-</td>"),
        }
    }
    text.push_str("</tr>\n");
    Ok(())
}

/// What became of a probe, with neighbouring stages of one verdict together.
fn by_stage(facts: &Facts, id: &str, cells: &[Cell]) -> String {
    let mut runs: Vec<(u16, u16, String)> = Vec::new();
    for (stage, cell) in facts.cells.stages.iter().copied().zip(cells) {
        let verdict = match cell {
            Cell::Escaped => match facts.reason(id, stage) {
                Some(reason) => format!("escapes ({reason})"),
                None => "escapes".to_owned(),
            },
            Cell::Contained(by) => format!("contained by {by}"),
            Cell::NotApplicable => "does not apply".to_owned(),
        };
        match runs.last_mut() {
            Some((_, last, of_run)) if *of_run == verdict => *last = stage,
            _ => runs.push((stage, stage, verdict)),
        }
    }
    let runs = runs.into_iter().map(|(first, last, verdict)| {
        let stages =
            if first == last { format!("{first:02}") } else { format!("{first:02}–{last:02}") };
        format!("{stages} {verdict}")
    });
    runs.collect::<Vec<_>>().join("; ")
}

/// `text` in an element or in an attribute, so that nothing in it is HTML or Markdown.
fn html(text: &str) -> String {
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
    }

    #[test]
    fn what_a_header_says_is_text() {
        assert_eq!(html("<b>&\"x\"\ny"), "&lt;b&gt;&amp;&quot;x&quot; y");
    }
}
