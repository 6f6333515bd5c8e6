//! The list, retention, backups, and the self tests over the database.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::stage;

/// Runs a command of the stage.
pub(crate) fn command(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(stage::BINARY);
    command.args(["--engine", "subprocess", "--unsafe", "--single-process", "--data-dir"]);
    let Output { status, stdout, stderr } =
        command.arg(directory).args(arguments).output().unwrap();
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

#[tokio::test]
async fn a_page_with_large_outputs_is_cut_and_the_next_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::start(directory.path());
    let client = server.client();
    let mut submitted = Vec::new();
    for _ in 0..10 {
        let large = client.run("print('x' * 1_000_000)").await;
        assert_eq!(large["stdout"]["text"].as_str().unwrap().len(), 1_000_001);
        submitted.push(large["id"].clone());
    }
    let (mut seen, mut pages, mut path) = (Vec::new(), 0, "/eval?status=completed".to_owned());
    loop {
        let page: Value = client.get(&path).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|one| one["id"].clone()));
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/eval?status=completed&cursor={cursor}");
    }
    submitted.reverse();
    assert_eq!(seen, submitted);
    assert!(pages > 1, "ten megabytes on one page");
}

#[tokio::test]
async fn the_first_to_end_is_deleted_with_its_events_and_its_file() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::on(directory.path()).args(["--storage-entries", "3"]).start();
    let client = server.client();
    let first = client.run("print('a' * 50_000)").await;
    for number in 0..3 {
        client.run(&format!("print({number})")).await;
    }
    let path = format!("/eval/{}", first["id"].as_str().unwrap());
    harness::eventually_some(
        "the first is deleted",
        std::time::Duration::from_secs(20),
        async || (client.get(&path).await.status == 404).then_some(()),
    )
    .await;
    // That it was deleted is an event as well, but none of its own.
    let deleted = async || {
        let metrics = client.get("/metrics").await.text();
        metrics.contains(r#"events_total{type="storage.deleted"} 1"#).then_some(())
    };
    harness::eventually_some("it is reported", std::time::Duration::from_secs(20), deleted).await;
    assert_eq!(client.get(&format!("{path}/events")).await.status, 404);
    let usage = client.get("/status").await.json()["storage"]["entries"].clone();
    assert_eq!(usage, 3);
    assert_eq!(server.stop(), Some(0));
    let (code, report) = command(directory.path(), &["doctor"]);
    assert!(report.contains("is whole: 3 evaluations") && report.contains("0 files"), "{report}");
    assert_eq!(code, Some(0), "{report}");
}

#[tokio::test]
async fn a_backup_of_a_live_server_is_a_server_again() {
    let directory = tempfile::tempdir().unwrap();
    let (data, backup, restored) = (
        directory.path().join("data"),
        directory.path().join("backup"),
        directory.path().join("restored"),
    );
    let server = stage::start(&data);
    let before = server.client().run("print('b' * 50_000)").await;
    let (code, report) = command(&data, &["backup", backup.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.starts_with("1 evaluations") && report.contains("1 files in"), "{report}");
    server.client().run("print('after the backup')").await;
    let (code, report) = command(&data, &["backup", backup.to_str().unwrap()]);
    assert_eq!(code, Some(1), "{report}");
    server.kill();
    let (code, report) = command(&restored, &["restore", backup.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{report}");
    let server = stage::start(&restored);
    let list = server.client().get("/eval").await.json();
    assert_eq!(list["items"], json!([before]));
    let (code, report) = command(&data, &["restore", backup.to_str().unwrap()]);
    assert!(code == Some(1) && report.contains("has something in it already"), "{report}");
}

#[tokio::test]
async fn a_damaged_file_is_found_by_doctor_and_never_served() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::start(directory.path());
    let ended = server.client().run("print('c' * 50_000)").await;
    let files = std::fs::read_dir(directory.path().join("files")).unwrap();
    let files = files.flat_map(|entry| std::fs::read_dir(entry.unwrap().path()).unwrap());
    let file = files.map(|file| file.unwrap().path()).next().unwrap();
    std::fs::write(file, "forged").unwrap();
    let answer = server.client().get(&format!("/eval/{}", ended["id"].as_str().unwrap())).await;
    assert_eq!(answer.status, 500, "{answer:?}");
    let (code, report) = command(directory.path(), &["doctor"]);
    assert!(code == Some(1) && report.contains("is damaged or missing"), "{report}");
}

#[test]
fn every_component_passes_its_tests_on_a_database() {
    let directory = tempfile::tempdir().unwrap();
    let (code, report) = command(directory.path(), &["test"]);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.contains("storage: the counters are the real ones"), "{report}");
}

#[test]
fn the_settings_of_the_storage_come_from_a_file_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (directory.path().join("crucible.toml"), directory.path().join("data"));
    let doctor = |settings: &str| {
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new(stage::BINARY);
        let output = command
            .args(["--engine", "subprocess", "--unsafe", "doctor", "--config"])
            .arg(&file)
            .output()
            .unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let settings =
        format!("storage = \"sqlite\"\nstorage_days = 30\ndata_dir = \"{}\"", data.display());
    let report = doctor(&settings);
    assert!(report.contains(&format!("{} has no database yet", data.display())), "{report}");
    assert!(!doctor("storage = \"memory\"").contains("data directory"));
    for wrong in ["storage = \"disk\"", "storage_days = 0", "data_directory = \"x\""] {
        let report = doctor(wrong);
        assert!(report.contains("crucible.toml"), "{report}");
    }
}

#[tokio::test]
async fn what_has_ended_is_counted_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::start(directory.path());
    let client = server.client();
    let stored = async |client: &harness::Client| {
        let storage = client.get("/status").await.json()["storage"].clone();
        (storage["entries"].as_u64().unwrap(), storage["bytes"].as_u64().unwrap())
    };
    let mut last = stored(&client).await;
    assert_eq!(last, (0, 0));
    for count in 1..=10 {
        client.run("print('x' * 10_000)").await;
        let now = stored(&client).await;
        assert!(now.0 == count && now.1 > last.1 + 10_000, "{count}: {last:?} {now:?}");
        last = now;
    }
    server.kill();
    let server = stage::start(directory.path());
    assert_eq!(stored(&server.client()).await, last);
}
