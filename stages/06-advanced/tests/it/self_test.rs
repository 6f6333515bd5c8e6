//! A run of the self tests: it belongs to the server, and touches nothing of a client.

use std::collections::BTreeSet;
use std::time::Duration;

use harness::{Client, Method, Server, eventually, eventually_some, launch};
use serde_json::{Value, json};

use crate::http::{OPEN, self_test};

fn open(args: &[&str]) -> Server {
    launch!().args(OPEN).args(args).start()
}

async fn start(client: &Client, path: &str) -> (u16, String, Value) {
    let response = client.send(client.request(Method::POST, path)).await;
    (response.status, response.header("location").to_owned(), response.json())
}

/// The run at `location`, once it has ended.
async fn end_of(client: &Client, location: &str) -> Value {
    eventually_some("the end of the run", Duration::from_mins(5), async || {
        let run = client.get(location).await.json();
        (run["status"] != "running").then_some(run)
    })
    .await
}

#[tokio::test]
async fn a_run_is_started_joined_and_read() {
    let server = open(&[]);
    let client = server.client();
    let (status, location, run) = start(&client, "/self-test?suite=true").await;
    assert_eq!((status, &run["status"], &run["passed"]), (202, &json!("running"), &Value::Null));
    assert_eq!(location, format!("/self-test/{}", run["id"].as_str().unwrap()));
    // A request during a run joins it: there are never two.
    let joined = futures_util::future::join_all((0..20).map(|_| start(&client, "/self-test")));
    let joined: BTreeSet<_> = joined.await.into_iter().map(|(_, location, _)| location).collect();
    assert_eq!(joined, BTreeSet::from([location.clone()]));
    let ended = end_of(&client, &location).await;
    assert_eq!((&ended["status"], &ended["passed"]), (&json!("completed"), &json!(true)));
    assert!(ended["checks"].as_array().unwrap().len() > 20 && ended["suite"] == true, "{ended:#}");
    // The next one is another, and a client may wait for it.
    let request = client.request(Method::POST, "/self-test").header("prefer", "wait=60");
    let response = client.send(request).await;
    assert_eq!((response.status, response.header("preference-applied")), (200, "wait=60"));
    assert_ne!(response.header("location"), location);
    assert_eq!(response.json()["suite"], false);
    assert_eq!(client.get(&location).await.json(), ended, "the first is kept");
    let request = client.request(Method::POST, "/self-test").header("prefer", "wait=soon");
    assert_eq!(client.send(request).await.status, 400);
    assert_eq!(server.stop(), Some(0));
}

/// Four programs that sleep on four workers, and whether the platform takes work beside them.
async fn assert_busy_is_not_broken(server: &Server, limit: Duration) {
    let client = server.client();
    let sleeping = json!({ "code": "import time; time.sleep(290)", "timeout_seconds": 300 });
    for _ in 0..4 {
        client.submit(&sleeping).await;
    }
    eventually_some("all workers are busy", limit, async || {
        let queue = client.get("/queue").await.json();
        (queue["workers_busy"] == 4).then_some(())
    })
    .await;
    let (status, run) = self_test(&client, "/self-test").await;
    assert_eq!((status, &run["passed"]), (200, &json!(true)), "{run:#}");
    let (status, run) = self_test(&client, "/self-test?suite=true").await;
    assert_eq!((status, &run["passed"]), (200, &json!(true)), "{run:#}");
    assert_eq!(client.get("/health?ready=true").await.status, 200);
    assert_eq!(client.post("/eval", &json!({ "code": "print(1)" })).await.status, 202);
    let queue = client.get("/queue").await.json();
    assert_eq!((&queue["workers_busy"], &queue["depth"]), (&json!(4), &json!(1)), "{queue}");
}

#[tokio::test]
async fn four_programs_that_sleep_are_no_failure() {
    let server = open(&["--drain-seconds", "0.1"]);
    assert_busy_is_not_broken(&server, Duration::from_secs(20)).await;
    assert_eq!(server.stop(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn four_programs_that_sleep_in_gvisor_are_no_failure() {
    let server = harness::server!("--drain-seconds", "0.1", "--workers", "4");
    assert_busy_is_not_broken(&server, Duration::from_mins(1)).await;
    assert_eq!(server.stop(), Some(0));
}

async fn ids(client: &Client) -> Vec<String> {
    let page = client.get("/eval?limit=100").await.json();
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

/// All metrics but those that change by themselves.
async fn counters(client: &Client) -> Vec<String> {
    let metrics = client.get("/metrics").await.text();
    metrics.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_self_test_evicts_nothing_and_no_label_of_a_client_disturbs_it() {
    let server = open(&["--storage-entries", "10"]);
    let client = server.client();
    for label in ["pages", "filters", "found", "room"] {
        let labels = json!({ "crucible.self_test": label });
        client.eval(&json!({ "code": "print(1)", "labels": labels })).await;
    }
    for _ in 0..6 {
        client.run("print(2)").await;
    }
    let (before, counted) = (ids(&client).await, counters(&client).await);
    assert_eq!(before.len(), 10, "the storage is full");
    for _ in 0..2 {
        let (status, run) = self_test(&client, "/self-test?suite=true").await;
        assert_eq!((status, &run["passed"]), (200, &json!(true)), "{run:#}");
    }
    assert_eq!(ids(&client).await, before, "a stored evaluation was evicted, or one was added");
    assert_eq!(counters(&client).await, counted, "a metric has changed");
}

#[tokio::test]
async fn no_reader_of_events_sees_a_self_test() {
    let server = open(&[]);
    let client = server.client();
    let mut feed = client.all_events(None).await;
    let (_, run) = self_test(&client, "/self-test?suite=true").await;
    assert_eq!(run["passed"], true, "{run:#}");
    let id = client.run("print(1)").await["id"].as_str().unwrap().to_owned();
    let mut subjects = BTreeSet::new();
    loop {
        let event = feed.next().await.unwrap();
        // Those of the platform and of its workers have none.
        subjects.extend(event.envelope["subject"].as_str().map(str::to_owned));
        if event.kind == "storage.saved" {
            break;
        }
    }
    assert_eq!(subjects, BTreeSet::from([id]), "these have events, and a client submitted one");
}

/// The processes whose parent is this one, and theirs.
fn descendants(pid: u32) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let stat = |path: std::path::PathBuf| std::fs::read_to_string(path.join("stat")).ok();
    let parents: Vec<(u32, u32)> = entries
        .filter_map(|entry| {
            let text = stat(entry.path())?;
            let parent = text.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
            Some((text.split(' ').next()?.parse().ok()?, parent))
        })
        .collect();
    let mut family = vec![pid];
    let mut at = 0;
    while at < family.len() {
        let parent = family[at];
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| child));
        at += 1;
    }
    family.split_off(1)
}

/// Whether a process exists that is no zombie.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_disconnects_changes_nothing() {
    let server = open(&["--workers", "1"]);
    let client = server.client();
    let idle = descendants(server.pid()).len();
    let mut locations = BTreeSet::new();
    for delay_ms in [1, 20, 100, 300] {
        let impatient = server.client();
        let hung_up = tokio::time::timeout(Duration::from_millis(delay_ms), async {
            self_test(&impatient, "/self-test?suite=true").await
        });
        drop(hung_up.await);
        let (_, location, _) = start(&client, "/self-test?suite=true").await;
        locations.insert(location);
    }
    // Each of them has met the run of the first, or of one that started after its end.
    for location in &locations {
        let run = end_of(&client, location).await;
        assert_eq!(
            (&run["status"], &run["passed"]),
            (&json!("completed"), &json!(true)),
            "{run:#}"
        );
    }
    let queue = client.get("/queue").await.json();
    assert_eq!((&queue["workers_busy"], &queue["depth"]), (&json!(0), &json!(0)));
    // A killed process takes a moment to be reaped.
    let pid = server.pid();
    eventually("no program is left", Duration::from_secs(20), || descendants(pid).len() <= idle)
        .await;
    assert_eq!(server.stop(), Some(0));
}

/// The directories that a server without isolation has for its programs. The engine is in the process
/// that was started, or in the one that it started.
fn directories(pid: u32) -> usize {
    let entries = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    let mark = format!(".{pid}.");
    entries.filter(|entry| entry.file_name().to_string_lossy().contains(&mark)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_terminated_during_a_run_ends_it_and_answers_its_client() {
    for delay_ms in [0, 50, 200, 500, 1_000] {
        let server = open(&["--drain-seconds", "1"]);
        let (pid, client) = (server.pid(), server.client());
        let waiting = tokio::spawn(async move {
            let request = client.request(Method::POST, "/self-test?suite=true");
            let response = request.header("prefer", "wait=300").send().await;
            response.ok()?.json::<Value>().await.ok()
        });
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        let children = descendants(pid);
        assert_eq!(server.stop(), Some(0), "after {delay_ms} ms, with processes {children:?}");
        let is_left = || children.iter().any(|child| is_alive(*child));
        eventually("no process is left", Duration::from_secs(5), || !is_left()).await;
        assert_eq!(directories(pid), 0, "after {delay_ms} ms");
        // The client has an end, or the server was gone before the request.
        if let Some(run) = waiting.await.unwrap() {
            let status = run["status"].as_str().unwrap_or("none");
            assert!(["cancelled", "completed", "none"].contains(&status), "{run:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_docker_that_is_terminated_during_a_run_leaves_no_container() {
    for delay_ms in [0, 100, 500, 1_000, 2_000] {
        let server = harness::server!("--engine", "docker", "--drain-seconds", "1");
        let (pid, client) = (server.pid(), server.client());
        let (status, _, _) = start(&client, "/self-test?suite=true").await;
        assert_eq!(status, 202);
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        assert_eq!(server.stop(), Some(0), "after {delay_ms} ms");
        assert_eq!(harness::containers_of(pid, false), [""; 0], "after {delay_ms} ms");
    }
}
