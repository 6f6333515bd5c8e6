//! Which tests take a control away, and see a probe escape: read from the sources of these tests.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// The files with such tests. Those that name probes are between the anchors `controls`.
const FILES: [&str; 2] = ["tests/tests/it/sensitivity.rs", "tests/tests/it/sensitivity_runsc.rs"];

/// A test in which a probe escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemovedControl {
    pub(super) test: String,
    pub(super) file: &'static str,
}

/// The tests by the ids of the probes, for the workspace at `root`.
///
/// # Errors
///
/// When a file cannot be read, or has no such test.
pub(super) fn by_probe(root: &Path) -> Result<BTreeMap<String, Vec<RemovedControl>>> {
    let mut tests: BTreeMap<String, Vec<RemovedControl>> = BTreeMap::new();
    for file in FILES {
        let text = std::fs::read_to_string(root.join(file))
            .with_context(|| format!("cannot read {file}"))?;
        let found = in_source(&text);
        ensure!(!found.is_empty(), "{file} has no tests between its anchors `controls`");
        for (id, test) in found {
            tests.entry(id).or_default().push(RemovedControl { test, file });
        }
    }
    Ok(tests)
}

/// Each id in a test, with the name of the test.
fn in_source(text: &str) -> Vec<(String, String)> {
    let marked = text.split_once("// ANCHOR: controls\n");
    let marked = marked.and_then(|(_, rest)| rest.split_once("// ANCHOR_END: controls"));
    let mut found = Vec::new();
    for function in marked.map_or("", |(tests, _)| tests).split("async fn ").skip(1) {
        let name = function.split('(').next().unwrap_or_default();
        // Every second piece between quotes is a string.
        let strings = function.split('"').skip(1).step_by(2);
        let ids = strings.filter(|string| string.contains('/'));
        found.extend(ids.map(|id| (id.to_owned(), name.to_owned())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attack::probe;
    use crate::support::workspace::Workspace;

    #[test]
    fn each_of_them_names_a_probe() {
        let tests = by_probe(&Workspace::load().unwrap().root).unwrap();
        let probes = probe::all().unwrap();
        for id in tests.keys() {
            assert!(probes.iter().any(|probe| probe.header.id == *id), "{id}");
        }
        let without_filter = RemovedControl {
            test: "alone_without_the_seccomp_filter".to_owned(),
            file: "tests/tests/it/sensitivity.rs",
        };
        assert_eq!(tests["kernel/ptrace"], [without_filter]);
        assert_eq!(tests["network/tcp-out"].len(), 2, "{tests:?}");
    }

    #[test]
    fn other_strings_and_other_tests_are_left_out() {
        let text = "async fn x() { f(\"a/b\") }\n// ANCHOR: controls\n#[tokio::test(flavor = \"multi_thread\")]\n\
                    async fn one() { f(&[\"a/c\", \"word\"]) }\nasync fn two() { f(\"a/d\") }\n// ANCHOR_END: controls\n";
        let pair = |id: &str, test: &str| (id.to_owned(), test.to_owned());
        assert_eq!(in_source(text), [pair("a/c", "one"), pair("a/d", "two")]);
    }
}
