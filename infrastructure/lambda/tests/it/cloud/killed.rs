//! A function that is killed between its commit and its ticket.

use harness::eventually_some;
use serde_json::json;
use tokio::net::TcpListener;

use super::front::Front;
use super::site::{EVENT_TIMEOUT, Site};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_and_not_published_is_published_by_the_sweep() {
    let site = Site::start(1).await;
    // A server that accepts connections and answers nothing: the function commits, and hangs at its ticket.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let queue = format!("sqs://us-east-1/cloud?endpoint=http://{}", silent.local_addr().unwrap());
    let front = Front::start().await;
    let mut hanging = site.function(&front, &queue);
    front.has(1).await;
    let (key, client) = site.client_with(&["submit", "read"]);
    let submitter = harness::Client::new(front.url()).with_key(&key);
    let sending = tokio::spawn(async move {
        let request = submitter.request(reqwest::Method::POST, "/eval");
        request.json(&json!({ "code": "print('repaired')" })).send().await.map(drop)
    });
    let id = eventually_some("its commit", EVENT_TIMEOUT, async || {
        let page = client.get("/eval").await.json();
        Some(page["items"].get(0)?["id"].as_str()?.to_owned())
    })
    .await;
    assert!(!sending.is_finished(), "it waits for the queue");
    hanging.kill();
    sending.abort();

    let _guard = site.worker("worker");
    let published = site
        .sweep_until("the publication", async |swept| {
            swept["published"].as_u64().filter(|count| *count > 0)
        })
        .await;
    assert_eq!(published, 1);
    let ended = client.wait(&id).await;
    assert_eq!((&ended["stdout"]["text"], &ended["attempt"]), (&json!("repaired\n"), &json!(1)));
    // A ticket of what has ended is refused, by any publisher.
    let queue = site.queue_url("cloud-queue-python").await;
    let ticket = json!({ "evaluation": id, "attempt": 1, "environment": "python" }).to_string();
    site.sqs("SendMessage", json!({ "QueueUrl": queue, "MessageBody": ticket })).await;
    let empty = async || {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let body = json!({ "QueueUrl": queue, "AttributeNames": names });
        let counts = site.sqs("GetQueueAttributes", body).await;
        let is_empty = names.iter().all(|name| counts["Attributes"][name] == "0");
        is_empty.then_some(())
    };
    eventually_some("an empty queue", EVENT_TIMEOUT, empty).await;
    assert_eq!(client.evaluation(&id).await, ended);
}
