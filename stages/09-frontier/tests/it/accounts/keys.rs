//! Keys: made, shown once, stored as a digest, revoked, expired; scopes.

use std::time::Duration;

use harness::{Method, Server, eventually_some};
use serde_json::json;

use super::{Site, Tenants};

/// Waits for a line of the log, which another thread reads.
async fn says(server: &Server, text: &str) {
    let says = || server.stderr().contains(text);
    harness::eventually(text, Duration::from_secs(20), says).await;
}

#[tokio::test]
async fn a_key_is_printed_once_and_works_at_once() {
    let site = Site::new();
    let server = site.start();
    // The server was started without a key, so that it is open, and stays so until it is restarted.
    says(&server, "open: there are no keys").await;
    assert_eq!(server.client().get("/queue").await.status, 200);
    let output = site.command(&["keys", "create", "--name", "ci", "--scope", "read"]);
    assert!(output.status.success(), "{output:?}");
    let key = String::from_utf8(output.stdout).unwrap();
    assert_eq!(key.trim().len(), 37, "{key}");
    assert!(key.starts_with("crk_") && key.ends_with('\n') && key.lines().count() == 1, "{key}");
    assert!(!String::from_utf8(output.stderr).unwrap().contains(key.trim()));
    drop(server);
    let server = site.start();
    says(&server, "clients need a key").await;
    assert_eq!(server.client().get("/queue").await.status, 401);
    assert_eq!(server.client().with_key(key.trim()).get("/queue").await.status, 200);
    // One that is made while the server runs works as well.
    let second = site.key("second", &["submit", "read"]);
    assert_eq!(server.client().with_key(&second).run("print(1)").await["stdout"]["text"], "1\n");
    let list = site.output(&["keys", "list"]);
    assert!(!list.contains("crk_") && list.lines().count() == 2, "{list}");
}

#[tokio::test]
async fn a_key_is_stored_nowhere() {
    let Tenants { site, server, alice, .. } = Tenants::new();
    let key = site.key("secret", &["admin"]);
    assert_eq!(server.client().with_key(&key).get("/status").await.status, 200);
    alice.run("print(1)").await;
    let log = server.stderr();
    drop(server);
    assert!(!log.contains("crk_0") && !log.contains(&key), "{log}");
    for file in std::fs::read_dir(site.path()).unwrap() {
        let path = file.unwrap().path();
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let found = bytes.windows(key.len()).any(|bytes| bytes == key.as_bytes());
        assert!(!found, "{}", path.display());
    }
}

#[tokio::test]
async fn every_refusal_looks_the_same() {
    let Tenants { site, server, .. } = Tenants::with(&["--rate-limit", "10000"]);
    let client = server.client();
    let revoked = site.key("revoked", &["admin"]);
    let id = site.id_of("revoked");
    site.output(&["keys", "revoke", &id]);
    let expired = site.key("expired", &["admin"]);
    expire(&site, "expired");
    let mut wrong = site.key("other", &["admin"]);
    let last = if wrong.pop() == Some('0') { '1' } else { '0' };
    wrong.push(last);
    let bearer = |key: &str| Some(format!("Bearer {key}"));
    let mut seen = Vec::new();
    for authorization in [
        None,
        bearer(&revoked),
        bearer(&expired),
        bearer(&wrong),
        bearer("crk_"),
        bearer("'; DROP TABLE keys; --"),
        Some("Basic YWRtaW46YWRtaW4=".to_owned()),
        Some("Bearer".to_owned()),
        Some(String::new()),
    ] {
        for (method, path) in [
            (Method::GET, "/eval"),
            (Method::POST, "/eval"),
            (Method::GET, "/events"),
            (Method::GET, "/metrics"),
            (Method::POST, "/self-test"),
            (Method::DELETE, "/eval/00000000-0000-7000-8000-000000000000"),
        ] {
            let mut request = client.request(method.clone(), path).header("x-request-id", "same");
            if let Some(value) = &authorization {
                request = request.header("authorization", value);
            }
            if method == Method::POST && path == "/eval" {
                request = request.json(&json!({ "code": "print(1)" }));
            }
            let response = client.send(request).await;
            assert_eq!(response.status, 401, "{authorization:?} {path}: {response:?}");
            let mut headers = response.headers.clone();
            headers.remove("date");
            headers.remove("connection");
            seen.push((headers, response.json()));
        }
    }
    assert_eq!(seen[0].0["www-authenticate"], "Bearer realm=\"crucible\"");
    assert_eq!(seen[0].1["status"], 401);
    for other in &seen[1..] {
        assert_eq!(other, &seen[0]);
    }
}

/// Lets the key of this name expire.
fn expire(site: &Site, name: &str) {
    let database = rusqlite::Connection::open(site.database()).unwrap();
    database.busy_timeout(Duration::from_secs(10)).unwrap();
    let update = "UPDATE keys SET expires_at = 1 WHERE name = ?1";
    assert_eq!(database.execute(update, [name]).unwrap(), 1);
}

#[tokio::test]
async fn a_revoked_key_stops_working() {
    let Tenants { site, alice, server, .. } = Tenants::new();
    assert_eq!(alice.get("/queue").await.status, 200);
    let id = site.id_of("alice");
    site.output(&["keys", "revoke", &id]);
    let ended = async || Some(alice.get("/queue").await.status).filter(|status| *status == 401);
    eventually_some("the key is refused", Duration::from_secs(10), ended).await;
    let again = site.command(&["keys", "revoke", &id]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("revoked before"), "{again:?}");
    assert!(!site.command(&["keys", "revoke", "nothing"]).status.success());
    assert!(site.output(&["keys", "list"]).contains("\trevoked\t"));
    // The last key that is revoked does not open the server.
    for name in ["mallory", "admin"] {
        site.output(&["keys", "revoke", &site.id_of(name)]);
    }
    drop(server);
    let server = site.start();
    assert_eq!(server.client().get("/queue").await.status, 401);
}

#[tokio::test]
async fn a_revoked_key_loses_its_streams() {
    let Tenants { site, alice, server: _server, .. } = Tenants::new();
    let id = alice.submit_code("import time; time.sleep(60)").await;
    let mut own = alice.events(&id).await;
    let mut all = alice.all_events(None).await;
    own.until("evaluation.started").await;
    site.output(&["keys", "revoke", &site.id_of("alice")]);
    while own.next().await.is_some() {}
    while all.next().await.is_some() {}
}

#[tokio::test]
async fn a_scope_allows_nothing_else() {
    let Tenants { site, server, alice, .. } = Tenants::new();
    let only = |scope: &str| server.client().with_key(&site.key(scope, &[scope]));
    let (reader, submitter) = (only("read"), only("submit"));
    let program = json!({ "code": "print(1)" });
    let refused = reader.post("/eval", &program).await;
    assert_eq!(refused.status, 403);
    let challenge = refused.headers["www-authenticate"].to_str().unwrap();
    assert!(challenge.contains("insufficient_scope") && challenge.contains("\"submit\""));
    let id = submitter.submit(&program).await;
    for path in ["/eval", "/events", "/queue", "/status", "/metrics", &format!("/eval/{id}")] {
        assert_eq!(submitter.get(path).await.status, 403, "{path}");
        let head = submitter.send(submitter.request(Method::HEAD, path)).await;
        assert_eq!(head.status, 403, "{path}");
    }
    assert_eq!(reader.delete(&format!("/eval/{id}")).await.status, 403);
    for client in [&reader, &submitter, &alice] {
        assert_eq!(client.post("/self-test", &json!({})).await.status, 403);
    }
    // What a header or a query claims about the method or the key changes nothing.
    for (name, value) in [
        ("x-http-method-override", "GET"),
        ("x-forwarded-user", "admin"),
        ("x-original-url", "/health"),
        ("x-crucible-scope", "admin"),
    ] {
        let request = reader.request(Method::POST, "/eval").header(name, value).json(&program);
        assert_eq!(reader.send(request).await.status, 403, "{name}");
    }
    // The refusals are in the audit log.
    drop(server);
    let rows = audit_rows(&site);
    assert!(rows.iter().any(|row| row == "access.refuse POST /eval"), "{rows:?}");
}

fn audit_rows(site: &Site) -> Vec<String> {
    let database = rusqlite::Connection::open(site.database()).unwrap();
    let mut select = database.prepare("SELECT action || ' ' || target FROM audit").unwrap();
    select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

#[tokio::test]
async fn what_needs_no_key_is_served_without_one() {
    let Tenants { server, site: _site, .. } = Tenants::new();
    let client = server.client();
    for path in ["/health", "/", "/page.js", "/page.css", "/docs", "/openapi.yaml", "/openapi.json"]
    {
        assert_eq!(client.get(path).await.status, 200, "{path}");
        // A wrong key is refused nevertheless: the client should learn of it.
        assert_eq!(client.with_key("crk_wrong").get(path).await.status, 401, "{path}");
    }
}

#[test]
fn wrong_command_lines_are_refused() {
    let site = Site::new();
    for arguments in [
        &["keys", "create", "--name", "a"][..],
        &["keys", "create", "--scope", "read"],
        &["keys", "create", "--name", "a", "--scope", "root"],
        &["keys", "create", "--name", "", "--scope", "read"],
        &["keys", "create", "--name", "a\u{1b}[31m", "--scope", "read"],
        &["keys", "create", "--name", "a", "--scope", "read", "--expires-days", "0"],
        &["keys", "create", "--name", "a", "--scope", "read", "--storage", "memory"],
        &["keys", "revoke"],
        &["audit", "verify", "--head", "x"],
    ] {
        let output = site.command(arguments);
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?} {output:?}");
    }
    let key = site.key("a", &["read"]);
    let output = site.command(&["keys", "revoke", &key]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && !text.contains(&key), "{text}");
}
