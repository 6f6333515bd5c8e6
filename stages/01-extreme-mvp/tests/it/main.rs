//! Stage 1 from outside: the real binary, real HTTP, real Python.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use harness::{Method, Server};
use serde_json::{Value, json};

fn start() -> Server {
    harness::launch!().env("CRUCIBLE_SECRET", "canary-4711").start()
}

async fn post(server: &Server, body: String) -> (u16, Value) {
    let client = server.client();
    client.send(client.request(Method::POST, "/eval").body(body)).await.parts()
}

async fn run(server: &Server, code: &str) -> Value {
    let (status, answer) = post(server, json!({ "code": code }).to_string()).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

#[tokio::test]
async fn it_runs_what_it_is_sent() {
    let server = start();
    assert_eq!(run(&server, "print(6 * 7)").await, json!({"output": "42\n", "error": ""}));
    let failed = run(&server, "1/0").await;
    assert!(failed["error"].as_str().unwrap().contains("ZeroDivisionError"), "{failed}");
}

#[tokio::test]
async fn a_program_has_all_that_the_server_has() {
    let server = start();
    let leak = run(&server, "import os; print(os.environ['CRUCIBLE_SECRET'])").await;
    assert_eq!(leak["output"], "canary-4711\n");
}

#[tokio::test]
async fn a_program_of_a_megabyte_arrives_whole() {
    let server = start();
    let code = format!("x = '{}'\nprint(len(x))", "y".repeat(1 << 20));
    assert_eq!(run(&server, &code).await["output"], "1048576\n");
}

#[tokio::test]
async fn one_program_at_a_time() {
    let server = start();
    let started = std::env::temp_dir().join(format!("one-program-{}", std::process::id()));
    let code = format!("open({started:?}, 'w'); import time; time.sleep(1); print(time.time())");
    let slow = run(&server, &code);
    let quick = async {
        let is_started = || std::fs::remove_file(&started).is_ok();
        harness::eventually("the slow one runs", std::time::Duration::from_mins(1), is_started)
            .await;
        run(&server, "import time; print(time.time())").await
    };
    let (slow, quick) = tokio::join!(slow, quick);
    let time = |answer: Value| answer["output"].as_str().unwrap().trim().parse::<f64>().unwrap();
    assert!(time(slow) < time(quick), "the quick one did not have to wait");
}

#[tokio::test]
async fn bad_input_is_told_what_to_send() {
    let server = start();
    for body in ["", "{", "[]", r#"{"code": 1}"#, r#"{"kode": ""}"#] {
        let (status, answer) = post(&server, body.to_owned()).await;
        assert_eq!((status, answer["error"].as_str()), (400, Some(r#"send {"code": "..."}"#)));
    }
    assert_eq!(server.client().get("/nothing").await.status, 404);
    let page = server.client().get("/").await.text();
    assert_eq!(page.matches("<button value=").count(), 3);
}

#[test]
fn it_refuses_an_address_that_others_can_reach() {
    for (arguments, says) in [
        (vec!["--listen", "0.0.0.0:0"], "127.0.0.1"),
        (vec!["--listen", "nonsense"], "invalid socket address"),
        (vec!["--listne", "127.0.0.1:0"], "usage"),
    ] {
        let binary = env!("CARGO_BIN_EXE_stage-01-extreme-mvp");
        let ended = Command::new(binary).args(&arguments).output().unwrap();
        assert!(!ended.status.success());
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert!(stderr.contains(says), "{arguments:?}: {stderr}");
    }
}
