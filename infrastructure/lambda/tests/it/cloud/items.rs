//! What is in the table, read and changed by the test: what cannot be waited for.

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use serde_json::{Value, json};

use super::by_hand::Hand;
use super::moto::{BUCKET, TABLE};
use super::site::Site;

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

async fn attribute(site: &Site, id: &str, name: &str) -> Option<AttributeValue> {
    let request = site.storage.dynamodb().get_item().table_name(TABLE);
    let request = request.key("pk", text(format!("eval#{id}"))).key("sk", text("state"));
    request.send().await.unwrap().item.unwrap().remove(name)
}

async fn due(site: &Site, id: &str) -> i64 {
    let due = attribute(site, id, "due").await.unwrap();
    due.as_n().unwrap().parse().unwrap()
}

/// The object that its record is in.
async fn record_object(site: &Site, id: &str) -> String {
    attribute(site, id, "record_object").await.unwrap().as_s().unwrap().clone()
}

async fn object(site: &Site, key: &str) -> Value {
    let request = site.storage.s3().get_object().bucket(BUCKET).key(format!("data/{key}"));
    let content = request.send().await.unwrap().body.collect().await.unwrap();
    serde_json::from_slice(&content.into_bytes()).unwrap()
}

/// Gives an attribute of an item another value, or removes it.
async fn change(site: &Site, id: &str, name: &str, value: Option<AttributeValue>) {
    let request = site.storage.dynamodb().update_item().table_name(TABLE);
    let request = request.key("pk", text(format!("eval#{id}"))).key("sk", text("state"));
    let request = request.expression_attribute_names("#name", name);
    let request = match value {
        Some(value) => request
            .update_expression("SET #name = :value")
            .expression_attribute_values(":value", value),
        None => request.update_expression("REMOVE #name"),
    };
    request.send().await.unwrap();
}

/// As if its worker's lease had expired, or its ticket were missed.
async fn make_due(site: &Site, id: &str) {
    change(site, id, "due", Some(number(1))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_claim_renews_its_lease() {
    let site = Site::start(1).await;
    let hand = Hand::join(&site.worker_client, 1).await;
    let id = site.client.submit_code("print(1)").await;
    let token = hand.claimed(&id, 1).await;
    make_due(&site, &id).await;
    assert_eq!(hand.claimed(&id, 1).await, token, "the answer was lost, and it asks again");
    assert!(due(&site, &id).await > 1, "its worker counts the lease from now");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_write_of_a_record_has_an_object_of_its_own() {
    let site = Site::start(1).await;
    let hand = Hand::join(&site.worker_client, 1).await;
    // Labels alone make a record larger than what is kept in an item.
    let label = |number: u32| (format!("label{number}"), Value::from("\u{6f22}".repeat(250)));
    let labels: serde_json::Map<_, _> = (0..16).map(label).collect();
    let body = json!({ "code": "print(1)", "labels": labels, "max_attempts": 2 });
    let id = site.client.submit(&body).await;
    let token = hand.claimed(&id, 1).await;
    let running = record_object(&site, &id).await;
    // A sweep takes the session away, and the same session writes no more than that.
    make_due(&site, &id).await;
    site.front.sweep().await;
    let waiting = record_object(&site, &id).await;
    assert_ne!(running, waiting);
    assert_eq!(object(&site, &running).await["status"], "running");
    assert_eq!(object(&site, &waiting).await["status"], "queued");
    assert_eq!(hand.result(&token, "exited", &json!([]), 0).await, 410);
    assert_eq!(record_object(&site, &id).await, waiting);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_is_not_found() {
    let site = Site::start(1).await;
    let [kept, expired] =
        [site.client.submit_code("print(1)").await, site.client.submit_code("print(2)").await];
    change(&site, &expired, "expires", Some(number(1))).await;
    assert_eq!(site.client.get(&format!("/eval/{expired}")).await.status, 404);
    assert_eq!(
        site.client
            .request(Method::DELETE, &format!("/eval/{expired}"))
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
    let page = site.client.get("/eval").await.json();
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|one| &one["id"]).collect::<Vec<_>>(), [&json!(kept)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_repaired_keeps_no_other_from_it() {
    let site = Site::start(1).await;
    let hand = Hand::join(&site.worker_client, 1).await;
    let body = json!({ "code": "print(1)", "max_attempts": 2 });
    let [damaged, other] = [site.client.submit(&body).await, site.client.submit(&body).await];
    for id in [&damaged, &other] {
        hand.claimed(id, 1).await;
        make_due(&site, id).await;
    }
    // It is the first one in the index.
    change(&site, &damaged, "due", Some(number(0))).await;
    change(&site, &damaged, "record", None).await;
    site.front.try_sweep().await.unwrap_err();
    assert_eq!(site.client.evaluation(&other).await["attempt"], 2);
}
