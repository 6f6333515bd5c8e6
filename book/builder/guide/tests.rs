//! Tests of the guide: its data, and bad examples.

use super::*;
use crate::{book_root, workspace_root};

fn measure(change: &str) -> Category {
    let text = format!(
        "title = 'T'\nabout = 'A.'\n[[item]]\nid = 'A1'\nmeasure = 'M <b>'\nimportance = 'critical'\neffort = 'low'\nsource = 'S'\n{change}"
    );
    toml::from_str(&text).unwrap()
}

fn said(change: &str) -> String {
    errors(&[measure(change)], &workspace_root()).unwrap().join("\n")
}

#[test]
fn every_measure_of_the_guide_is_proven_or_says_what_is_left() {
    let categories = read(&book_root()).unwrap();
    let errors = errors(&categories, &workspace_root()).unwrap();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

#[test]
fn the_tables_are_those_of_the_data() {
    let written = std::fs::read_to_string(book_root().join(TABLES)).unwrap();
    assert_eq!(written, tables(&read(&book_root()).unwrap()), "run `just guide`");
}

#[test]
fn a_status_without_what_it_needs_is_an_error() {
    let done = "status = 'done'\nproof = ['probe kernel/bpf']";
    assert!(!said(done).contains("A1"), "{}", said(done));
    for (change, error) in [
        ("status = 'done'", "A1 is done without a proof"),
        ("status = 'done'\nproof = ['file Cargo.toml']", "A1 is critical"),
        ("status = 'done'\nproof = ['probe x/y']", "A1: the matrix has no probe x/y"),
        (
            "status = 'done'\nproof = ['probe evaluator/read-the-answer']",
            "A1: the last stage does not contain the probe evaluator/read-the-answer",
        ),
        ("status = 'done'\nproof = ['probe kernel/bpf']\nleft = 'x'", "A1 is done, and says"),
        ("status = 'partly'", "A1 does not say what is left"),
        ("status = 'not done'", "A1 does not say what is left"),
        ("status = 'documented'", "A1 names no document"),
    ] {
        assert!(said(change).contains(error), "{change}: {}", said(change));
    }
    assert!(said(done).contains("too few"));
}

#[test]
fn what_a_measure_says_is_text() {
    let tables = tables(&[measure("status = 'not done'\nleft = 'L <i>'")]);
    assert!(tables.contains("M &lt;b&gt;") && tables.contains("L &lt;i&gt;"), "{tables}");
    assert!(tables.contains("1 measures: 0 done, 0 partly, 0 documented, 1 not done."), "{tables}");
}
