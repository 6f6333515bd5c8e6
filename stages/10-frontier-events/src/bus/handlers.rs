//! Subscribers that are called: async functions, and functions on a thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use stage_03_monitoring::SubscribeError;

use super::reader::{BusItem, BusReader};
use super::{EventBus, Subscribe};

/// How long a handler may take for one event.
pub(super) const HANDLER_TIMEOUT: Duration = Duration::from_secs(30);

impl EventBus {
    /// Calls `handler` for each event, one after the other. A call that panics or takes longer than
    /// 30 seconds is counted, and the next event is handled.
    ///
    /// # Errors
    ///
    /// As [`EventBus::subscribe`].
    pub async fn attach<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<Self>,
        how: Subscribe,
        handler: impl Fn(BusItem) -> F + Send + 'static,
    ) -> Result<(), SubscribeError> {
        self.attach_within(HANDLER_TIMEOUT, how, handler).await
    }

    /// The same, with another time for each event.
    ///
    /// # Errors
    ///
    /// As [`EventBus::subscribe`].
    pub async fn attach_within<F: Future<Output = ()> + Send + 'static>(
        &self,
        limit: Duration,
        how: Subscribe,
        handler: impl Fn(BusItem) -> F + Send + 'static,
    ) -> Result<(), SubscribeError> {
        let name = how.name;
        let mut reader = self.subscribe(how).await?;
        tokio::spawn(async move {
            while let Ok(item) = reader.next().await {
                // A task of its own: a panic ends that one.
                let mut call = tokio::spawn(handler(item));
                match tokio::time::timeout(limit, &mut call).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => failed(name, &reader, &error.to_string()),
                    Err(_) => {
                        call.abort();
                        failed(name, &reader, "the call took too long");
                    }
                }
            }
        });
        Ok(())
    }

    /// Calls `handler` for each event on a thread of its own, where it may block.
    ///
    /// # Errors
    ///
    /// As [`EventBus::subscribe`].
    pub async fn attach_blocking(
        &self,
        how: Subscribe,
        handler: impl Fn(BusItem) + Send + 'static,
    ) -> Result<(), SubscribeError> {
        let name = how.name;
        let mut reader = self.subscribe(how).await?;
        let run = move || {
            while let Ok(item) = reader.next_blocking() {
                if catch_unwind(AssertUnwindSafe(|| handler(item))).is_err() {
                    failed(name, &reader, "the call panicked");
                }
            }
        };
        let thread = std::thread::Builder::new().name(format!("bus-{name}")).spawn(run);
        thread.map(drop).map_err(|error| SubscribeError::Unavailable(error.into()))
    }
}

fn failed(subscriber: &'static str, reader: &BusReader, error: &str) {
    reader.count_failure();
    tracing::error!(subscriber, error, "a subscriber failed at an event");
}
