//! The real binary, spoken to over HTTP as a client does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, a panic is the report of a failure"
)]

mod metrics;
mod server;
mod streams;

use std::process::Command;

use reqwest::StatusCode;
use server::{Server, binary};

#[tokio::test]
async fn the_page_brings_its_own_files_and_allows_no_others() {
    let server = Server::start(&[]).await;
    let page = server.get("/").send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let html = page.text().await.unwrap();
    assert!(html.contains("<title>Crucible: stage-03-monitoring</title>"), "{html}");
    assert!(!html.contains("{{"), "{html}");
    for (file, media) in [("/page.js", "text/javascript"), ("/page.css", "text/css")] {
        assert!(html.contains(&format!("\"{file}\"")), "{html}");
        let answer = server.get(file).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], media);
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    }
}

#[tokio::test]
async fn the_queue_of_stage_two_is_still_there() {
    let server = Server::start(&[]).await;
    let answer = server.submit_and_wait("print(6 * 7)").await;
    assert_eq!(answer["stdout"]["text"], "42\n");
    assert_eq!(server.get("/queue").send().await.unwrap().status(), StatusCode::OK);
    let id = answer["id"].as_str().unwrap();
    let gone = server.delete(&format!("/eval/{id}")).send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::CONFLICT);
}

#[test]
fn every_component_verifies_itself() {
    let output = Command::new(binary()).arg("test").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for check in ["monitor: self test", "events keep their order", "what is emitted is counted"] {
        assert!(text.contains(check), "{check} is not in\n{text}");
    }
    assert!(text.contains(" 0 failed"), "{text}");
}
