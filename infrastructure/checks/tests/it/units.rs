//! The units of stage 10: they verify, and are as hard as their page says.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use infrastructure_checks::infrastructure;

const UNITS: [&str; 3] = ["crucible-api", "crucible-worker", "crucible-spot"];

fn analyze(arguments: &[&str], unit: &Path) -> Output {
    let mut command = Command::new("systemd-analyze");
    let output = command.args(arguments).arg("--no-pager").arg(unit).output();
    output.unwrap_or_else(|error| panic!("systemd-analyze: {error}; set-up installs it"))
}

#[test]
fn the_units_verify() {
    let temporary = tempfile::tempdir().unwrap();
    for unit in UNITS {
        let file = format!("{unit}.service");
        let text = fs::read_to_string(infrastructure().join("systemd").join(&file)).unwrap();
        // The installed programs are not on this machine.
        let lines = text.lines().map(|line| {
            let (name, _) = line.split_once("=/usr/local/").unwrap_or((line, ""));
            if name == line { line.to_owned() } else { format!("{name}=/bin/true") }
        });
        let runnable = lines.collect::<Vec<_>>().join("\n");
        assert!(runnable.contains("ExecStart=/bin/true"), "{runnable}");
        let path = temporary.path().join(&file);
        fs::write(&path, &runnable).unwrap();
        let output = analyze(&["verify", "--man=no"], &path);
        let errors = String::from_utf8_lossy(&output.stderr);
        // The other units that a unit names are not here, and systemd says so under their own names.
        assert!(!errors.contains(&format!("{file}:")), "{errors}");
        // A setting that systemd does not know is found.
        fs::write(&path, runnable.replace("ProtectHome=yes", "ProtectHomes=yes")).unwrap();
        let output = analyze(&["verify", "--man=no"], &path);
        assert!(String::from_utf8_lossy(&output.stderr).contains("ProtectHomes"), "{output:?}");
    }
}

#[test]
fn the_page_has_the_scores() {
    let directory = infrastructure().join("systemd");
    let page = fs::read_to_string(directory.join("README.md")).unwrap();
    let book = infrastructure().join("../book/src/cloud-operations.md");
    let book = fs::read_to_string(book).unwrap();
    for unit in UNITS {
        let path = directory.join(format!("{unit}.service"));
        let output =
            String::from_utf8(analyze(&["security", "--offline=true"], &path).stdout).unwrap();
        let line = output.lines().find(|line| line.contains("Overall exposure level")).unwrap();
        let score = line.split_whitespace().find(|word| word.parse::<f32>().is_ok()).unwrap();
        assert!(page.contains(&format!("**Exposure level: {score}**")), "{unit}: {score}");
        assert!(book.contains(&format!("| `{unit}` | {score} |")), "{unit}: {score}");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(&format!("gives it {score} ")), "{unit}: {score}");
    }
}

#[test]
fn a_worker_starts_after_its_proof_only() {
    let worker =
        fs::read_to_string(infrastructure().join("systemd/crucible-worker.service")).unwrap();
    let commands: Vec<_> = worker.lines().filter(|line| line.starts_with("Exec")).collect();
    // Without the `-` before a path a failure ends the start.
    assert_eq!(
        commands,
        [
            "ExecStartPre=/usr/local/bin/stage-10-frontier-events doctor --engine gvisor",
            "ExecStart=/usr/local/bin/stage-10-frontier-events serve --engine gvisor",
        ]
    );
}

/// The number behind `name` in a text.
fn number_after(text: &str, name: &str) -> u32 {
    let (_, rest) = text.split_once(name).unwrap_or_else(|| panic!("{name} is not there"));
    let digits = rest.trim_start_matches(|c: char| !c.is_ascii_digit());
    digits.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// A worker that drains for longer than it may stop is killed with what it runs.
#[test]
fn a_worker_drains_within_the_time_that_it_has() {
    // What is ended after that still has to report its end.
    const END_SECONDS: u32 = 8;
    for (file, stop, most) in [
        ("systemd/crucible-worker.service", "TimeoutStopSec=", 120), // a spot machine has two minutes
        ("kubernetes/base/workers.yaml", "terminationGracePeriodSeconds:", u32::MAX),
    ] {
        let text = std::fs::read_to_string(infrastructure().join(file)).unwrap();
        let (drain, stop) =
            (number_after(&text, "CRUCIBLE_DRAIN_SECONDS"), number_after(&text, stop));
        assert!(drain + END_SECONDS < stop && stop < most, "{file}: {drain} and {stop}");
        assert!(drain > 10, "{file}: no more than the default");
    }
    let unit = std::fs::read_to_string(infrastructure().join("systemd/crucible-worker.service"));
    let drain = number_after(&unit.unwrap(), "CRUCIBLE_DRAIN_SECONDS");
    let page = std::fs::read_to_string(infrastructure().join("../book/src/cloud.md")).unwrap();
    assert!(page.contains(&format!("what runs has {drain} s to end")), "cloud.md: {drain}");
}
