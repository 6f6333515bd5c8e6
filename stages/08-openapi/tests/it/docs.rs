//! The page at /docs: its policy, its files, and how a real browser shows it.

use std::process::Command;

use crate::stage::{assert_no_violation, run, unsandboxed};

#[tokio::test]
async fn the_page_has_a_policy_and_loads_files_of_this_server_only() {
    let server = unsandboxed();
    let client = server.client();
    let page = client.get("/docs").await;
    let policy = page.header("content-security-policy").to_owned();
    for directive in
        ["default-src 'none'", "connect-src 'self'", "script-src 'self'", "frame-ancestors 'none'"]
    {
        assert!(policy.split("; ").any(|own| own == directive), "{directive} is not in {policy}");
    }
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    let html = page.text();
    let parts = html.split('"').filter(|part| part.starts_with("/docs/"));
    let mut kinds = Vec::new();
    for file in parts {
        let response = client.get(file).await;
        assert_eq!(response.status, 200, "{file}");
        kinds.push(response.header("content-type").to_owned());
        assert!(response.body.len() > 100, "{file}");
    }
    assert_eq!(kinds, ["text/css", "text/css", "image/png", "text/javascript", "text/javascript"]);
    assert_no_violation(&server).await;
}

#[tokio::test]
async fn a_browser_without_a_network_shows_every_operation() {
    let server = unsandboxed();
    let client = server.client();
    let home = tempfile::tempdir().unwrap();
    let mut browser = Command::new("chromium");
    browser
        .env("HOME", home.path())
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        // Only this server can be reached, as on a machine without a network.
        .args(["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--no-first-run"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", home.path().join("profile").display()))
        .arg(format!("{}/docs", server.url()));
    let (code, output) = tokio::task::spawn_blocking(move || run(&mut browser)).await.unwrap();
    assert_eq!(code, Some(0), "{output}");
    let contract = client.get("/openapi.json").await.json();
    let mut shown = 0;
    for (path, operations) in contract["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            let Some(id) = operation["operationId"].as_str() else { continue };
            assert!(output.contains(&format!("-{id}\"")), "{path}: {id} is not shown");
            shown += 1;
        }
    }
    assert!(shown > 15, "{shown}");
    for refused in ["Refused to", "Content Security Policy", "Uncaught", "Failed to load"] {
        assert!(!output.contains(refused), "{output}");
    }
}
