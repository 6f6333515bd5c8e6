//! How the broker verifies itself.
//!
//! The checks are on a broker in memory, so that none of them leaves a queue at another one. The conformance suite
//! of the tests runs on all three.

use std::sync::Arc;
use std::time::Duration;

use shared::component::{CheckResult, SelfTestResult};
use shared::{BoxFuture, TestCase, TestableComponent};
use uuid::Uuid;

use super::{Broker, BrokerError, BrokerOptions, Delivery, MemoryBroker, Ticket};

/// How long the live broker may take to count its messages.
const COUNT_TIMEOUT: Duration = Duration::from_secs(2);
/// A ticket that was published can be received at once; the time is for a machine under load.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a delivery is held in a check.
const VISIBILITY: Duration = Duration::from_millis(300);
const ENVIRONMENT: &str = "python";

/// The component `broker`: the one of this process, if it has one.
pub(crate) struct BrokerTest(pub(crate) Option<Arc<dyn Broker>>);

impl TestableComponent for BrokerTest {
    fn name(&self) -> &'static str {
        "broker"
    }

    /// A broker that is away is no reason to refuse work: what is accepted waits.
    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            let Some(broker) = &self.0 else { return Ok("in memory, and not used".to_owned()) };
            match tokio::time::timeout(COUNT_TIMEOUT, broker.stats()).await {
                Ok(Ok(stats)) => Ok(format!(
                    "{} tickets wait, {} are held, {} dead letters",
                    stats.waiting, stats.in_flight, stats.dead
                )),
                Ok(Err(error)) => Ok(format!("{error}; what is accepted waits")),
                Err(_) => Ok("the broker does not answer; what is accepted waits".to_owned()),
            }
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        vec![
            TestCase::new("an acknowledged ticket is delivered once", acknowledged()),
            TestCase::new("a ticket of a dead worker is delivered again", redelivered()),
            TestCase::new("a full broker refuses", refuses()),
            TestCase::new("a dead letter is requeued and removed", dead()),
        ]
    }
}

fn scratch() -> MemoryBroker {
    let options = BrokerOptions {
        capacity: 2,
        visibility: VISIBILITY,
        max_deliveries: 2,
        ..BrokerOptions::default()
    };
    MemoryBroker::new(options)
}

fn ticket() -> Ticket {
    let environment = ENVIRONMENT.to_owned();
    Ticket { evaluation: Uuid::now_v7(), attempt: 1, environment, group: None }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn text(error: BrokerError) -> String {
    error.to_string()
}

async fn receive(broker: &MemoryBroker, wait: Duration) -> Result<Option<Delivery>, String> {
    broker.receive(&[ENVIRONMENT.to_owned()], wait).await.map_err(text)
}

async fn next(broker: &MemoryBroker) -> Result<Delivery, String> {
    receive(broker, ARRIVAL_TIMEOUT).await?.ok_or_else(|| "nothing was delivered".to_owned())
}

async fn acknowledged() -> CheckResult {
    let (broker, ticket) = (scratch(), ticket());
    broker.publish(&ticket).await.map_err(text)?;
    let delivery = next(&broker).await?;
    if delivery.ticket != ticket {
        return Err(format!("{:?} was delivered, and not {ticket:?}", delivery.ticket));
    }
    broker.ack(delivery).await.map_err(text)?;
    match receive(&broker, 2 * VISIBILITY).await? {
        None => Ok("it did not come again".to_owned()),
        Some(again) => Err(format!("it came again: {again:?}")),
    }
}

async fn redelivered() -> CheckResult {
    let (broker, ticket) = (scratch(), ticket());
    broker.publish(&ticket).await.map_err(text)?;
    let first = next(&broker).await?;
    let second = next(&broker).await?;
    if (&second.ticket, second.deliveries) != (&ticket, 2) {
        return Err(format!("{second:?} was delivered"));
    }
    match broker.ack(first).await {
        Err(BrokerError::Stale) => Ok("the late acknowledgement was refused".to_owned()),
        other => Err(format!("the late acknowledgement: {other:?}")),
    }
}

async fn refuses() -> CheckResult {
    let broker = scratch();
    for _ in 0..2 {
        broker.publish(&ticket()).await.map_err(text)?;
    }
    match broker.publish(&ticket()).await {
        Err(error @ BrokerError::Full { .. }) => Ok(error.to_string()),
        other => Err(format!("the third of two tickets: {other:?}")),
    }
}

async fn dead() -> CheckResult {
    let (broker, ticket) = (scratch(), ticket());
    broker.publish(&ticket).await.map_err(text)?;
    let kill = async || {
        for _ in 0..2 {
            broker.release(next(&broker).await?, Duration::ZERO).await.map_err(text)?;
        }
        let mut letters = broker.dead_letters(2).await.map_err(text)?;
        letters.pop().ok_or_else(|| "it is no dead letter".to_owned())
    };
    broker.requeue_dead(&kill().await?.id).await.map_err(text)?;
    broker.remove_dead(&kill().await?.id).await.map_err(text)?;
    let stats = broker.stats().await.map_err(text)?;
    if stats.waiting + stats.in_flight + stats.dead == 0 {
        Ok("nothing is left".to_owned())
    } else {
        Err(format!("this is left: {stats:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_suite_passes() {
        let component = BrokerTest(None);
        for case in component.test_suite() {
            case.run.await.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        }
        component.self_test().await.unwrap();
    }
}
