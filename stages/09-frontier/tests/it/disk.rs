//! A data directory that cannot be used, or is not as it was left: each a clear error, or a recovery.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use harness::{Launch, Response};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::accounts::clients::post_with_key;
use crate::stage;
use crate::storage::command;

fn database(directory: &Path) -> Connection {
    Connection::open(directory.join("crucible.db")).unwrap()
}

fn error(launch: Launch) -> String {
    launch.try_start().unwrap_err().to_string()
}

#[tokio::test]
async fn a_second_server_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::start(directory.path());
    let refused = error(stage::on(directory.path()));
    assert!(refused.contains("another server uses"), "{refused}");
    assert!(refused.contains(&format!("process {}", server.pid())), "{refused}");
    server.client().run("print('the first goes on')").await;
    server.kill();
    stage::start(directory.path());
}

#[tokio::test]
async fn a_newer_schema_and_a_foreign_database_are_refused_and_left_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(stage::start(directory.path()).stop(), Some(0));
    database(directory.path()).pragma_update(None, "user_version", 99).unwrap();
    let refused = error(stage::on(directory.path()));
    assert!(refused.contains("has schema 99; this version knows schemas up to"), "{refused}");
    let version: u32 = database(directory.path())
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 99);
    let foreign = tempfile::tempdir().unwrap();
    database(foreign.path()).execute_batch("CREATE TABLE own (x)").unwrap();
    let refused = error(stage::on(foreign.path()));
    assert!(refused.contains("is a database of another program"), "{refused}");
}

/// Runs the server in a mount namespace where `directory` is a tmpfs with these options.
fn on_tmpfs(directory: &Path, options: &str) -> Launch {
    within_tmpfs(stage::on(directory), directory, options)
}

fn within_tmpfs(launch: Launch, directory: &Path, options: &str) -> Launch {
    let script = format!(
        "mount -t tmpfs -o {options} none \"$0\" && if [ -n \"$RO\" ]; then mount -o remount,ro \
         \"$0\"; fi && exec \"$@\""
    );
    let wrapper = ["unshare", "--mount", "sh", "-c", &script, directory.to_str().unwrap()];
    launch.with_wrapper(wrapper.map(Into::into).to_vec())
}

fn free_bytes(directory: &str) -> u64 {
    let disk = rustix::fs::statvfs(directory).unwrap();
    disk.f_bavail * disk.f_frsize
}

/// A submission was refused because of the disk, and the client may try again.
fn assert_no_room(refused: &Response) {
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    assert!(refused.text().contains("no room"), "{refused:?}");
}

#[tokio::test]
async fn a_read_only_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let refused = error(on_tmpfs(directory.path(), "size=8m").env("RO", "1"));
    assert!(
        refused.contains("cannot use") && refused.contains("Read-only file system"),
        "{refused}"
    );
    assert!(refused.contains("--data-dir"), "{refused}");
}

#[tokio::test]
async fn a_full_disk_refuses_work_ends_what_runs_and_goes_on_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let server = on_tmpfs(directory.path(), "size=24m").start();
    let client = server.client();
    let running = client.submit_code("import time; time.sleep(2); print('ended')").await;
    client.wait_for_status(&running, "running").await;
    // Seen through the process, because the mount is in its namespace.
    let inside = format!("/proc/{}/root{}", server.pid(), directory.path().display());
    let ballast = Path::new(&inside).join("ballast");
    let mut file = OpenOptions::new().create(true).append(true).open(&ballast).unwrap();
    // Its reserve is an eighth of it.
    while free_bytes(&inside) >= 3 << 20 {
        file.write_all(&vec![1; 1 << 16]).unwrap();
    }
    let pass = json!({ "code": "pass" });
    assert_no_room(&client.post("/eval", &pass).await);
    assert_no_room(&client.post("/batches", &json!({ "evaluations": [pass] })).await);
    assert_no_room(&post_with_key(&client, "/eval", "\"k-1\"", &pass).await);
    let ended = client.wait(&running).await;
    assert_eq!(ended["stdout"]["text"], "ended\n");
    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    harness::eventually_some("work again", Duration::from_secs(30), async || {
        (client.post("/eval", &json!({ "code": "pass" })).await.status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn output_that_meets_a_full_disk_is_streamed_without_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    let server = on_tmpfs(directory.path(), "size=24m").start();
    let client = server.client();
    let code = "import time\nfor number in range(10_000_000): print(number); time.sleep(0.002)";
    let id = client.submit(&json!({ "code": code, "timeout_seconds": 60 })).await;
    let mut events = client.events(&id).await;
    let first = events.until("evaluation.progress").await;
    let inside = format!("/proc/{}/root{}", server.pid(), directory.path().display());
    let ballast = Path::new(&inside).join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    let is_full = || server.stderr().contains("events wait for room on the disk");
    harness::eventually("a write without room", Duration::from_mins(1), || {
        // A checkpoint may have made room.
        while file.write_all(&[1; 1 << 10]).is_ok() {}
        is_full()
    })
    .await;
    drop(file);
    std::fs::remove_file(&ballast).unwrap();
    // Its output goes on, and what was printed meanwhile is there.
    let mut expected = first.data()["text"].as_str().unwrap().len() as u64;
    let printed = client.evaluation(&id).await["stdout"]["bytes_total"].as_u64().unwrap();
    while expected <= printed {
        let event = events.until("evaluation.progress").await;
        assert_eq!(event.data()["offset"], expected);
        expected += event.data()["text"].as_str().unwrap().len() as u64;
    }
    let mut streamed = client.events(&id).await;
    assert_eq!(client.delete(&format!("/eval/{id}")).await.status, 200);
    let ended = client.wait(&id).await;
    let mut text = String::new();
    while let Some(event) = streamed.next().await {
        if event.kind == "evaluation.progress" {
            assert_eq!(event.data()["offset"], text.len());
            text.push_str(event.data()["text"].as_str().unwrap());
        }
    }
    assert_eq!(ended["stdout"]["text"], text);
}

#[tokio::test]
async fn artifacts_that_fill_the_disk_lose_nothing_and_leave_room_for_other_ends() {
    const FILE_BYTES: usize = 3 << 20;
    let directory = tempfile::tempdir().unwrap();
    let launch = Launch::new(stage::BINARY)
        .args(["--single-process", "--strict-contract", "--warm-sandboxes", "1", "--workers", "3"])
        .arg("--data-dir")
        .arg(directory.path());
    let server = within_tmpfs(launch, directory.path(), "size=64m").start();
    let client = server.client();
    let inside = format!("/proc/{}/root{}", server.pid(), directory.path().display());
    let ballast = Path::new(&inside).join("ballast");
    std::fs::write(&ballast, vec![1; 24 << 20]).unwrap();
    // One that ends when the disk is full, and leaves nothing.
    let small = client.submit_code("import time; time.sleep(20); print('ended')").await;
    client.wait_for_status(&small, "running").await;
    let code = format!(
        "import os\nfor name in 'ab': open('/output/' + name, 'wb').write(os.urandom({FILE_BYTES}))"
    );
    let mut accepted = Vec::new();
    // 40 MiB are free, and each takes 6 of them.
    for _ in 0..8 {
        let answer = client.post("/eval", &json!({ "code": code })).await;
        if answer.status == 202 {
            accepted.push(answer.json()["id"].as_str().unwrap().to_owned());
        }
    }
    let is_full = || server.stderr().contains("no work is accepted");
    harness::eventually("an end without room", Duration::from_mins(2), is_full).await;
    // The files of an end that had no room are removed again, so that there may be room for a submission.
    let mut file = OpenOptions::new().append(true).open(&ballast).unwrap();
    let refused = harness::eventually_some("a refusal", Duration::from_mins(2), async || {
        while free_bytes(&inside) >= 8 << 20 {
            file.write_all(&vec![1; 1 << 16]).unwrap();
        }
        let answer = client.post("/eval", &json!({ "code": "pass" })).await;
        (answer.status != 202).then_some(answer)
    });
    assert_no_room(&refused.await);
    drop(file);
    assert_eq!(client.wait(&small).await["stdout"]["text"], "ended\n");
    let mut waiting = 0;
    for id in &accepted {
        waiting += usize::from(client.evaluation(id).await["outcome"].is_null());
    }
    assert!(waiting > 0, "the disk has room for all");
    // Half of the reserve of an eighth is left to the database, and so to deletions.
    let free = free_bytes(&inside);
    assert!(free >= 4 << 20, "{free} bytes are free");
    std::fs::remove_file(&ballast).unwrap();
    for id in &accepted {
        let ended = client.wait(id).await;
        assert_eq!(ended["outcome"], "exited", "{ended}");
        for number in 0..2 {
            let file = client.get(&format!("/eval/{id}/artifacts/{number}")).await;
            assert_eq!((file.status, file.body.len()), (200, FILE_BYTES), "{id} {number}");
        }
    }
    harness::eventually_some("work again", Duration::from_secs(30), async || {
        (client.post("/eval", &json!({ "code": "pass" })).await.status == 202).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_torn_end_of_the_wal_loses_nothing_that_was_answered() {
    let directory = tempfile::tempdir().unwrap();
    let wal = directory.path().join("crucible.db-wal");
    let mut seen: Vec<Value> = Vec::new();
    for torn in [&b"half a frame that was being written"[..], &[0; 4096], &[0xff; 10_000]] {
        let server = stage::start(directory.path());
        let client = server.client();
        for before in &seen {
            let now = client.evaluation(before["id"].as_str().unwrap()).await;
            assert_eq!(now, *before);
        }
        seen.push(client.run("print('kept')").await);
        server.kill();
        // What a crash leaves of a transaction that was not answered.
        OpenOptions::new().append(true).open(&wal).unwrap().write_all(torn).unwrap();
    }
    let server = stage::start(directory.path());
    for before in &seen {
        assert_eq!(server.client().evaluation(before["id"].as_str().unwrap()).await, *before);
    }
    let (code, report) = command(directory.path(), &["doctor"]);
    assert_eq!(code, Some(0), "{report}");
}

#[tokio::test]
async fn a_wal_without_its_last_page_still_opens() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::start(directory.path());
    server.client().run("print(1)").await;
    server.kill();
    let wal =
        OpenOptions::new().write(true).open(directory.path().join("crucible.db-wal")).unwrap();
    let length = wal.metadata().unwrap().len();
    wal.set_len(length - 2048).unwrap();
    let server = stage::start(directory.path());
    assert_eq!(server.client().run("print(2)").await["stdout"]["text"], "2\n");
    let (code, report) = command(directory.path(), &["doctor"]);
    assert_eq!(code, Some(0), "{report}");
}

#[tokio::test]
async fn a_long_reader_does_not_stop_the_server_and_the_wal_is_reset_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::start(directory.path());
    let client = server.client();
    let wal = || directory.path().join("crucible.db-wal").metadata().unwrap().len();
    let load = async || {
        for _ in 0..8 {
            // Progress events of a megabyte each.
            client.run("print('x' * 1_000_000)").await;
        }
    };
    let reader = database(directory.path());
    reader.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();
    load().await;
    assert!(wal() > 4 << 20, "{}", wal());
    reader.execute_batch("COMMIT").unwrap();
    load().await;
    let before = wal();
    load().await;
    assert_eq!(wal(), before, "it is written from its start again");
}
