//! Secrets of webhooks: in transit to a receiver with HTTPS, and at rest.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};

use crate::receiver::{Receiver, Verifying};
use crate::webhooks::{counts, create, on};

/// A secret that stands in a database in clear.
const CLEAR: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A certificate for `name` that signs itself, and its key, as files.
fn certificate(directory: &Path, file: &str, name: &str, last_year: i32) -> [PathBuf; 2] {
    let mut parameters = CertificateParams::new([name.to_owned()]).unwrap();
    parameters.not_after = date_time_ymd(last_year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = parameters.self_signed(&key).unwrap();
    let paths = ["crt", "key"].map(|end| directory.join(format!("{file}.{end}")));
    std::fs::write(&paths[0], certificate.pem()).unwrap();
    std::fs::write(&paths[1], key.serialize_pem()).unwrap();
    paths
}

#[tokio::test]
async fn a_receiver_with_https_is_verified_before_it_gets_anything() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let receivers = [
        ("good", "127.0.0.1", 4000),
        ("unknown", "127.0.0.1", 4000),
        ("name", "127.0.0.2", 4000),
        ("expired", "127.0.0.1", 2020),
    ];
    let receivers = receivers.map(|(file, name, year)| {
        let [certificate, key] = certificate(directory.path(), file, name, year);
        let (secret, log) = (path(&format!("{file}.secret")), path(&format!("{file}.log")));
        std::fs::write(&log, "").unwrap();
        (file, Verifying::start(&secret, &log, &[&certificate, &key]))
    });
    // Of each of the others one thing is wrong.
    let trusted = ["good", "name", "expired"]
        .map(|file| std::fs::read_to_string(path(&format!("{file}.crt"))).unwrap());
    std::fs::write(path("trusted.pem"), trusted.concat()).unwrap();
    let launch = on(&path("data")).env("SSL_CERT_FILE", path("trusted.pem"));
    let server = launch.args(["--webhook-retry-seconds", "0"]).start();
    let client = server.client();
    let mut webhooks = Vec::new();
    for (file, receiver) in &receivers {
        let webhook = create(&client, &receiver.url, &["evaluation.completed"]).await;
        let secret = webhook["secret"].as_str().unwrap();
        std::fs::write(path(&format!("{file}.secret")), secret).unwrap();
        webhooks.push((*file, webhook));
    }
    client.run("print('é')").await;
    for (file, webhook) in &webhooks {
        let log = path(&format!("{file}.log"));
        if *file == "good" {
            counts(&client, webhook, "delivered", 1).await;
            assert!(std::fs::read_to_string(log).unwrap().contains("\"evaluation.completed\""));
            continue;
        }
        counts(&client, webhook, "parked", 1).await;
        let deliveries = format!("/webhooks/{}/deliveries", webhook["id"].as_str().unwrap());
        let parked: Value = client.get(&deliveries).await.json();
        let error = parked["items"][0]["error"].as_str().unwrap();
        assert!(error.contains("cannot be reached"), "{file}: {error}");
        assert_eq!(std::fs::read_to_string(log).unwrap(), "", "{file}");
    }
}

/// Whether a file of the database has these bytes.
fn has(data: &Path, text: &str) -> bool {
    let files = ["crucible.db", "crucible.db-wal"].map(|name| std::fs::read(data.join(name)));
    let mut files = files.into_iter().flatten();
    files.any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[tokio::test]
async fn a_copied_database_has_no_secret_and_cannot_sign() {
    let directory = tempfile::tempdir().unwrap();
    let (data, copy) = (directory.path().join("data"), directory.path().join("copy"));
    let receiver = Receiver::start(200).await;
    let server = on(&data).start();
    let client = server.client();
    let webhook = create(&client, &receiver.url, &["evaluation.completed"]).await;
    let sealed = create(&client, &receiver.url, &["evaluation.completed"]).await;
    assert!(!has(&data, sealed["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap()));
    assert_eq!(server.stop(), Some(0));
    // A row of an earlier version.
    let database = rusqlite::Connection::open(data.join("crucible.db")).unwrap();
    let sql = "UPDATE webhooks SET secret = ?1, old_secret = ?1, old_until = 1 WHERE id = ?2";
    assert_eq!(database.execute(sql, (CLEAR, webhook["id"].as_str().unwrap())).unwrap(), 1);
    drop(database);
    assert!(has(&data, CLEAR));
    let server = on(&data).start();
    let client = server.client();
    client.run("print(1)").await;
    for one in [&webhook, &sealed] {
        counts(&client, one, "delivered", 1).await;
    }
    let signature = |secret: &str, id: &str, body: &str, seconds: i64| {
        let secret: stage_10_frontier_events::Secret = secret.parse().unwrap();
        secret.sign(id, seconds, body)
    };
    let messages = receiver.received();
    let of_webhook =
        |id: &Value| messages.iter().find(|one| one.id.starts_with(id.as_str().unwrap())).unwrap();
    let one = of_webhook(&webhook["id"]);
    assert_eq!(
        one.signature,
        signature(CLEAR, &one.id, &one.body, one.seconds),
        "it is sealed, and the same"
    );
    let one = of_webhook(&sealed["id"]);
    let secret = sealed["secret"].as_str().unwrap();
    assert_eq!(one.signature, signature(secret, &one.id, &one.body, one.seconds));
    assert_eq!(server.stop(), Some(0));
    assert!(!has(&data, CLEAR) && !has(&data, "whsec_"));
    // Without its key the copy signs nothing, and the server says what to do.
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(data.join("crucible.db"), copy.join("crucible.db")).unwrap();
    let server = on(&copy).start();
    let client = server.client();
    client.run("print(2)").await;
    counts(&client, &webhook, "parked", 1).await;
    let path = format!("/webhooks/{}", webhook["id"].as_str().unwrap());
    let parked: Value = client.get(&format!("{path}/deliveries")).await.json();
    let error = parked["items"][0]["error"].as_str().unwrap();
    assert!(error.contains("cannot be opened with the key of this server"), "{error}");
    assert_eq!(receiver.received().len(), 2);
    let is_logged = || server.stderr().contains("webhooks.key");
    harness::eventually("the log names the key", Duration::from_secs(20), is_logged).await;
    let rotated: Value = client.post(&format!("{path}/rotate"), &json!({})).await.json();
    client.post(&format!("{path}/redeliver"), &json!({})).await;
    counts(&client, &webhook, "delivered", 2).await;
    let messages = receiver.received();
    let last = messages.last().unwrap();
    let new = rotated["secret"].as_str().unwrap();
    assert_eq!(last.signature, signature(new, &last.id, &last.body, last.seconds));
    // A key that others may read is no key.
    assert_eq!(server.stop(), Some(0));
    let open = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o644);
    std::fs::set_permissions(copy.join("webhooks.key"), open).unwrap();
    let refused = std::process::Command::new(crate::stage::BINARY)
        .args([
            "--engine",
            "subprocess",
            "--unsafe",
            "--single-process",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(&copy)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && error.contains("mode 644"), "{error}");
}
