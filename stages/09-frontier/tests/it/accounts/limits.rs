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
