//! The real binary over HTTP, as a client uses it.

use harness::{Client, Method, Server, launch};
use serde_json::{Value, json};

/// The engine that needs nothing, for what is not about isolation.
pub(crate) const OPEN: [&str; 3] = ["--engine", "subprocess", "--unsafe"];

fn open() -> Server {
    launch!().args(OPEN).start()
}

async fn get(client: &Client, path: &str) -> (u16, Value) {
    client.get(path).await.parts()
}

async fn send(client: &Client, method: Method, path: &str) -> (u16, Value) {
    client.send(client.request(method, path)).await.parts()
}

/// Starts a run of the self tests and waits for its end.
pub(crate) async fn self_test(client: &Client, path: &str) -> (u16, Value) {
    let request = client.request(Method::POST, path).header("prefer", "wait=300");
    client.send(request).await.parts()
}

fn ids(page: &Value) -> Vec<&str> {
    let items = page["items"].as_array().unwrap();
    items.iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn gvisor_is_the_default_and_verifies_itself_while_it_serves() {
    let server = harness::server!();
    let client = server.client();
    let ended = client.run("print(6 * 7)").await;
    assert_eq!((&ended["stdout"]["text"], &ended["exit_code"]), (&json!("42\n"), &json!(0)));
    assert_eq!(ended["sandbox"]["engine"], "gvisor");
    assert_eq!(ended["sandbox"]["runtime"], "runsc");
    let (status, report) = self_test(&client, "/self-test").await;
    assert_eq!((status, &report["passed"]), (200, &json!(true)), "{report:#}");
    let tested = report["checks"].as_array().unwrap();
    let names: Vec<_> = tested.iter().map(|check| check["component"].as_str().unwrap()).collect();
    assert_eq!(names[1..], ["queue", "monitor", "storage", "platform"], "{names:?}");
    let (_, status) = get(&client, "/status").await;
    assert_eq!((&status["ready"], &status["sandbox"]), (&json!(true), &ended["sandbox"]));
    assert_eq!(status["components"][names[0]]["passed"], true, "{status:#}");
}

#[tokio::test]
async fn a_platform_reports_that_it_lives_and_what_it_runs_on() {
    let server = open();
    let client = server.client();
    for path in ["/health", "/health?ready=true", "/health?ready=false"] {
        assert_eq!(get(&client, path).await, (200, json!({ "status": "alive" })));
    }
    let (_, status) = get(&client, "/status").await;
    assert_eq!(status["stage"], "stage-06-advanced");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["isolation"], "runs programs on this host, with all your rights");
    assert_eq!(status["sandbox"], json!({ "engine": "subprocess" }));
    assert_eq!(status["queue"]["workers"], 4);
    assert_eq!(status["storage"]["max_entries"], 10_000);
    assert_eq!(status["components"]["queue"], Value::Null, "not tested since the start");
    for (method, path, code) in [
        (Method::GET, "/health?ready=yes", 400),
        (Method::GET, "/status?x=1", 400),
        (Method::POST, "/self-test?suite=1", 400),
        (Method::POST, "/health", 405),
        (Method::GET, "/self-test", 405),
        (Method::GET, "/self-test/1", 404),
        (Method::GET, "/self-test/018f0000-0000-7000-8000-000000000000", 404),
        (Method::GET, "/self-test/018f0000-0000-7000-8000-000000000000?x=1", 400),
    ] {
        let (status, problem) = send(&client, method, path).await;
        assert_eq!((status, &problem["status"]), (code, &json!(code)), "{path}");
    }
    assert_eq!(server.stop(), Some(0));
}

#[tokio::test]
async fn what_has_ended_is_stored_and_found_by_filters() {
    let server = open();
    let client = server.client();
    let mut ended = Vec::new();
    for (code, label) in [("print(1)", "a"), ("while True: print('x' * 999)", "b"), ("1/0", "a")] {
        let body = json!({ "code": code, "labels": { "run": label } });
        ended.push(client.eval(&body).await["id"].as_str().unwrap().to_owned());
    }
    for (query, expected) in [
        ("", vec![2, 1, 0]),
        ("?status=failed", vec![1]),
        ("?outcome=exited", vec![2, 0]),
        ("?outcome=output_exceeded", vec![1]),
        ("?label=run:a", vec![2, 0]),
        ("?label=run:a&status=failed", vec![]),
        ("?label=run:c", vec![]),
        ("?label=run%3Aa&limit=1", vec![2]),
    ] {
        let (_, page) = get(&client, &format!("/eval{query}")).await;
        let expected: Vec<_> = expected.iter().map(|at| ended[*at].as_str()).collect();
        assert_eq!(ids(&page), expected, "{query}");
    }
    let (_, page) = get(&client, "/eval?label=run:a&limit=1").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let (_, page) = get(&client, &format!("/eval?label=run:a&limit=1&cursor={cursor}")).await;
    assert_eq!((ids(&page), &page["next_cursor"]), (vec![ended[0].as_str()], &Value::Null));
    for wrong in ["outcome=fine", "label=run", "status=ended", "limit=0", "labels=a:b"] {
        assert_eq!(get(&client, &format!("/eval?{wrong}")).await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn the_storage_is_bounded_and_reports_what_it_removes() {
    let server = launch!().args(OPEN).args(["--storage-entries", "2"]).start();
    let client = server.client();
    let mut feed = client.open("/events").await;
    let mut ended = Vec::new();
    for _ in 0..3 {
        ended.push(client.run("print(1)").await["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(get(&client, &format!("/eval/{}", ended[0])).await.0, 404);
    let gone = send(&client, Method::DELETE, &format!("/eval/{}", ended[0])).await;
    assert_eq!(gone.0, 404);
    assert_eq!(send(&client, Method::DELETE, &format!("/eval/{}", ended[1])).await.0, 409);
    let (_, status) = get(&client, "/status").await;
    assert_eq!(status["storage"]["entries"], 2);
    let mut text = String::new();
    while !text.contains("event: storage.deleted") {
        text += &String::from_utf8_lossy(&feed.chunk().await.unwrap().unwrap());
    }
    let saved = text.matches("event: storage.saved\n").count();
    let deleted = text.split("event: storage.deleted").nth(1).unwrap();
    assert!(saved == 3 && deleted.contains(&ended[0]), "{text}");
}

#[tokio::test]
async fn what_runs_is_cancelled_when_the_platform_shuts_down() {
    let server = open();
    let client = server.client();
    let id = client.submit_code("import time; time.sleep(60)").await;
    let mut stream = client.open(&format!("/eval/{id}/events")).await;
    let mut text = String::new();
    while !text.contains("evaluation.started") {
        text += &String::from_utf8_lossy(&stream.chunk().await.unwrap().unwrap());
    }
    let stopped = tokio::task::spawn_blocking(move || server.stop());
    while let Some(chunk) = stream.chunk().await.unwrap() {
        text += &String::from_utf8_lossy(&chunk);
    }
    assert!(text.contains("event: evaluation.cancelled"), "{text}");
    assert_eq!(stopped.await.unwrap(), Some(0));
}
