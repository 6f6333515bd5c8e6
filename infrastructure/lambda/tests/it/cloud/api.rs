//! What clients see: keys, scopes, idempotency, pages, and the contract.

use reqwest::Method;
use serde_json::{Value, json};

use super::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_sees_its_own_evaluations_only() {
    let site = Site::start(2).await;
    let open = harness::Client::new(site.front.url());
    assert_eq!(open.get("/health").await.status, 200);
    assert_eq!(open.get("/openapi.yaml").await.status, 200);
    for client in [&open, &open.with_key("crk_unknown")] {
        let refused = client.get("/eval").await;
        assert_eq!(
            (refused.status, refused.header("www-authenticate")),
            (401, "Bearer realm=\"crucible\"")
        );
    }
    let (_, reader) = site.client_with(&["read"]);
    assert_eq!(reader.post("/eval", &json!({ "code": "" })).await.status, 403);
    assert_eq!(site.worker_client.get("/eval").await.status, 403);
    assert_eq!(site.client.get("/workers").await.status, 403);

    let mut own = Vec::new();
    for number in 0..5 {
        own.push(site.client.submit_code(&format!("print({number})")).await);
    }
    let (_, other) = site.client_with(&["submit", "read"]);
    let foreign = other.submit_code("print('other')").await;
    assert_eq!(other.get(&format!("/eval/{}", own[0])).await.status, 404);
    assert_eq!(other.delete(&format!("/eval/{}", own[0])).await.status, 404);
    assert_eq!(site.admin.get(&format!("/eval/{foreign}")).await.status, 200);

    // Pages, newest first.
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = site.client.get(&format!("/eval?limit=2{cursor}")).await.json();
        let items = page["items"].as_array().unwrap();
        found.extend(items.iter().map(|one| one["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        assert_eq!(items.len(), 2, "{page}");
        cursor = format!("&cursor={next}");
    }
    own.reverse();
    assert_eq!(found, own);
    site.client.delete(&format!("/eval/{}", own[1])).await;
    let cancelled = site.client.get("/eval?status=cancelled").await.json();
    let ids: Vec<_> = cancelled["items"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids, [&json!(own[1])]);
    let none = site.client.get("/eval?label=run:a&outcome=exited").await.json();
    assert_eq!(none["items"], json!([]), "{none}");
    let all = site.admin.get("/eval?limit=100").await.json();
    assert_eq!(all["items"].as_array().unwrap().len(), 6, "{all}");
    let queue = site.client.get("/queue").await.json();
    assert_eq!((&queue["depth"], &queue["workers"]), (&json!(5), &json!(0)), "{queue}");

    // A revoked key is refused at once.
    let (key, log) = site.keys(&["create", "--name", "old", "--scope", "read"]);
    let client = open.with_key(&key);
    assert_eq!(client.get("/queue").await.status, 200);
    site.keys(&["revoke", log.rsplit(' ').next().unwrap()]);
    assert_eq!(client.get("/queue").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_makes_one_evaluation() {
    let site = Site::start(3).await;
    let send = async |client: &harness::Client, key: &str, code: &str| {
        let request = client.request(Method::POST, "/eval").json(&json!({ "code": code }));
        client.send(request.header("idempotency-key", format!("\"{key}\""))).await.parts()
    };
    for round in 0..5 {
        let key = format!("round-{round}");
        let client = &site.client;
        let (one, other, third) = tokio::join!(
            send(client, &key, "print(1)"),
            send(client, &key, "print(1)"),
            send(client, &key, "print(1)")
        );
        assert_eq!((one.0, other.0, third.0), (202, 202, 202), "{one:?} {other:?}");
        assert!(
            one.1["id"] == other.1["id"] && other.1["id"] == third.1["id"],
            "{one:?} {other:?}"
        );
        let (status, problem) = send(client, &key, "print(2)").await;
        assert_eq!(status, 422, "{problem}");
    }
    // The key of another client is another one.
    let (_, other) = site.client_with(&["submit", "read"]);
    assert_eq!(send(&other, "round-0", "print(2)").await.0, 202);
    let all = site.admin.get("/eval?limit=100").await.json();
    assert_eq!(all["items"].as_array().unwrap().len(), 6, "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_holds_and_what_is_not_served_is_501() {
    let site = Site::start(2).await;
    let post = async |body: &str, media: &str| {
        let request = site.client.request(Method::POST, "/eval").body(body.to_owned());
        site.client.send(request.header("content-type", media)).await.status
    };
    for (body, media, status) in [
        ("{", "application/json", 400),
        ("{\"code\": 7}", "application/json", 400),
        ("{\"code\": \"\", \"image\": \"mine\"}", "application/json", 400),
        ("{\"code\": \"\", \"timeout_seconds\": 1e9}", "application/json", 422),
        ("{\"code\": \"\"}", "text/plain", 415),
    ] {
        assert_eq!(post(body, media).await, status, "{body}");
    }
    let client = &site.client;
    for (path, status) in [
        ("/nowhere", 404),
        ("/eval/7", 404),
        ("/eval?limit=0", 400),
        ("/eval?limt=1", 400),
        ("/events", 501),
        ("/environments", 501),
    ] {
        let answer = client.get(path).await;
        assert_eq!(
            (answer.status, answer.json()["status"].as_u64()),
            (status, Some(status.into())),
            "{path}"
        );
    }
    let id = client.submit_code("print(1)").await;
    let events = client.get(&format!("/eval/{id}/events")).await;
    assert_eq!(events.status, 501);
    assert!(events.text().contains("Prefer: wait"), "{}", events.text());
    assert_eq!(client.request(Method::PUT, "/eval").send().await.unwrap().status(), 405);

    // Attack: a client starts what only the schedule may.
    let forged = json!({ "source": "aws.events", "detail-type": "Scheduled Event" });
    let answer = site.admin.post("/events", &forged).await;
    assert_eq!(answer.status, 405, "{}", answer.text());
    let neither = site.front.event(json!({ "source": "aws.s3" })).await;
    assert!(neither.is_err(), "{neither:?}");
    let swept: Value = site.front.sweep().await;
    assert_eq!((&swept["requeued"], &swept["lost"]), (&json!(0), &json!(0)), "{swept}");
}
