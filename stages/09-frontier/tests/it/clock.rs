//! A clock that goes back by two days while the server runs.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use harness::{Client, Launch};
use serde_json::json;
use tempfile::TempDir;

use crate::accounts::{BINARY, Site};

/// Adds the seconds in a file to the time of day, and to no other clock, as a correction of it does.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, id, time);
    const char *path = getenv("TEST_CLOCK_FILE");
    if (result == 0 && id == CLOCK_REALTIME && path) {
        long seconds = 0;
        FILE *file = fopen(path, "r");
        if (file) {
            if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
            fclose(file);
        }
        time->tv_sec += seconds;
    }
    return result;
}
"#;

const TWO_DAYS: u32 = 2 * 86_400;

struct Clock(TempDir);

impl Clock {
    fn new() -> Self {
        let clock = Self(tempfile::tempdir().unwrap());
        clock.set(0);
        let source = clock.0.path().join("clock.c");
        std::fs::write(&source, SOURCE).unwrap();
        let mut command = Command::new("cc");
        let compiled = command.args(["-shared", "-fPIC", "-o"]).arg(clock.library()).arg(source);
        assert!(compiled.status().unwrap().success());
        clock
    }

    fn library(&self) -> PathBuf {
        self.0.path().join("clock.so")
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("seconds")
    }

    /// Renamed into its place, so that each reader has a whole number.
    fn set(&self, ahead: u32) {
        let temporary = self.0.path().join("next");
        std::fs::write(&temporary, ahead.to_string()).unwrap();
        std::fs::rename(temporary, self.file()).unwrap();
    }

    fn on(&self, launch: Launch) -> Launch {
        launch.env("LD_PRELOAD", self.library()).env("TEST_CLOCK_FILE", self.file())
    }

    /// A key that is valid for a day.
    fn key(&self, site: &Site, name: &str) -> String {
        let create = ["keys", "create", "--name", name, "--scope", "submit", "--scope", "read"];
        let mut command = Command::new(BINARY);
        command.args(create).args(["--expires-days", "1", "--data-dir"]).arg(site.path());
        command.env("LD_PRELOAD", self.library()).env("TEST_CLOCK_FILE", self.file());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// All ids of the list, by pages of two.
async fn listed(client: &Client) -> Vec<String> {
    let (mut ids, mut path) = (Vec::new(), "/eval?limit=2".to_owned());
    loop {
        let page = client.get(&path).await.json();
        let items = page["items"].as_array().unwrap();
        ids.extend(items.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { return ids };
        path = format!("/eval?limit=2&cursor={cursor}");
    }
}

async fn id_of_run(client: &Client) -> String {
    client.run("print(1)").await["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_clock_that_goes_back_loses_nothing_and_changes_no_order_of_ends() {
    let (site, clock) = (Site::new(), Clock::new());
    let early = clock.key(&site, "early");
    clock.set(TWO_DAYS);
    let late = clock.key(&site, "late");
    let launch = || clock.on(site.launch()).args(["--strict-contract", "--workers", "1"]);
    let server = launch().start();
    let client = server.client().with_key(&late);
    let of_early = server.client().with_key(&early);
    assert_eq!(of_early.get("/queue").await.status, 401, "its day is over");
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(id_of_run(&client).await);
    }
    let submitted = client.evaluation(&ids[2]).await["timing"]["submitted_at"].clone();
    clock.set(0);
    assert_eq!(of_early.get("/queue").await.status, 200, "its day is not over");
    for _ in 0..3 {
        ids.push(id_of_run(&client).await);
    }
    let now = client.evaluation(&ids[3]).await["timing"]["submitted_at"].clone();
    assert!(now.as_str() < submitted.as_str(), "the clock has gone back: {submitted} {now}");
    // The ids of one process rise all the same.
    assert!(ids.is_sorted(), "{ids:?}");
    // What waits is counted by a clock that does not go back.
    let blocker = client.submit_code("import time; time.sleep(600)").await;
    client.wait_for_status(&blocker, "running").await;
    let body = |seconds: f64| json!({ "code": "pass", "queue_timeout_seconds": seconds });
    let expired = client.submit(&body(0.2)).await;
    assert_eq!(client.wait(&expired).await["outcome"], "queue_time_exceeded");
    let waiting = client.submit(&body(3600.0)).await;
    ids.extend([blocker, expired, waiting.clone()]);
    let newest_first = |ids: &[String]| ids.iter().rev().cloned().collect::<Vec<_>>();
    assert_eq!(listed(&client).await, newest_first(&ids));
    server.kill();

    // Another start has a clock that is behind what it finds.
    let server = launch().start();
    let client = server.client().with_key(&late);
    assert_eq!(client.wait(&waiting).await["outcome"], "exited", "it has not expired");
    let later = id_of_run(&client).await;
    let mut found = listed(&client).await;
    found.sort();
    let mut expected = ids.clone();
    expected.push(later.clone());
    expected.sort();
    assert_eq!(found, expected, "each is on one page");
    assert_eq!(server.stop(), Some(0));
    assert!(site.output(&["audit", "verify"]).contains("none changed"));

    // The first to end goes first, whatever its times are.
    let server = launch().args(["--storage-entries", "2"]).start();
    let client = server.client().with_key(&late);
    let two = async || (listed(&client).await.len() == 2).then_some(());
    harness::eventually_some("two are left", Duration::from_mins(1), two).await;
    let mut left = [waiting, later];
    left.sort_by(|one, other| other.cmp(one));
    assert_eq!(listed(&client).await, left);
}
