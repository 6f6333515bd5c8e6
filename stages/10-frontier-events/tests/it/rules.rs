//! The rule file of the stage as a process.

use std::process::Command;

use serde_json::json;

use crate::receiver::Receiver;
use crate::stage;

#[tokio::test]
async fn a_rule_file_makes_webhooks_and_lines_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(200).await;
    let (secret, rules) = (directory.path().join("secret"), directory.path().join("rules.toml"));
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let text = format!(
        "[[rule]]\nname = \"limits\"\nevents = [\"resource.limit_exceeded\"]\n\
         webhook = \"{}\"\nsecret_file = \"{}\"\n\n\
         [[rule]]\nname = \"ends\"\nevents = [\"evaluation.*\"]\nlog = \"warn\"\n",
        receiver.url,
        secret.display()
    );
    std::fs::write(&rules, &text).unwrap();
    let data = directory.path().join("data");
    let launch = || {
        let launch = stage::on(&data).args(["--webhook-allow", "127.0.0.0/8", "--rules"]);
        launch.arg(&rules)
    };
    let server = launch().start();
    let client = server.client();
    let body = json!({ "code": "while True: pass", "timeout_seconds": 1 });
    let ended = client.eval(&body).await;
    receiver.eventually("the limit is reported", |received| !received.is_empty()).await;
    // The event has the counter that decided.
    let event = &receiver.received()[0].event;
    assert_eq!(event["subject"], ended["id"], "{event}");
    assert!(event["data"]["evidence"].is_object(), "{event}");
    assert!(receiver.received()[0].signature.starts_with("v1,"));
    client.run("print('output of a program')").await;
    harness::eventually("the end is logged", std::time::Duration::from_secs(30), || {
        server.stderr().contains("evaluation.completed")
    })
    .await;
    let log = server.stderr();
    assert!(log.contains("evaluation.failed") && !log.contains("output of a program"), "{log}");
    // The webhook of the file belongs to the file.
    assert_eq!(client.get("/webhooks/rule-limits").await.json()["delivered"], 1);
    assert_eq!(client.delete("/webhooks/rule-limits").await.status, 409);
    assert_eq!(server.stop(), Some(0));
    std::fs::write(&rules, "").unwrap();
    let server = launch().start();
    assert_eq!(server.client().get("/webhooks/rule-limits").await.status, 404);
    assert_eq!(server.stop(), Some(0));
    std::fs::write(&rules, text.replace("evaluation.*", "evaluation.ended")).unwrap();
    let mut command = Command::new(stage::BINARY);
    command.args(["--engine", "subprocess", "--unsafe", "--data-dir"]).arg(&data);
    command.args(["--webhook-allow", "127.0.0.0/8", "--rules"]);
    let output = command.arg(&rules).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("rule \"ends\""), "{error}");
    assert!(error.contains("no event has the type \"evaluation.ended\""), "{error}");
}
