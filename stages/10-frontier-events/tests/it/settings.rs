//! Settings of this stage in the configuration file.

use std::process::Command;

use crate::receiver::Receiver;
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
