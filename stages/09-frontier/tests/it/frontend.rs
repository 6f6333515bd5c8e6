//! The frontend as files over HTTP, and the security test that it starts. What it does in a browser is in `web`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::Method;

use crate::accounts::Site;

#[tokio::test]
async fn the_page_is_isolated() {
    let site = Site::new();
    let server = site.start();
    let page = server.client().get("/").await;
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("referrer-policy", "no-referrer"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(page.header(name), value);
    }
    assert!(page.header("content-security-policy").contains("frame-ancestors 'none'"));
}

#[tokio::test]
async fn a_browser_asks_whether_its_copy_is_the_file() {
    let site = Site::new();
    let server = site.start();
    let client = server.client();
    for (path, media) in [
        ("/page.js", "text/javascript"),
        ("/page.css", "text/css"),
        ("/web/lib/api.js", "text/javascript"),
        ("/web/vendor/uplot.css", "text/css"),
        ("/web/vendor/LICENSES.txt", "text/plain; charset=utf-8"),
    ] {
        let first = client.get(path).await;
        assert_eq!((first.status, first.header("content-type")), (200, media), "{path}");
        assert_eq!(first.header("cache-control"), "no-cache", "{path}");
        let tag = first.header("etag").to_string();
        for (names, status) in
            [(tag.clone(), 304), (format!("\"x\", W/{tag}"), 304), ("\"x\"".into(), 200)]
        {
            let request = client.request(Method::GET, path).header("if-none-match", names);
            let again = client.send(request).await;
            assert_eq!((again.status, again.header("etag")), (status, tag.as_str()), "{path}");
            assert_eq!(again.body.is_empty(), status == 304, "{path}");
        }
    }
    for path in [
        "/web/lib/none.js",
        "/web/lib/..%2fapp.js",
        "/web/../src/web.rs",
        "/web/pages",
        "/web/src/x.js",
    ] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_gets_nothing() {
    let site = Site::new();
    let server = site.start();
    let client = server.client();
    for path in ["/", "/eval", "/events", "/web/lib/api.js"] {
        let request = client.request(Method::GET, path).header("sec-fetch-site", "cross-site");
        let refused = client.send(request.header("sec-fetch-mode", "no-cors")).await;
        assert_eq!(refused.status, 403, "{path}");
    }
    let link = client.request(Method::GET, "/").header("sec-fetch-site", "cross-site");
    let link = link.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document");
    assert_eq!(client.send(link).await.status, 200);
}

/// A browser asks before it sends a key, and sends none with that.
#[tokio::test]
async fn a_page_of_an_allowed_origin_needs_a_key_like_any_client() {
    let site = Site::new();
    let key = site.key("book", &["submit", "read"]);
    let origin = "http://127.0.0.1:3000";
    let server = site.launch().arg("--allow-origin").arg(origin).start();
    let client = server.client();
    let send = async |method, client: &harness::Client, origin| {
        let request = client.request(method, "/eval").header("sec-fetch-site", "same-site");
        client.send(request.header("origin", origin)).await
    };
    let preflight = send(Method::OPTIONS, &client, origin).await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (200, origin));
    assert!(preflight.header("access-control-allow-headers").contains("authorization"));
    let refused = send(Method::GET, &client, origin).await;
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (401, origin));
    let with_key = client.with_key(&key);
    assert_eq!(send(Method::GET, &with_key, origin).await.status, 200);
    assert_eq!(send(Method::GET, &with_key, "http://evil.example").await.status, 403);
}

#[test]
fn the_vendor_bundles_are_what_the_lock_file_gives() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infrastructure/web/bundle.sh");
    let output = Command::new("bash").arg(script).arg("--check").output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// A program in place of the ladder. The server finds it in its environment.
fn ladder(site: &Site, script: &str) -> std::path::PathBuf {
    let path = site.path().join("ladder.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn one_test_at_a_time_and_its_verdicts_are_there() {
    let site = Site::new();
    let (root, reader) = (site.key("root", &["admin"]), site.key("alice", &["read", "submit"]));
    // The address has to be in the configuration for the ladder to get it.
    let free = harness::free_port();
    let (seen, go) = (site.path().join("seen"), site.path().join("go"));
    let verdict = r#"[{"probe":"tenants/batch","verdict":"contained","by":"authorization","must_contain":true}]"#;
    let script = format!(
        "echo \"$@\" >> {seen}\nwhile [ ! -e {go} ]; do sleep 0.1; done\necho '{verdict}'",
        seen = seen.display(),
        go = go.display(),
    );
    let launch =
        site.launch().args(["--strict-contract", "--listen", &format!("127.0.0.1:{free}")]);
    let server = launch.env("CRUCIBLE_LADDER", ladder(&site, &script)).start();
    let client = server.client();
    let (admin, reader) = (client.with_key(&root), client.with_key(&reader));
    let post = |path: &'static str| admin.send(admin.request(Method::POST, path));
    for method in [Method::GET, Method::POST] {
        let refused = reader.send(reader.request(method, "/security-test")).await;
        assert_eq!(refused.status, 403);
    }
    assert_eq!(post("/security-test?group=--url").await.status, 400);
    assert_eq!(admin.get("/security-test").await.json()["status"], "never");
    for _ in 0..3 {
        let started = post("/security-test?group=tenants").await;
        assert_eq!((started.status, &started.json()["status"]), (202, &"running".into()));
    }
    std::fs::write(&go, "").unwrap();
    let test = harness::eventually_some("the test ends", Duration::from_secs(30), async || {
        let test = admin.get("/security-test").await.json();
        (test["status"] == "ended").then_some(test)
    });
    let test = test.await;
    assert_eq!(test["verdicts"][0]["by"], "authorization", "{test}");
    let expected =
        format!("attack --stage 9 --url http://127.0.0.1:{free} --group tenants --json\n");
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), expected, "one ladder was started");
    let list = site.output(&["keys", "list"]);
    assert_eq!(list.lines().filter(|line| line.contains("\trevoked\t")).count(), 4, "{list}");
    // It outlives the server.
    assert_eq!(server.stop(), Some(0));
    let server = site.start();
    let admin = server.client().with_key(&root);
    let stored = admin.get("/security-test").await.json();
    assert_eq!((&stored["status"], &stored["verdicts"]), (&"ended".into(), &test["verdicts"]));
}

#[tokio::test]
async fn what_is_missing_for_a_test_is_said() {
    let site = Site::new();
    let server = site.launch().arg("--strict-contract").env("CRUCIBLE_LADDER", "/nowhere").start();
    let client = server.client();
    let test = client.get("/security-test").await.json();
    assert!(test["missing"].as_str().unwrap().contains("no ladder"), "{test}");
    let refused = client.send(client.request(Method::POST, "/security-test")).await;
    assert_eq!(refused.status, 409);
}
