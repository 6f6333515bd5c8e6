//! The unit of the systemd service: it verifies, and is as hard as its page says.

use std::path::PathBuf;
use std::process::{Command, Output};

use ladder::support::workspace::Workspace;

fn directory() -> PathBuf {
    Workspace::load().unwrap().root.join("infrastructure/systemd")
}

fn analyze(arguments: &[&str], unit: &std::path::Path) -> Output {
    let mut command = Command::new("systemd-analyze");
    let output = command.args(arguments).arg("--no-pager").arg(unit).output();
    output.unwrap_or_else(|error| panic!("systemd-analyze: {error}; set-up installs it"))
}

/// The exposure that the tool reports for a unit, such as `4.0`.
fn exposure(unit: &std::path::Path) -> String {
    let output = analyze(&["security", "--offline=true"], unit);
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find(|line| line.contains("Overall exposure level")).unwrap();
    line.split_whitespace().find(|word| word.parse::<f32>().is_ok()).unwrap().to_owned()
}

#[test]
fn the_unit_verifies() {
    let text = std::fs::read_to_string(directory().join("crucible.service")).unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let unit = temporary.path().join("crucible.service");
    // The installed binary is not on this machine.
    let runnable =
        text.replace("ExecStart=/usr/local/bin/stage-09-frontier", "ExecStart=/bin/true");
    assert_ne!(runnable, text);
    std::fs::write(&unit, &runnable).unwrap();
    let output = analyze(&["verify", "--man=no"], &unit);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !errors.contains("crucible.service"), "{errors}");
    // A setting that the tool does not know is found: otherwise this test would prove nothing.
    std::fs::write(&unit, runnable.replace("ProtectHome=yes", "ProtectHomes=yes")).unwrap();
    let output = analyze(&["verify", "--man=no"], &unit);
    assert!(String::from_utf8_lossy(&output.stderr).contains("ProtectHomes"), "{output:?}");
}

#[test]
fn the_page_has_the_score_of_the_unit() {
    let unit = directory().join("crucible.service");
    let score = exposure(&unit);
    let page = std::fs::read_to_string(directory().join("README.md")).unwrap();
    assert!(page.contains(&format!("**Exposure level: {score}**")), "the tool says {score}");
    let text = std::fs::read_to_string(&unit).unwrap();
    assert!(text.contains(&format!("gives it {score} ")), "the tool says {score}");
    // Without its hardening the unit has another one.
    let temporary = tempfile::tempdir().unwrap();
    let soft = temporary.path().join("crucible.service");
    let kept = ["[", "ExecStart=", "Description=", "Type=", "WantedBy="];
    let lines = text.lines().filter(|line| kept.iter().any(|start| line.starts_with(start)));
    std::fs::write(&soft, lines.collect::<Vec<_>>().join("\n")).unwrap();
    assert!(exposure(&soft).parse::<f32>().unwrap() > 9.0);
}
