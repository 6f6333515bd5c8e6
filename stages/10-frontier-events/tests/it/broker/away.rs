//! A broker that is away, frozen, or has lost everything; and who may connect.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness::eventually_some;
use stage_10_frontier_events::{Broker, BrokerError, BrokerOptions, Ticket, open_broker as open};
use tokio::time::timeout;

use super::suite::{
    ARRIVAL_TIMEOUT, MakeBroker, PYTHON, SILENCE_WINDOW, next, options, short_lived, ticket,
};
use super::system::{Moto, Nats};

/// Until a call to a broker that is away has failed.
const FAIL_TIMEOUT: Duration = Duration::from_mins(1);

async fn assert_unavailable(broker: &dyn Broker) {
    let environments = [PYTHON.to_owned()];
    let published = timeout(FAIL_TIMEOUT, broker.publish(&ticket())).await;
    let published = published.expect("publish waits for a broker that is away");
    assert!(matches!(published, Err(BrokerError::Unavailable(_))), "{published:?}");
    let received = timeout(FAIL_TIMEOUT, broker.receive(&environments, SILENCE_WINDOW)).await;
    let received = received.expect("receive waits for a broker that is away");
    assert!(matches!(received, Err(BrokerError::Unavailable(_))), "{received:?}");
    let counted = broker.stats().await;
    assert!(matches!(counted, Err(BrokerError::Unavailable(_))), "{counted:?}");
}

/// Publishes as soon as the broker is back, without opening it again.
async fn publish_at_last(broker: &dyn Broker) -> Ticket {
    let published = ticket();
    eventually_some("the broker is used again", ARRIVAL_TIMEOUT * 2, async || {
        match broker.publish(&published).await {
            Ok(()) => Some(()),
            Err(error) => {
                assert!(error.is_temporary(), "{error:?}");
                None
            }
        }
    })
    .await;
    published
}

/// Receives that ticket, from a broker that may still be away at first.
async fn receive_at_last(broker: &dyn Broker, ticket: &Ticket) {
    eventually_some("the ticket is delivered", ARRIVAL_TIMEOUT * 2, async || {
        let delivery = next(broker).await.ok()?;
        let is_it = delivery.ticket == *ticket;
        broker.ack(delivery).await.ok()?;
        is_it.then_some(())
    })
    .await;
}

#[tokio::test]
async fn nats_may_be_away_at_the_start_and_in_the_middle() {
    let nats = Nats::stopped("");
    let (api, worker) =
        (nats.open("away", short_lived()).await, nats.open("away", short_lived()).await);
    assert_unavailable(&*api).await;
    nats.0.start();
    let published = publish_at_last(&*api).await;
    let held = next(&*worker).await.unwrap();
    nats.0.stop();
    let extended = worker.extend(&held).await;
    assert!(matches!(extended, Err(BrokerError::Unavailable(_))), "{extended:?}");
    assert_unavailable(&*worker).await;
    nats.0.start();
    drop(held);
    receive_at_last(&*worker, &published).await; // what it has confirmed, it has
    nats.0.stop();
    nats.lose_everything();
    nats.0.start();
    let published = publish_at_last(&*api).await;
    receive_at_last(&*worker, &published).await;
}

#[tokio::test]
async fn a_receiver_that_waits_notices_a_restart_of_nats() {
    let nats = Nats::start();
    let (api, worker) =
        (nats.open("wait", short_lived()).await, nats.open("wait", short_lived()).await);
    let waiting = {
        let worker: Arc<dyn Broker> = worker.clone();
        tokio::spawn(
            async move { worker.receive(&[PYTHON.to_owned()], ARRIVAL_TIMEOUT * 10).await },
        )
    };
    tokio::time::sleep(SILENCE_WINDOW).await; // until it waits; when it does not yet, the check holds too
    nats.0.stop();
    nats.0.start();
    let published = publish_at_last(&*api).await;
    let received =
        timeout(ARRIVAL_TIMEOUT * 2, waiting).await.expect("the receiver has stalled").unwrap();
    match received {
        Ok(Some(delivery)) => assert_eq!(delivery.ticket, published),
        Err(BrokerError::Unavailable(_)) => receive_at_last(&*worker, &published).await,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_frozen_nats_server_is_away_and_comes_back() {
    let nats = Nats::start();
    let broker = nats.open("frozen", short_lived()).await;
    receive_at_last(&*broker, &publish_at_last(&*broker).await).await;
    nats.0.freeze();
    assert_unavailable(&*broker).await;
    nats.0.thaw();
    receive_at_last(&*broker, &publish_at_last(&*broker).await).await;
}

#[tokio::test]
async fn sqs_may_be_away_and_may_lose_everything() {
    let moto = Moto::stopped("http", &[]);
    let (api, worker) =
        (moto.open("away", short_lived()).await, moto.open("away", short_lived()).await);
    assert_unavailable(&*api).await;
    moto.process.start();
    let published = publish_at_last(&*api).await;
    receive_at_last(&*worker, &published).await;
    moto.process.stop();
    assert_unavailable(&*worker).await;
    moto.process.start();
    let published = publish_at_last(&*api).await;
    receive_at_last(&*worker, &published).await;
}

#[tokio::test]
async fn nats_knows_its_users() {
    let nats = Nats::stopped("authorization { user: crucible, password: s3cr3t-word }");
    nats.0.start();
    let file = nats.0.directory.path().join("credentials");
    for (text, is_accepted) in [("crucible:s3cr3t-word\n", true), ("crucible:another\n", false)] {
        fs::write(&file, text).unwrap();
        let broker = nats
            .open("users", BrokerOptions { credentials: Some(file.clone()), ..options() })
            .await;
        let published = broker.publish(&ticket()).await;
        if is_accepted {
            published.unwrap();
        } else {
            assert!(matches!(published, Err(BrokerError::Refused(_))), "{published:?}");
        }
    }
    let refused = nats.open("users", options()).await.publish(&ticket()).await;
    assert!(matches!(refused, Err(BrokerError::Refused(_))), "{refused:?}");
    assert!(!format!("{refused:?}").contains("s3cr3t"), "{refused:?}");
}

/// Writes a certificate for 127.0.0.1 and its key.
fn certify(directory: &Path) {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(directory.join("cert.pem"), certified.cert.pem()).unwrap();
    fs::write(directory.join("key.pem"), certified.signing_key.serialize_pem()).unwrap();
}

#[tokio::test]
async fn nats_over_tls_needs_its_authority() {
    let nats =
        Nats::stopped("tls { cert_file: \"DIRECTORY/cert.pem\", key_file: \"DIRECTORY/key.pem\" }");
    certify(nats.0.directory.path());
    nats.0.start();
    let url = format!("tls://127.0.0.1:{}/secure", nats.0.port).parse().unwrap();
    let certificates = Some(nats.0.directory.path().join("cert.pem"));
    let broker = open(&url, &BrokerOptions { certificates, ..options() }).await.unwrap();
    broker.publish(&ticket()).await.unwrap();
    let stranger = open(&url, &options()).await.unwrap();
    stranger.publish(&ticket()).await.unwrap_err();
}

#[tokio::test]
async fn sqs_over_https_needs_its_authority() {
    let moto =
        Moto::stopped("https", &["-s", "-c", "DIRECTORY/cert.pem", "-k", "DIRECTORY/key.pem"]);
    certify(moto.process.directory.path());
    moto.process.start();
    let certificates = Some(moto.process.directory.path().join("cert.pem"));
    let broker = moto.open("secure", BrokerOptions { certificates, ..options() }).await;
    broker.publish(&ticket()).await.unwrap();
    let stranger = moto.open("secure", options()).await;
    stranger.publish(&ticket()).await.unwrap_err();
}

#[tokio::test]
async fn a_lower_capacity_removes_no_ticket() {
    let nats = Nats::start();
    let broker = nats.open("lower", options()).await;
    for _ in 0..5 {
        broker.publish(&ticket()).await.unwrap();
    }
    let lower = nats.open("lower", BrokerOptions { capacity: 2, ..options() }).await;
    let published = lower.publish(&ticket()).await;
    assert!(matches!(published, Err(BrokerError::Full { .. })), "{published:?}");
    assert_eq!(lower.stats().await.unwrap().waiting, 5);
}
