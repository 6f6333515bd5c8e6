//! The comparison with a list of vulnerabilities that is a directory here: `just advisories DIRECTORY`.

use std::fs;
use std::path::Path;
use std::process::Command;

use infrastructure_checks::{infrastructure, text, workspace};

fn compare(list: &Path) -> anyhow::Result<String> {
    let mut script = Command::new("bash");
    let path = format!("/opt/crucible/bin:{}", std::env::var("PATH").unwrap());
    script.arg(infrastructure().join("release/advisories.sh")).arg(list).env("PATH", path);
    text(&mut script)
}

/// A list with a vulnerability of all versions of a package.
fn list_with(package: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let advisory = format!(
        "```toml\n[advisory]\nid = \"RUSTSEC-2099-0001\"\npackage = \"{package}\"\ndate = \"2099-01-01\"\n\n\
         [versions]\npatched = []\n```\n\n# Planted\n\nFor a test.\n"
    );
    let path = directory.path().join("crates").join(package);
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join("RUSTSEC-2099-0001.md"), advisory).unwrap();
    for arguments in [
        &["init", "--quiet"][..],
        &["add", "--all"],
        &["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message", "a"],
    ] {
        text(Command::new("git").args(arguments).current_dir(directory.path())).unwrap();
    }
    directory
}

#[test]
fn a_list_in_a_directory_is_compared_without_a_network() {
    // The crates of other platforms too: cargo-deny reads them all.
    text(Command::new("cargo").args(["fetch", "--locked"]).current_dir(workspace())).unwrap();
    let error = compare(list_with("tokio").path()).unwrap_err().to_string();
    assert!(error.contains("RUSTSEC-2099-0001"), "{error}");
    compare(list_with("not-a-dependency").path()).unwrap();
    let none = tempfile::tempdir().unwrap();
    let error = compare(none.path()).unwrap_err().to_string();
    assert!(error.contains("is no clone of RustSec's list"), "{error}");
}
