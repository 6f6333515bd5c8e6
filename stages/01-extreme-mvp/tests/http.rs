//! Stage 1 from outside: the real binary, real HTTP, real Python.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

struct Server {
    child: Child,
    url: String,
}

impl Server {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_stage-01-extreme-mvp"))
            .args(["--listen", "127.0.0.1:0"])
            .env("CRUCIBLE_SECRET", "canary-4711")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect(&line).to_owned();
        Self { child, url }
    }

    async fn post(&self, body: String) -> (u16, Value) {
        let url = format!("{}/eval", self.url);
        let answer = reqwest::Client::new().post(url).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn run(&self, code: &str) -> Value {
        let (status, answer) = self.post(json!({ "code": code }).to_string()).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[tokio::test]
async fn it_runs_what_it_is_sent() {
    let server = Server::start();
    assert_eq!(server.run("print(6 * 7)").await, json!({"output": "42\n", "error": ""}));
    let failed = server.run("1/0").await;
    assert!(failed["error"].as_str().unwrap().contains("ZeroDivisionError"), "{failed}");
}

#[tokio::test]
async fn a_program_has_all_that_the_server_has() {
    let server = Server::start();
    let leak = server.run("import os; print(os.environ['CRUCIBLE_SECRET'])").await;
    assert_eq!(leak["output"], "canary-4711\n");
}

#[tokio::test]
async fn a_program_of_a_megabyte_arrives_whole() {
    let server = Server::start();
    let code = format!("x = '{}'\nprint(len(x))", "y".repeat(1 << 20));
    assert_eq!(server.run(&code).await["output"], "1048576\n");
}

#[tokio::test]
async fn one_program_at_a_time() {
    let server = Server::start();
    let slow = server.run("import time; time.sleep(1); print(time.time())");
    let quick = async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        server.run("import time; print(time.time())").await
    };
    let (slow, quick) = tokio::join!(slow, quick);
    let time = |answer: Value| answer["output"].as_str().unwrap().trim().parse::<f64>().unwrap();
    assert!(time(slow) < time(quick), "the quick one did not have to wait");
}

#[tokio::test]
async fn bad_input_is_told_what_to_send() {
    let server = Server::start();
    for body in ["", "{", "[]", r#"{"code": 1}"#, r#"{"kode": ""}"#] {
        let (status, answer) = server.post(body.to_owned()).await;
        assert_eq!((status, answer["error"].as_str()), (400, Some(r#"send {"code": "..."}"#)));
    }
    let missing = reqwest::get(format!("{}/nothing", server.url)).await.unwrap();
    assert_eq!(missing.status(), 404);
    let page = reqwest::get(&server.url).await.unwrap().text().await.unwrap();
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
