//! Spectral: the contract by OpenAPI's rules and by OWASP's for APIs.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::stage::{directory, tool};

/// What Spectral reports about the contract by the rules of this file.
fn spectral(rules: &Path) -> Vec<String> {
    let mut spectral = Command::new(tool("spectral"));
    spectral.current_dir(directory()).args(["lint", "--format", "json", "--quiet", "openapi.yaml"]);
    let output = spectral.arg("--ruleset").arg(rules).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let found = found.as_array().unwrap().iter();
    let text = |one: &Value| {
        format!("{} {} {}", one["code"].as_str().unwrap(), one["message"], one["path"])
    };
    found.map(text).collect()
}

#[test]
fn spectral_reports_only_what_the_next_stage_adds() {
    let rules = directory().join(".spectral.yaml");
    assert_eq!(spectral(&rules), [""; 0]);
    // Without the exceptions it finds those, and nothing else.
    let rules = std::fs::read_to_string(rules).unwrap();
    let (all, exceptions) = rules.split_once("rules:\n").unwrap();
    let bare = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(bare.path(), all).unwrap();
    let name = |line: &str| Some(line.strip_suffix(": off")?.trim().to_owned());
    let exceptions: BTreeSet<_> = exceptions.lines().filter_map(name).collect();
    let found = spectral(bare.path());
    let found: BTreeSet<_> =
        found.iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(found, exceptions);
}
