//! `dead list`, `dead requeue` and `dead remove`, as an operator calls them.

use std::time::Duration;

use stage_10_frontier_events::BrokerOptions;
use tokio::process::Command;

use super::suite::{MakeBroker, next, none, options, ticket};
use super::system::{Moto, Nats};
use crate::stage::BINARY;

/// Exit code, standard output and standard error.
async fn dead(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(BINARY).arg("dead").args(arguments).output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn dead_letters_are_listed_and_requeued_by_a_command() {
    let nats = Nats::start();
    let url = nats.url("crucible");
    let settings = BrokerOptions { max_deliveries: 1, ..options() };
    let broker = nats.open("crucible", settings).await;
    nats.inject("crucible", "\u{1b}]0;no ticket\u{7}").await;
    let published = ticket();
    broker.publish(&published).await.unwrap();
    let delivery = next(&*broker).await.unwrap();
    broker.release(delivery, Duration::ZERO).await.unwrap();
    none(&*broker, "it was delivered once").await.unwrap();

    let (code, listed, error) = dead(&["list", "--queue", &url]).await;
    assert_eq!(code, Some(0), "{error}");
    let lines: Vec<_> = listed.lines().collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert!(lines[0].contains("no ticket: 14 bytes"), "{listed}");
    let expected = format!(
        "delivered too often: evaluation {}, attempt 1, environment python",
        published.evaluation
    );
    assert!(lines[1].ends_with(&expected), "{listed}");
    assert!(!listed.contains('\u{1b}'), "bytes of a message reach the terminal: {listed:?}");

    let poison = lines[0].split_whitespace().next().unwrap();
    let (code, _, error) = dead(&["requeue", poison, "--queue", &url]).await;
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("no dead letter"), "{error}");
    let (code, requeued, error) = dead(&["requeue", "--all", "--queue", &url]).await;
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(requeued.lines().count(), 1, "{requeued}");
    assert_eq!(next(&*broker).await.unwrap().ticket, published);

    // What is no ticket can be removed, and only that.
    let (code, removed, error) = dead(&["remove", poison, "--queue", &url]).await;
    assert_eq!((code, removed), (Some(0), format!("{poison} removed\n")), "{error}");
    let (code, _, error) = dead(&["remove", poison, "--queue", &url]).await;
    assert!(code == Some(1) && error.contains("no dead letter"), "{error}");
    let (code, removed, error) = dead(&["remove", "--all", "--queue", &url]).await;
    assert_eq!((code, removed.as_str()), (Some(0), ""), "{error}");
}

#[tokio::test]
async fn the_command_names_what_is_wrong() {
    for (arguments, expected, wrong) in [
        (&["list"][..], 2, "--queue memory is none"),
        (&["requeue", "--queue", "nats://127.0.0.1:1"], 2, "<ID>"),
        (&["remove", "--queue", "nats://127.0.0.1:1"], 2, "<ID>"),
        (&["list", "--queue", "nats://127.0.0.1:1"], 1, "the broker cannot be reached"),
        (&["list", "--queue", "nats://a:b@127.0.0.1"], 2, "--broker-credentials"),
        (&["list", "--queue", "nats://h", "--broker-credentials", "/none"], 2, "/none"),
        (&["list", "--queue", "nats://h", "--broker-ca", "/none"], 2, "/none"),
        (&["list", "--queue", "sqs://eu-central-1", "--broker-ca", "/none"], 2, "/none"),
        (&["list", "--queue", "nats://h", "--broker-credentials", "Cargo.toml"], 2, "NAME:SECRET"),
        (&["list", "--broker-visibility-seconds", "0"], 2, "3..=43200"),
    ] {
        let (code, _, error) = dead(arguments).await;
        assert_eq!(code, Some(expected), "{arguments:?}: {error}");
        assert!(error.contains(wrong), "{arguments:?}: {error}");
    }
}

#[tokio::test]
async fn an_error_of_sqs_names_its_cause_in_one_line() {
    let moto = Moto::stopped("http", &[]);
    let file = moto.process.directory.path().join("credentials").display().to_string();
    let url = format!("sqs://us-east-1?endpoint=http://127.0.0.1:{}", moto.process.port);
    let (code, _, error) = dead(&["list", "--queue", &url, "--broker-credentials", &file]).await;
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("Connection refused"), "{error}");
    assert!(!error.contains("DispatchFailure") && !error.contains("a-secret"), "{error}");
    assert_eq!(error.lines().count(), 3, "{error}");
}
