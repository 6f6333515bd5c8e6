//! The real binary, spoken to over HTTP as a client does.

use std::process::Command;

#[tokio::test]
async fn the_page_brings_its_own_files_and_allows_no_others() {
    let server = harness::server!();
    let client = server.client();
    let page = client.get("/").await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let html = page.text();
    assert!(html.contains("<title>Crucible: stage-03-monitoring</title>"), "{html}");
    assert!(!html.contains("{{"), "{html}");
    for (file, media) in [("/page.js", "text/javascript"), ("/page.css", "text/css")] {
        assert!(html.contains(&format!("\"{file}\"")), "{html}");
        let answer = client.get(file).await;
        assert_eq!(answer.header("content-type"), media);
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn the_queue_of_stage_two_is_still_there() {
    let server = harness::server!();
    let client = server.client();
    let evaluation = client.run("print(6 * 7)").await;
    assert_eq!(evaluation["stdout"]["text"], "42\n");
    assert_eq!(client.get("/queue").await.status, 200);
    let id = evaluation["id"].as_str().unwrap();
    let conflict = client.delete(&format!("/eval/{id}")).await;
    assert_eq!(conflict.status, 409);
}

#[test]
fn every_component_verifies_itself() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_stage-03-monitoring")).arg("test").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for check in ["monitor: self test", "events keep their order", "what is emitted is counted"] {
        assert!(text.contains(check), "{check} is not in\n{text}");
    }
    assert!(text.contains(" 0 failed"), "{text}");
}
