//! Settings of this stage, and what they change for a client: nothing.

use std::process::Command;

use serde_json::json;

use crate::receiver::{HANG, Receiver};
use crate::stage;

#[tokio::test]
async fn the_settings_can_be_in_the_configuration_file() {
    let directory = tempfile::tempdir().unwrap();
    let (file, rules) = (directory.path().join("config.toml"), directory.path().join("rules"));
    let receiver = Receiver::start(500).await;
    let text = format!(
        "[[rule]]\nname = \"a\"\nevents = [\"*\"]\nwebhook = \"{}\"\nsecret_file = \"{}\"\n",
        receiver.url,
        directory.path().join("secret").display()
    );
    std::fs::write(directory.path().join("secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .unwrap();
    std::fs::write(&rules, text).unwrap();
    let settings = format!(
        "webhook_allow = [\"10.1.0.0/16\", \"127.0.0.1/32\"]\nwebhook_retry_seconds = 0\n\
         rules = \"{}\"\n",
        rules.display()
    );
    std::fs::write(&file, settings).unwrap();
    let server = stage::on(&directory.path().join("data")).arg("--config").arg(&file).start();
    let client = server.client();
    let is_parked = async || {
        (client.get("/webhooks/rule-a").await.json()["parked"].as_u64().unwrap() > 0).then_some(())
    };
    harness::eventually_some("parked", std::time::Duration::from_mins(1), async || {
        client.run("print(1)").await;
        is_parked().await
    })
    .await;
    for wrong in
        ["webhook_allow = [\"10.1\"]", "webhook_retry_seconds = -1", "webhooks_allow = [\"::/0\"]"]
    {
        std::fs::write(&file, wrong).unwrap();
        let mut command = Command::new(stage::BINARY);
        command.args(["--engine", "subprocess", "--unsafe", "--config"]).arg(&file);
        let output = command.arg("doctor").output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains("config.toml"), "{wrong}: {text}");
    }
}

/// The kinds of the events of one program that exceeds a limit, and how it ended.
async fn transcript(arguments: &[&str], hook: Option<&str>) -> (Vec<String>, String) {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::on(directory.path()).args(arguments).start();
    let client = server.client();
    if let Some(url) = hook {
        let body = json!({ "url": url, "events": ["*"] });
        assert_eq!(client.post("/webhooks", &body).await.status, 201);
    }
    let body = json!({ "code": "print('x')\nwhile True: pass", "timeout_seconds": 1 });
    let ended = client.eval(&body).await;
    let path = format!("/eval/{}/events", ended["id"].as_str().unwrap());
    let mut events = harness::EventStream::new(client.open(&path).await);
    let mut kinds = Vec::new();
    while let Some(event) = events.next().await {
        kinds.push(event.envelope["type"].as_str().unwrap().to_owned());
    }
    // Output is one event or several, as it happens to be read.
    kinds.dedup();
    assert_eq!(server.stop(), Some(0));
    (kinds, ended["outcome"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn without_each_subscriber_the_others_see_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("rules.toml");
    std::fs::write(&rules, "[[rule]]\nname = \"all\"\nevents = [\"*\"]\nlog = \"info\"\n").unwrap();
    let (hanging, quick) = (Receiver::start(HANG).await, Receiver::start(200).await);
    let allow = ["--webhook-allow", "127.0.0.1/32"];
    let both = [&allow[..], &["--rules", rules.to_str().unwrap()]].concat();
    let alone = transcript(&[], None).await;
    assert!(alone.0.len() >= 4 && alone.1 == "wall_time_exceeded", "{alone:?}");
    assert_eq!(transcript(&both[2..], None).await, alone);
    assert_eq!(transcript(&allow, Some(&quick.url)).await, alone);
    assert_eq!(transcript(&both, Some(&hanging.url)).await, alone);
}
