//! How many sandboxes wait for a program, for the metrics of the process that speaks HTTP. The pools are in the engine
//! host, which sends the numbers when they have changed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::protocol::Reply;

/// How often the numbers are looked at.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// The sandboxes that wait, by the name of their environment.
pub(crate) type WarmCounts = BTreeMap<String, usize>;

/// How many sandboxes of an engine wait. All clones are of one engine.
#[derive(Clone, Default)]
pub struct WarmSandboxes(Arc<Mutex<Source>>);

#[derive(Default)]
enum Source {
    /// An engine that starts each sandbox for its program.
    #[default]
    None,
    /// What another process has counted last.
    Counted(WarmCounts),
    /// The pools of an engine in this process.
    Pools(Arc<dyn Fn() -> WarmCounts + Send + Sync>),
}

impl WarmSandboxes {
    /// How many wait now. Empty for an engine without pools.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let count = match &*self.source() {
            Source::None => return WarmCounts::new(),
            Source::Counted(counts) => return counts.clone(),
            Source::Pools(count) => Arc::clone(count),
        };
        count()
    }

    /// Another process has counted.
    pub(super) fn set(&self, counts: WarmCounts) {
        *self.source() = Source::Counted(counts);
    }

    /// From now on they are counted by `count`.
    pub(crate) fn follow(&self, count: impl Fn() -> WarmCounts + Send + Sync + 'static) {
        *self.source() = Source::Pools(Arc::new(count));
    }

    /// Sends the numbers whenever they have changed, until `stop` is cancelled.
    pub(super) async fn send_changes(self, replies: mpsc::Sender<Reply>, stop: CancellationToken) {
        let mut last = WarmCounts::new();
        let sending = async {
            loop {
                let sandboxes = self.counts();
                if sandboxes != last {
                    last.clone_from(&sandboxes);
                    if replies.send(Reply::Warm { sandboxes }).await.is_err() {
                        return; // the connection has ended
                    }
                }
                tokio::time::sleep(COUNT_INTERVAL).await;
            }
        };
        stop.run_until_cancelled(sending).await;
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        // No code panics while it holds the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for WarmSandboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WarmSandboxes").field(&self.counts()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn numbers_are_sent_when_they_have_changed_and_no_longer_than_the_connection() {
        let counts = |count: usize| WarmCounts::from([("python".to_owned(), count)]);
        let (pools, stop) = (WarmSandboxes::default(), CancellationToken::new());
        let (sender, mut replies) = mpsc::channel(4);
        let sending = tokio::spawn(pools.clone().send_changes(sender, stop.clone()));
        let mut next = async || {
            let reply = replies.recv().await;
            reply.map(|reply| match reply {
                Reply::Warm { sandboxes } => sandboxes,
                other => panic!("{other:?}"),
            })
        };
        for count in [2, 0] {
            pools.follow(move || counts(count));
            assert_eq!(next().await, Some(counts(count)));
        }
        tokio::time::sleep(10 * COUNT_INTERVAL).await;
        stop.cancel();
        assert_eq!(next().await, None, "nothing has changed");
        sending.await.unwrap();
    }
}
