//! What the function does with the queue that Terraform makes.

use serde_json::json;

use super::site::Site;

/// Its role may not change a queue, and moto enforces no roles: so what the queue says of itself has to stay, to the byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_as_it_should_be_is_not_written() {
    let site = Site::start(1).await;
    site.sqs("CreateQueue", json!({ "QueueName": "cloud-dead" })).await;
    let dead = site.queue_url("cloud-dead").await;
    let names = |name: &str| json!([name]);
    let arn = json!({ "QueueUrl": dead, "AttributeNames": names("QueueArn") });
    let arn = site.sqs("GetQueueAttributes", arn).await["Attributes"]["QueueArn"].clone();
    let policy = |count: serde_json::Value| {
        json!({ "maxReceiveCount": count, "deadLetterTargetArn": arn }).to_string()
    };
    let attributes = json!({ "RedrivePolicy": policy(json!(2)) });
    let body = json!({ "QueueName": "cloud-queue-python", "Attributes": attributes });
    site.sqs("CreateQueue", body).await;
    let queue = site.queue_url("cloud-queue-python").await;
    let stored = async || {
        let body = json!({ "QueueUrl": queue, "AttributeNames": names("RedrivePolicy") });
        site.sqs("GetQueueAttributes", body).await["Attributes"]["RedrivePolicy"].clone()
    };
    let before = stored().await;
    site.client.submit_code("print(1)").await;
    assert_eq!(stored().await, before);
    // Another number is corrected, where the role allows it: by another process, as this one has looked.
    let body = json!({ "QueueUrl": queue, "Attributes": { "RedrivePolicy": policy(json!(9)) } });
    site.sqs("SetQueueAttributes", body).await;
    let front = super::front::Front::start().await;
    let _guard = site.function(&front, &site.queue());
    front.has(1).await;
    let (key, _) = site.client_with(&["submit", "read"]);
    harness::Client::new(front.url()).with_key(&key).submit_code("print(2)").await;
    let after: serde_json::Value = serde_json::from_str(stored().await.as_str().unwrap()).unwrap();
    assert_eq!(after["maxReceiveCount"].to_string().trim_matches('"'), "2", "{after}");
}
