//! The real binary, spoken to over HTTP: by a client, by a browser, by whoever reads the contract.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, a panic is the report of a failure"
)]

mod client;
mod docs;
mod fuzz;
mod server;

use std::collections::BTreeSet;
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};
use server::{BINARY, OPEN, Server, answer, ended, folder, tool};

/// What Spectral says about the contract by the rules of this file.
fn spectral(rules: &std::path::Path) -> Vec<String> {
    let mut spectral = Command::new(tool("spectral"));
    spectral.current_dir(folder()).args(["lint", "--format", "json", "--quiet", "openapi.yaml"]);
    let said = spectral.arg("--ruleset").arg(rules).output().unwrap();
    let found: Value = serde_json::from_slice(&said.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&said.stderr)));
    let found = found.as_array().unwrap().iter();
    found.map(|it| format!("{} {}", it["code"].as_str().unwrap(), it["message"])).collect()
}

#[test]
fn spectral_has_nothing_to_say_but_what_the_next_stage_answers() {
    let rules = folder().join(".spectral.yaml");
    assert_eq!(spectral(&rules), [""; 0]);
    // Without the exceptions it finds those, and nothing else.
    let rules = std::fs::read_to_string(rules).unwrap();
    let (all, exceptions) = rules.split_once("rules:\n").unwrap();
    let bare = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    std::fs::write(bare.path(), all).unwrap();
    let name = |line: &str| Some(line.strip_suffix(": off")?.trim().to_owned());
    let exceptions: BTreeSet<_> = exceptions.lines().filter_map(name).collect();
    let found = spectral(bare.path());
    let found: BTreeSet<_> =
        found.iter().map(|it| it.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(found, exceptions);
}

#[tokio::test]
async fn a_program_and_its_events_are_what_the_contract_says() {
    let mut server = Server::start(&OPEN);
    let mut feed = server.request(Method::GET, "/events").send().await.unwrap();
    let code = "import sys; print(sys.stdin.read()); sys.stdout.buffer.write(bytes([255]))";
    for body in [
        json!({ "code": code, "stdin": "in", "files": { "a/b": { "base64": "/w==" } } }),
        json!({ "code": "1/0", "labels": { "a": "b" }, "memory_bytes": 67_108_864.0 }),
        json!({ "code": "while True: pass", "timeout_seconds": 0.5 }),
        json!({ "code": "import os; os.kill(os.getpid(), 11)" }),
        json!({ "code": "while True: print('x' * 999)" }),
    ] {
        let request = server.request(Method::POST, "/eval").header("prefer", "wait=20").json(&body);
        let (status, ended) = answer(request).await;
        assert_eq!(status, 200, "{ended}");
        let path = format!("/eval/{}", ended["id"].as_str().unwrap());
        assert_eq!(server.get(&path).await, (200, ended));
        let events = server.text(&format!("{path}/events")).await;
        assert!(events.matches("event: ").count() >= 3, "{events}");
    }
    let (_, accepted) = answer(
        server
            .request(Method::POST, "/eval")
            .json(&json!({ "code": "import time; time.sleep(60)" })),
    )
    .await;
    let path = format!("/eval/{}", accepted["id"].as_str().unwrap());
    let (status, cancelled) = answer(server.request(Method::DELETE, &path)).await;
    assert_eq!((status, &cancelled["status"]), (200, &json!("cancelled")));
    assert_eq!(answer(server.request(Method::DELETE, &path)).await.0, 409);
    for path in ["/eval?limit=3&status=failed", "/queue", "/status", "/health?ready=true"] {
        assert_eq!(server.get(path).await.0, 200, "{path}");
    }
    let (status, report) = answer(server.request(Method::POST, "/self-test?suite=true")).await;
    assert_eq!((status, &report["passed"]), (200, &json!(true)), "{report:#}");
    server.assert_nothing_broken().await;
    let stopped = tokio::task::spawn_blocking(move || server.stop());
    let mut text = String::new();
    while let Some(chunk) = feed.chunk().await.unwrap() {
        text += &String::from_utf8_lossy(&chunk);
    }
    assert!(text.contains("event: platform.shutdown"), "{text}");
    assert_eq!(stopped.await.unwrap(), Some(0));
}

#[tokio::test]
async fn behind_gvisor_everything_is_what_the_contract_says_too() {
    let server = Server::start(&[]);
    let hungry = json!({ "code": "x = bytearray(1 << 30)", "memory_bytes": 64 << 20 });
    for body in [json!({ "code": "print(6 * 7)" }), hungry] {
        let request = server.request(Method::POST, "/eval").header("prefer", "wait=60").json(&body);
        let (status, ended) = answer(request).await;
        assert_eq!((status, &ended["sandbox"]["engine"]), (200, &json!("gvisor")), "{ended}");
        let events = server.text(&format!("/eval/{}/events", ended["id"].as_str().unwrap())).await;
        assert!(events.contains("event: evaluation."), "{events}");
    }
    let (status, _) = answer(server.request(Method::POST, "/self-test")).await;
    assert_eq!((status, server.get("/status").await.0), (200, 200));
    server.assert_nothing_broken().await;
}

#[tokio::test]
async fn what_is_served_has_the_bounds_that_are_in_force() {
    let server = Server::start(&[&OPEN[..], &["--max-timeout-seconds", "60"]].concat());
    let yaml = server.text("/openapi.yaml").await;
    assert!(yaml.contains("maximum: 60 # --max-timeout-seconds"), "{yaml}");
    let (_, contract) = server.get("/openapi.json").await;
    let submission = &contract["components"]["schemas"]["Submission"]["properties"];
    assert_eq!(submission["timeout_seconds"]["maximum"], 60);
    let too_long = json!({ "code": "", "timeout_seconds": 61 });
    let (status, problem) = answer(server.request(Method::POST, "/eval").json(&too_long)).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/timeout_seconds")));
}

#[tokio::test]
async fn both_web_servers_hold_to_it() {
    for server in ["hyper", "axum"] {
        let server = Server::start(&[&OPEN[..], &["--server", server]].concat());
        let (status, problem) = server.get("/eval?limt=1").await;
        assert_eq!((status, &problem["errors"][0]["in"]), (400, &json!("query")));
        let response = server.request(Method::HEAD, "/openapi.json").send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_ne!(response.headers()["content-length"], "0");
    }
}

#[test]
fn every_component_verifies_itself() {
    let (code, said) = ended(Command::new(BINARY).arg("test").args(OPEN));
    assert_eq!(code, Some(0), "{said}");
    for check in [
        "api: a program goes in, and its end comes out",
        "contract: self test",
        "contract: what can be looked at is what the contract says",
        " 0 failed",
    ] {
        assert!(said.contains(check), "{check} is not in\n{said}");
    }
}

#[test]
fn a_program_is_run_and_the_machine_looked_at() {
    let mut run = Command::new("bash");
    run.args([
        "-c",
        "echo 'import sys; print(6 * 7); sys.exit(3)' | \"$@\"",
        "run",
        BINARY,
        "run",
        "-",
    ]);
    let (code, said) = ended(run.args(OPEN));
    assert!(code == Some(3) && said.contains("42\n"), "{said}");
    let (code, said) = ended(Command::new(BINARY).arg("doctor").args(OPEN));
    assert!(code == Some(0) && said.contains("python3"), "{said}");
    let help: Value = ended(Command::new(BINARY).arg("--help")).1.into();
    for setting in ["--strict-contract", "--generate-client", "--engine", "--server"] {
        assert!(help.as_str().unwrap().contains(setting), "{setting} is not in\n{help}");
    }
}
