//! What a restart finds.

use harness::EventStream;
use serde_json::json;

use crate::stage;

#[tokio::test]
async fn what_waited_runs_in_its_order_and_what_ran_is_lost_or_runs_again() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::start(directory.path());
    let client = server.client();
    let slow = "import time; print('out', flush=True); time.sleep(3)";
    let lost = client.submit_code(slow).await;
    let again = client.submit(&json!({ "code": slow, "max_attempts": 2 })).await;
    for id in [&lost, &again] {
        client.wait_until(id, "output", |one| one["stdout"]["bytes_total"] == 4).await;
    }
    let mut waiting = Vec::new();
    for number in 0..4 {
        waiting.push(client.submit_code(&format!("print({number})")).await);
    }
    server.kill();

    let server = stage::start(directory.path());
    let client = server.client();
    let lost = client.evaluation(&lost).await;
    assert_eq!((&lost["status"], &lost["outcome"]), (&json!("failed"), &json!("worker_lost")));
    assert_eq!((&lost["attempt"], &lost["evidence"]["decided_by"]), (&json!(1), &json!("restart")));
    let again = client.wait(&again).await;
    assert_eq!((&again["outcome"], &again["attempt"]), (&json!("exited"), &json!(2)));
    assert_eq!(again["stdout"]["text"], "out\n");
    let mut starts = Vec::new();
    for (number, id) in waiting.iter().enumerate() {
        let ended = client.wait(id).await;
        assert_eq!(ended["stdout"]["text"], format!("{number}\n"));
        starts.push(ended["timing"]["started_at"].as_str().unwrap().to_owned());
    }
    assert!(starts.is_sorted(), "{starts:?}");
    let path = format!("/eval/{}/events", again["id"].as_str().unwrap());
    let mut events = EventStream::new(client.open(&path).await);
    let mut kinds = Vec::new();
    while let Some(event) = events.next().await {
        kinds.push(event.kind.replace("evaluation.", ""));
    }
    kinds.dedup();
    let expected = ["queued", "started", "progress", "queued", "started", "progress", "completed"];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn an_orderly_shutdown_leaves_what_waits_to_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::start(directory.path());
    let client = server.client();
    for _ in 0..2 {
        let id = client.submit_code("import time; time.sleep(1)").await;
        client.wait_for_status(&id, "running").await;
    }
    let waiting = client.submit_code("print('later')").await;
    assert_eq!(server.stop(), Some(0));
    let server = stage::start(directory.path());
    assert_eq!(server.client().wait(&waiting).await["stdout"]["text"], "later\n");
}

#[tokio::test]
async fn attempts_beyond_the_bounds_are_refused_and_memory_runs_once() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::start(directory.path());
    for (attempts, status) in [(0, 422), (11, 422), (10, 202)] {
        let body = json!({ "code": "", "max_attempts": attempts });
        assert_eq!(server.client().post("/eval", &body).await.status, status, "{attempts}");
    }
    let memory = stage::on(directory.path()).args(["--storage", "memory"]).start();
    let refused = memory.client().post("/eval", &json!({ "code": "", "max_attempts": 2 })).await;
    assert_eq!(refused.status, 422, "{refused:?}");
}
