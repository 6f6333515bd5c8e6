//! A page of the book for each group of probes, to which the cells of the matrix lead: what a probe tries, how
//! success is seen, the verdict of each stage with the control that holds the probe, and its program.
//!
//! The programs are not copied: the pages include the files that the ladder submits.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::cells::Cell;
use super::containment::Facts;
use super::markdown;
use super::matrix_page::{Run, html, runs};
use super::removed_controls::{self, RemovedControl};
use crate::attack::probe::{Group, Listing, Probe};
use crate::attack::verdict::By;

/// The stage of the command below a probe, unless a later one is the first that has to contain it.
const EXAMPLE_STAGE: u16 = 5;

/// The page of a group in the book. The generated file that it includes has the same name.
pub(super) fn page(group: Group) -> String {
    format!("probes-{group}.md")
}

/// The place of a probe in its page; `-NN` after it is that of its verdict on stage NN.
pub(super) fn place(id: &str) -> String {
    id.replace('/', "-")
}

/// The generated files by their names, for the workspace at `root`.
///
/// # Errors
///
/// When a probe is not in the matrix, or its program is not where it should be.
pub(super) fn all(
    facts: &Facts,
    probes: &[Probe],
    root: &Path,
) -> Result<BTreeMap<String, String>> {
    let mut pages = BTreeMap::new();
    let removed = removed_controls::by_probe(root)?;
    for (id, cells) in &facts.cells.rows {
        let probe = probes.iter().find(|probe| probe.header.id == *id);
        let probe = probe.with_context(|| format!("{id} is no probe"))?;
        let text = pages.entry(page(probe.header.group())).or_insert_with(markdown::opening);
        let removed = removed.get(id).map_or(&[][..], Vec::as_slice);
        section(text, facts, probe, cells, removed).with_context(|| id.clone())?;
        for listing in &probe.listings {
            write!(text, "\n{}", shown(listing, root)?)?;
        }
    }
    Ok(pages)
}

fn section(
    text: &mut String,
    facts: &Facts,
    probe: &Probe,
    cells: &[Cell],
    removed: &[RemovedControl],
) -> Result<()> {
    let header = &probe.header;
    let (id, place) = (&header.id, place(&header.id));
    write!(text, "\n## {} {{#{place}}}\n\n<dl class=\"probe\">", markdown::plain(&header.title))?;
    for (name, value) in [
        ("probe", format!("<code>{id}</code>")),
        ("tries", html(&header.intent)),
        ("has escaped when", html(&header.success)),
        ("evidence", format!("<code>{}</code>", html(&header.evidence_words))),
        ("would be", html(header.class.as_str())),
        ("described in", html(&header.source)),
    ] {
        write!(text, "<dt>{name}</dt><dd>{value}</dd>")?;
    }
    if let Some(control) = facts.control(id) {
        write!(text, "<dt>escapes on no stage</dt><dd>{}</dd>", html(control))?;
    }
    for RemovedControl { test, file } in removed {
        write!(
            text,
            "<dt>escapes without a control</dt><dd><code>{test}</code> in <code>{file}</code></dd>"
        )?;
    }
    text.push_str("</dl>\n\n<div class=\"table-wrapper\"><table class=\"verdicts\">\n");
    text.push_str(
        "<thead><tr><th>stage</th><th>verdict</th><th>what holds it</th></tr></thead>\n<tbody>\n",
    );
    for run in runs(facts, id, cells) {
        let (class, verdict, wall) = verdict(&run, header.contained_from)?;
        let stage = |stage: &u16| format!("<span id=\"{place}-{stage:02}\">{stage:02}</span>");
        let stages: Vec<String> = run.stages.iter().map(stage).collect();
        let stages = stages.join(" ");
        writeln!(
            text,
            "<tr class=\"{class}\"><td>{stages}</td><td>{verdict}</td><td>{wall}</td></tr>"
        )?;
    }
    let stage = header.contained_from.max(EXAMPLE_STAGE);
    writeln!(
        text,
        "</tbody></table></div>\n\n`cargo run -p ladder -- attack --stage {stage} --probe {id}`"
    )?;
    Ok(())
}

/// The class of a row, its verdict, and what holds the probe.
fn verdict(run: &Run<'_>, contained_from: u16) -> Result<(&'static str, &'static str, String)> {
    Ok(match (run.cell, run.reason) {
        (Cell::Escaped, Some(reason)) => ("escaped", "escaped", html(reason)),
        (Cell::Escaped, None) => {
            let wall = format!("nothing; it has to be contained from stage {contained_from:02} on");
            ("escaped", "escaped", wall)
        }
        (Cell::Contained(words), _) => {
            let by = By::ALL.iter().find(|by| by.as_str() == words);
            let by = by.with_context(|| format!("{words:?} is no reason of a verdict"))?;
            ("contained", "contained", format!("<strong>{by}</strong>: {}", html(by.meaning())))
        }
        (Cell::NotApplicable, _) => {
            ("other", "does not apply", "nothing there to attack".to_owned())
        }
    })
}

/// A program of a probe, as the pages of the book show a listing.
fn shown(listing: &Listing, root: &Path) -> Result<String> {
    let Listing { file, anchor } = listing;
    let text =
        std::fs::read_to_string(root.join(file)).with_context(|| format!("cannot read {file}"))?;
    let language = match Path::new(file).extension().and_then(|extension| extension.to_str()) {
        Some("rs") => "rust,ignore",
        Some("sh") => "bash",
        Some("js") => "javascript",
        _ => "python",
    };
    let mut include = format!("../../{file}");
    if let Some(anchor) = anchor {
        // An anchor that is missing would be an empty listing, without an error.
        let is_there = |mark: &str| text.lines().any(|line| line == format!("// {mark}: {anchor}"));
        ensure!(
            is_there("ANCHOR") && is_there("ANCHOR_END"),
            "{file} has no `// ANCHOR: {anchor}` and `// ANCHOR_END: {anchor}` around the function of the probe"
        );
        include = format!("{include}:{anchor}");
    }
    let directive = format!("{{{{#include {include}}}}}");
    Ok(format!("<p class=\"file\">{file}</p>\n\n```{language}\n{directive}\n```\n"))
}

#[cfg(test)]
mod tests {
    use super::super::cells::Cells;
    use super::*;
    use crate::attack::expectations::Expectations;
    use crate::attack::probe;
    use crate::support::workspace::Workspace;

    fn facts(probes: &[Probe]) -> Facts {
        let headers = probes.iter().map(|probe| probe.header.clone()).collect();
        Facts::new(Cells::load().unwrap(), headers, Expectations::load().unwrap()).unwrap()
    }

    #[test]
    fn each_probe_has_its_verdicts_and_its_program() {
        let probes = probe::all().unwrap();
        let root = Workspace::load().unwrap().root;
        let pages = all(&facts(&probes), &probes, &root).unwrap();
        assert_eq!(pages.len(), Group::ALL.len());
        for Probe { header, listings, .. } in &probes {
            let page = &pages[&page(header.group())];
            let (_, section) = page.split_once(&format!("{{#{}}}", place(&header.id))).unwrap();
            let section = section.split("\n## ").next().unwrap();
            assert!(!listings.is_empty(), "{}", header.id);
            for listing in listings {
                assert!(
                    section.contains(&format!("{{{{#include ../../{}", listing.file)),
                    "{section}"
                );
            }
            assert_eq!(section.matches("<span id=").count(), 10, "{section}");
        }
        let kernel = &pages["probes-kernel.md"];
        assert!(kernel.contains("<span id=\"kernel-bpf-05\">05</span>"));
        assert!(kernel.contains("<strong>refused</strong>: The kernel refused: by capabilities"));
        assert!(kernel.contains("<code>alone_without_the_seccomp_filter</code>"));
        assert!(pages["probes-platform.md"].contains("slow.rs:slow-headers}}"));
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let mut probes = probe::all().unwrap();
        let root = Workspace::load().unwrap().root;
        let facts = facts(&probes);
        let error = |probes: &[Probe]| format!("{:#}", all(&facts, probes, &root).unwrap_err());
        let http = probes.iter().position(|probe| probe.listings[0].anchor.is_some()).unwrap();
        let was = probes[http].listings[0].anchor.replace("gone".to_owned());
        assert!(error(&probes).contains("has no `// ANCHOR: gone`"));
        probes[http].listings[0].anchor = was;
        probes[0].listings[0].file = "tests/probes/gone.py".to_owned();
        assert!(error(&probes).contains("cannot read tests/probes/gone.py"));
        probes.remove(0);
        assert!(error(&probes).contains("is no probe"));
    }
}
