//! The rate of a key.

use serde_json::json;

use super::Tenants;

#[tokio::test]
async fn a_key_that_is_over_its_rate_is_told_when_to_come_back() {
    let Tenants { alice, mallory, server: _server, site: _site, .. } =
        Tenants::with(&["--rate-limit", "6"]);
    let first = alice.get("/queue").await;
    assert_eq!(first.headers["ratelimit-policy"], "\"requests\";q=6;w=60");
    assert_eq!(first.headers["ratelimit"], "\"requests\";r=5;t=10");
    let mut refused = None;
    for _ in 0..20 {
        let response = alice.get("/queue").await;
        if response.status == 429 {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.expect("the limit is reached");
    let seconds: u64 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=10).contains(&seconds), "{seconds}");
    assert!(refused.headers["ratelimit"].to_str().unwrap().starts_with("\"requests\";r=0;t="));
    assert_eq!(refused.json()["status"], 429);
    // Nothing was accepted for it, and another key is not concerned.
    assert_eq!(alice.post("/eval", &json!({ "code": "print(1)" })).await.status, 429);
    assert_eq!(mallory.get("/queue").await.status, 200);
}

/// What an agent does in its sandboxes is counted apart, and by its key: an id is none of its own making.
#[tokio::test]
async fn requests_to_sandboxes_have_a_rate_of_their_own() {
    let limits = ["--rate-limit", "3", "--sandbox-rate-limit", "5"];
    let Tenants { alice, server: _server, site: _site, .. } = Tenants::with(&limits);
    let sandbox =
        |number: u32| format!("/sandboxes/019abcde-f012-7345-8678-9abcdef0{number:04}/execs");
    let first = alice.get(&sandbox(0)).await;
    assert_eq!(first.status, 404, "{first:?}");
    assert_eq!(first.headers["ratelimit-policy"], "\"sandboxes\";q=5;w=60");
    let mut statuses = Vec::new();
    for number in 1..10 {
        statuses.push(alice.get(&sandbox(number)).await.status);
    }
    // One more may be given back meanwhile.
    let found = statuses.iter().filter(|status| **status == 404).count();
    assert!((4..=5).contains(&found), "{statuses:?}");
    assert_eq!(statuses.last(), Some(&429));
    // The other rate has everything left, and the list of sandboxes is one of its requests.
    let listed = alice.get("/sandboxes").await;
    assert_eq!(
        (listed.status, listed.headers["ratelimit"].as_bytes()),
        (200, &b"\"requests\";r=2;t=20"[..])
    );
}

#[tokio::test]
async fn guessing_is_limited_by_address() {
    let Tenants { alice, server, site: _site, .. } = Tenants::with(&["--rate-limit", "10"]);
    let mut statuses = Vec::new();
    for guess in 0..30 {
        let client = server.client().with_key(&format!("crk_{guess}"));
        statuses.push(client.get("/queue").await.status);
    }
    // One more may be given back while the guesses are made.
    let guesses = statuses.iter().filter(|status| **status == 401).count();
    assert!((10..=12).contains(&guesses), "{statuses:?}");
    assert_eq!(statuses.last(), Some(&429));
    // A client with a key is not locked out by what others do at its address.
    assert_eq!(alice.get("/queue").await.status, 200);
}

#[tokio::test]
async fn storage_keys_and_limits_are_counted() {
    let Tenants { alice, admin, server, site: _site, .. } = Tenants::new();
    alice.run("print(1)").await;
    server.client().get("/eval").await;
    server.client().with_key("crk_wrong").get("/eval").await;
    alice.get("/self-test/00000000-0000-7000-8000-000000000000").await;
    let text = admin.get("/metrics").await.text();
    assert_eq!(text.matches("# EOF").count(), 1, "{text}");
    for line in [
        "crucible_access_requests_total{result=\"unauthorized\"} 2",
        "crucible_access_requests_total{result=\"forbidden\"} 1",
        "crucible_access_requests_total{result=\"limited\"} 0",
        "crucible_keys{state=\"active\"} 3",
        "crucible_keys{state=\"inactive\"} 0",
        "crucible_quota_refusals_total 0",
        "crucible_storage_failed_commits_total 0",
        "# TYPE crucible_storage_writes_waiting gauge",
    ] {
        assert!(text.contains(&format!("{line}\n")), "{line} is not in {text}");
    }
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(value("crucible_storage_database_bytes") > 0.0);
    assert!(value("crucible_storage_wal_bytes") > 0.0);
    // Read one after the other, with a commit between them at times: their order says nothing.
    assert!(value("crucible_storage_commit_seconds_count") >= 3.0, "{text}");
    assert!(value("crucible_storage_writes_total") >= 3.0, "{text}");
}
