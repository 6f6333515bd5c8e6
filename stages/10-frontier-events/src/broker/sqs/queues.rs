//! The queues, and how full they are.

use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::QueueAttributeName::{
    self, ApproximateNumberOfMessages, ApproximateNumberOfMessagesDelayed,
    ApproximateNumberOfMessagesNotVisible, MessageRetentionPeriod, QueueArn, RedrivePolicy,
};
use serde_json::Value;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

use super::SqsBroker;
use super::error::{failed, is_missing};
use crate::broker::{BrokerError, BrokerStats};

/// SQS's longest: 14 days.
const RETENTION_SECONDS: &str = "1209600";

/// How long a count is good for. Each costs a request.
const COUNT_LIFETIME: Duration = Duration::from_secs(1);

/// How many tickets may be sent before the queue is counted again.
pub(super) struct Room {
    left: u64,
    counted: Instant,
}

/// Whether a redrive policy is that of these dead letters and deliveries. Amazon accepts the count as a number and as text.
fn is_redrive(policy: &str, arn: &str, max_deliveries: u32) -> bool {
    let policy: Value = serde_json::from_str(policy).unwrap_or_default();
    let count = &policy["maxReceiveCount"];
    let count = count.as_u64().or_else(|| count.as_str()?.parse().ok());
    policy["deadLetterTargetArn"] == arn && count == Some(max_deliveries.into())
}

impl SqsBroker {
    fn queue_name(&self, environment: &str) -> String {
        format!("{}-queue-{environment}", self.prefix)
    }

    /// The queue of an environment, created if there is none. Its settings are not changed: a receiver may have others.
    pub(super) async fn find(&self, environment: &str) -> Result<String, BrokerError> {
        self.queue(environment, false).await
    }

    /// The queue of an environment, with these settings.
    pub(super) async fn provide(&self, environment: &str) -> Result<String, BrokerError> {
        self.queue(environment, true).await
    }

    async fn queue(&self, environment: &str, is_publisher: bool) -> Result<String, BrokerError> {
        let name = self.queue_name(environment);
        let mut queues = self.queues.lock().await;
        if let Some(url) = queues.get(&name) {
            return Ok(url.clone());
        }
        let dead = self.dead_queue().await?;
        let arn = self.attributes(&dead, &[QueueArn]).await?.remove(&QueueArn).unwrap_or_default();
        let max = self.options.max_deliveries;
        let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"{max}"}}"#);
        let url = match self.existing(&name).await? {
            Some(url) if is_publisher => {
                // What is as it should be is not written: a publisher needs no right to change queues then.
                let known = self.attributes(&url, &[RedrivePolicy]).await?.remove(&RedrivePolicy);
                if !is_redrive(&known.unwrap_or_default(), &arn, max) {
                    let request = self.client.set_queue_attributes().queue_url(&url);
                    request.attributes(RedrivePolicy, policy).send().await.map_err(failed)?;
                }
                url
            }
            Some(url) => url,
            None => self.create(&name, Some(policy)).await?,
        };
        queues.insert(name, url.clone());
        Ok(url)
    }

    /// The queue of the dead letters.
    pub(super) async fn dead_queue(&self) -> Result<String, BrokerError> {
        let name = format!("{}-dead", self.prefix);
        match self.existing(&name).await? {
            Some(url) => Ok(url),
            None => self.create(&name, None).await,
        }
    }

    async fn existing(&self, name: &str) -> Result<Option<String>, BrokerError> {
        match self.client.get_queue_url().queue_name(name).send().await {
            Ok(found) => Ok(found.queue_url),
            Err(error) if is_missing(error.code().unwrap_or_default()) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    async fn create(&self, name: &str, redrive: Option<String>) -> Result<String, BrokerError> {
        let request = self.client.create_queue().queue_name(name);
        let mut request = request.attributes(MessageRetentionPeriod, RETENTION_SECONDS);
        if let Some(policy) = redrive {
            request = request.attributes(RedrivePolicy, policy);
        }
        let created = request.send().await.map_err(failed)?;
        created.queue_url.ok_or_else(|| BrokerError::Unavailable("a queue without URL".into()))
    }

    /// Looks for the queues again when the broker could not be used: they may be gone.
    pub(super) async fn lost(&self, error: BrokerError) -> BrokerError {
        if matches!(error, BrokerError::Unavailable(_)) {
            self.queues.lock().await.clear();
            self.room.lock().await.clear();
        }
        error
    }

    async fn attributes(
        &self,
        queue: &str,
        names: &[QueueAttributeName],
    ) -> Result<HashMap<QueueAttributeName, String>, BrokerError> {
        let request = self.client.get_queue_attributes().queue_url(queue);
        let request = request.set_attribute_names(Some(names.to_vec()));
        match request.send().await {
            Ok(answer) => Ok(answer.attributes.unwrap_or_default()),
            Err(error) => Err(failed(error)),
        }
    }

    /// Messages of a queue: those that wait, and those that are held or delayed.
    async fn counts(&self, queue: &str) -> Result<(u64, u64), BrokerError> {
        let names = [
            ApproximateNumberOfMessages,
            ApproximateNumberOfMessagesNotVisible,
            ApproximateNumberOfMessagesDelayed,
        ];
        let counts = self.attributes(queue, &names).await?;
        let [waiting, held, delayed] =
            names.map(|name| counts.get(&name).and_then(|n| n.parse().ok()).unwrap_or(0));
        Ok((waiting, held + delayed))
    }

    /// Takes the place of one ticket, and counts the queue when it is not known that there is one.
    pub(super) async fn take_room(
        &self,
        environment: &str,
        queue: &str,
    ) -> Result<(), BrokerError> {
        let mut rooms = self.room.lock().await;
        if let Some(room) = rooms.get_mut(environment)
            && room.left > 0
            && room.counted.elapsed() < COUNT_LIFETIME
        {
            room.left -= 1;
            return Ok(());
        }
        let capacity = self.options.capacity;
        let counted = Instant::now();
        let (waiting, held) = match self.counts(queue).await {
            Ok(counts) => counts,
            Err(error) => {
                drop(rooms);
                return Err(self.lost(error).await);
            }
        };
        let Some(left) = capacity.saturating_sub(waiting + held).checked_sub(1) else {
            return Err(BrokerError::Full { environment: environment.to_owned(), capacity });
        };
        rooms.insert(environment.to_owned(), Room { left, counted });
        Ok(())
    }

    /// Counts the messages of all queues of this prefix.
    pub(super) async fn count(&self) -> Result<BrokerStats, BrokerError> {
        let mut stats = BrokerStats::default();
        let prefix = self.queue_name("");
        let mut pages = self
            .client
            .list_queues()
            .queue_name_prefix(prefix)
            .max_results(1000)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            for queue in page.map_err(failed)?.queue_urls.unwrap_or_default() {
                let (waiting, held) = self.counts(&queue).await?;
                stats.waiting += waiting;
                stats.in_flight += held;
            }
        }
        let (waiting, held) = self.counts(&self.dead_queue().await?).await?;
        stats.dead = waiting + held;
        Ok(stats)
    }
}
