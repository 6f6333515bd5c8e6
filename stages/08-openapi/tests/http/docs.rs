//! The page at /docs: its policy, its files, and what a real browser makes of it.

use std::process::Command;

use reqwest::Method;

use crate::server::{OPEN, Server, ended};

#[tokio::test]
async fn the_page_is_under_a_policy_and_all_that_it_loads_is_here() {
    let server = Server::start(&OPEN);
    let page = server.request(Method::GET, "/docs").send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    for directive in
        ["default-src 'none'", "connect-src 'self'", "script-src 'self'", "frame-ancestors 'none'"]
    {
        assert!(policy.split("; ").any(|own| own == directive), "{directive} is not in {policy}");
    }
    assert_eq!(page.headers()["x-content-type-options"], "nosniff");
    assert_eq!(page.headers()["referrer-policy"], "no-referrer");
    let html = page.text().await.unwrap();
    let parts = html.split('"').filter(|part| part.starts_with("/docs/"));
    let mut kinds = Vec::new();
    for file in parts {
        let response = server.request(Method::GET, file).send().await.unwrap();
        assert_eq!(response.status(), 200, "{file}");
        kinds.push(response.headers()["content-type"].to_str().unwrap().to_owned());
        assert!(response.bytes().await.unwrap().len() > 100, "{file}");
    }
    assert_eq!(kinds, ["text/css", "text/css", "image/png", "text/javascript", "text/javascript"]);
    server.assert_nothing_broken().await;
}

#[tokio::test]
async fn a_browser_without_a_network_shows_every_operation() {
    let server = Server::start(&OPEN);
    let home = tempfile::tempdir().unwrap();
    let mut browser = Command::new("chromium");
    browser
        .env("HOME", home.path())
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        // Nobody but us can be reached, as on a machine without a network.
        .args(["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--no-first-run"])
        .args(["--enable-logging=stderr", "--virtual-time-budget=20000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", home.path().join("profile").display()))
        .arg(format!("{}/docs", server.url));
    let (code, said) = tokio::task::spawn_blocking(move || ended(&mut browser)).await.unwrap();
    assert_eq!(code, Some(0), "{said}");
    let (_, contract) = server.get("/openapi.json").await;
    let mut shown = 0;
    for (path, operations) in contract["paths"].as_object().unwrap() {
        for operation in operations.as_object().unwrap().values() {
            let Some(id) = operation["operationId"].as_str() else { continue };
            assert!(said.contains(&format!("-{id}\"")), "{path}: {id} is not shown");
            shown += 1;
        }
    }
    assert!(shown > 15, "{shown}");
    for refused in ["Refused to", "Content Security Policy", "Uncaught", "Failed to load"] {
        assert!(!said.contains(refused), "{said}");
    }
}
