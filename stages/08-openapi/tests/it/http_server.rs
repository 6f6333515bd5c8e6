//! The real binary over HTTP, in strict mode.

use std::process::Command;

use harness::{Method, Server};
use serde_json::{Value, json};

use crate::stage::{BINARY, UNSANDBOXED, assert_no_violation, run, unsandboxed};

async fn submit(server: &Server, body: &Value) -> (u16, Value) {
    let client = server.client();
    let request = client.request(Method::POST, "/eval").header("prefer", "wait=60").json(body);
    client.send(request).await.parts()
}

#[tokio::test]
async fn a_program_and_its_events_are_within_the_contract() {
    let server = unsandboxed();
    let client = server.client();
    let feed = client.all_events(None).await;
    let code = "import sys; print(sys.stdin.read()); sys.stdout.buffer.write(bytes([255]))";
    for body in [
        json!({ "code": code, "stdin": "in", "files": { "a/b": { "base64": "/w==" } } }),
        json!({ "code": "1/0", "labels": { "a": "b" }, "memory_bytes": 67_108_864.0 }),
        json!({ "code": "while True: pass", "timeout_seconds": 0.5 }),
        json!({ "code": "import os; os.kill(os.getpid(), 11)" }),
        json!({ "code": "while True: print('x' * 999)" }),
    ] {
        let (status, ended) = submit(&server, &body).await;
        assert_eq!(status, 200, "{ended}");
        let path = format!("/eval/{}", ended["id"].as_str().unwrap());
        assert_eq!(client.get(&path).await.parts(), (200, ended));
        let events = client.get(&format!("{path}/events")).await.text();
        assert!(events.matches("event: ").count() >= 3, "{events}");
    }
    let id = client.submit_code("import time; time.sleep(60)").await;
    let path = format!("/eval/{id}");
    let (status, cancelled) = client.delete(&path).await.parts();
    assert_eq!((status, &cancelled["status"]), (200, &json!("cancelled")));
    assert_eq!(client.delete(&path).await.status, 409);
    for path in ["/eval?limit=3&status=failed", "/queue", "/status", "/health?ready=true"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    let request = client.request(Method::POST, "/self-test?suite=true");
    let started = client.send(request).await;
    assert_eq!((started.status, &started.json()["status"]), (202, &json!("running")));
    let request = client.request(Method::POST, "/self-test").header("prefer", "wait=300");
    let (status, report) = client.send(request).await.parts();
    assert_eq!((status, &report["passed"]), (200, &json!(true)), "{report:#}");
    assert_eq!(client.get(started.header("location")).await.parts(), (200, report));
    assert_no_violation(&server).await;
    let stopped = tokio::task::spawn_blocking(move || server.stop());
    let events = feed.rest().await;
    assert!(harness::kinds(&events).contains(&"platform.shutdown"), "{events:?}");
    assert_eq!(stopped.await.unwrap(), Some(0));
}

#[tokio::test]
async fn in_gvisor_everything_is_within_the_contract_too() {
    let server = harness::server!("--strict-contract");
    let client = server.client();
    let hungry = json!({ "code": "x = bytearray(1 << 30)", "memory_bytes": 64 << 20 });
    for body in [json!({ "code": "print(6 * 7)" }), hungry] {
        let (status, ended) = submit(&server, &body).await;
        assert_eq!((status, &ended["sandbox"]["engine"]), (200, &json!("gvisor")), "{ended}");
        let events =
            client.get(&format!("/eval/{}/events", ended["id"].as_str().unwrap())).await.text();
        assert!(events.contains("event: evaluation."), "{events}");
    }
    let request = client.request(Method::POST, "/self-test").header("prefer", "wait=300");
    let status = client.send(request).await.status;
    assert_eq!((status, client.get("/status").await.status), (200, 200));
    assert_no_violation(&server).await;
}

#[tokio::test]
async fn what_is_served_has_the_configured_bounds() {
    let launch = harness::launch!("--strict-contract", "--max-timeout-seconds", "60");
    let server = launch.args(UNSANDBOXED).start();
    let client = server.client();
    let yaml = client.get("/openapi.yaml").await.text();
    assert!(yaml.contains("maximum: 60 # --max-timeout-seconds"), "{yaml}");
    let contract = client.get("/openapi.json").await.json();
    let submission = &contract["components"]["schemas"]["Submission"]["properties"];
    assert_eq!(submission["timeout_seconds"]["maximum"], 60);
    let too_long = json!({ "code": "", "timeout_seconds": 61 });
    let (status, problem) = client.post("/eval", &too_long).await.parts();
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/timeout_seconds")));
}

#[tokio::test]
async fn both_web_servers_are_checked_against_it() {
    for server in ["hyper", "axum"] {
        let launch = harness::launch!("--strict-contract", "--server", server);
        let server = launch.args(UNSANDBOXED).start();
        let client = server.client();
        let (status, problem) = client.get("/eval?limt=1").await.parts();
        assert_eq!((status, &problem["errors"][0]["in"]), (400, &json!("query")));
        let response = client.send(client.request(Method::HEAD, "/openapi.json")).await;
        assert_eq!(response.status, 200);
        assert_ne!(response.header("content-length"), "0");
    }
}

#[test]
fn every_component_verifies_itself() {
    let (code, output) = run(Command::new(BINARY).arg("test").args(UNSANDBOXED));
    assert_eq!(code, Some(0), "{output}");
    for check in [
        "api: a program goes in, and its end comes out",
        "contract: self test",
        "contract: what can be looked at is what the contract says",
        " 0 failed",
    ] {
        assert!(output.contains(check), "{check} is not in\n{output}");
    }
}

#[test]
fn a_program_runs_and_the_machine_is_checked() {
    let mut bash = Command::new("bash");
    bash.args([
        "-c",
        "echo 'import sys; print(6 * 7); sys.exit(3)' | \"$@\"",
        "run",
        BINARY,
        "run",
        "-",
    ]);
    let (code, output) = run(bash.args(UNSANDBOXED));
    assert!(code == Some(3) && output.contains("42\n"), "{output}");
    let (code, output) = run(Command::new(BINARY).arg("doctor").args(UNSANDBOXED));
    assert!(code == Some(0) && output.contains("python3"), "{output}");
    let help: Value = run(Command::new(BINARY).arg("--help")).1.into();
    for setting in ["--strict-contract", "--generate-client", "--engine", "--server"] {
        assert!(help.as_str().unwrap().contains(setting), "{setting} is not in\n{help}");
    }
}
