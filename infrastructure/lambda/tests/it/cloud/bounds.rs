//! What bounds a client: how much may wait, and how long a page is.

use reqwest::Method;
use serde_json::json;

use super::front::Front;
use super::site::Site;

#[tokio::test(flavor = "multi_thread")]
async fn more_than_may_wait_is_refused() {
    let site = Site::start(0).await;
    let front = Front::start().await;
    let _guard = site.function_within(&front, &site.queue(), 3);
    front.has(1).await;
    let (key, _) = site.client_with(&["submit", "read"]);
    let client = harness::Client::new(front.url()).with_key(&key);
    let submit = async |name: &str| {
        let request = client.request(Method::POST, "/eval").json(&json!({ "code": "print(1)" }));
        client.send(request.header("idempotency-key", format!("\"{name}\""))).await
    };
    let mut accepted = Vec::new();
    for name in ["one", "two", "three"] {
        let answer = submit(name).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        accepted.push(answer.json()["id"].clone());
    }
    let refused = submit("four").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, "5"), "{refused:?}");
    // What was accepted is not refused afterwards.
    let repeated = submit("one").await;
    assert_eq!((repeated.status, &repeated.json()["id"]), (202, &accepted[0]), "{repeated:?}");
    let queue = client.get("/queue").await.json();
    assert_eq!((&queue["depth"], &queue["capacity"]), (&json!(3), &json!(3)), "{queue}");
    // There is room again, as soon as they are counted anew.
    client.delete(&format!("/eval/{}", accepted[1].as_str().unwrap())).await;
    harness::eventually_some("room", super::site::EVENT_TIMEOUT, async || {
        (submit("four").await.status == 202).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_ends_before_its_budget() {
    let site = Site::start(2).await;
    let _guard = site.worker("worker");
    let mut ids = Vec::new();
    for number in 0..3 {
        let code = format!("print('{number}' * 900_000)");
        ids.push(site.client.submit_code(&code).await);
    }
    for id in &ids {
        assert_eq!(site.client.wait(id).await["outcome"], "exited");
    }
    ids.reverse();
    let first = site.client.get("/eval").await.json();
    let listed = |page: &serde_json::Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        items.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(listed(&first), ids[..2]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = site.client.get(&format!("/eval?cursor={cursor}")).await.json();
    assert_eq!(listed(&second), ids[2..]);
    assert!(second["next_cursor"].is_null(), "the last page");
}
