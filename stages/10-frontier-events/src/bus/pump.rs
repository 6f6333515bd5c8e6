//! Moves events from the log into the queue of one subscriber.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use stage_03_monitoring::{EventLog, Gap, Next, SequencedEvent};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use super::reader::{BusItem, ReadEnd};
use super::{Counts, Lag, Topic};

/// How long the log is left alone after it could not be read.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// The task of one subscriber.
pub(super) struct Pump {
    pub(super) log: Arc<dyn EventLog>,
    pub(super) topic: Topic,
    pub(super) lag: Lag,
    pub(super) sender: mpsc::Sender<BusItem>,
    pub(super) newest: watch::Receiver<u64>,
    pub(super) counts: Arc<Counts>,
    pub(super) end: Arc<OnceLock<ReadEnd>>,
}

/// The subscriber is gone, or is to be disconnected.
struct Closed;

impl Pump {
    // ANCHOR: pump
    pub(super) async fn run(mut self, mut last: u64) {
        let mut missed = None;
        loop {
            // Marked as seen before the log is read: what is appended in between wakes this task.
            self.newest.borrow_and_update();
            let sent = match self.log.read_after(self.topic.filter(), last).await {
                Ok(Some(Next::Event(event))) => {
                    last = event.sequence;
                    let is_wanted = self.topic.matches(&event);
                    if is_wanted { self.send(event, &mut missed).await } else { Ok(()) }
                }
                Ok(Some(Next::Gap(gap))) => {
                    last = gap.to;
                    self.gap(gap, &mut missed).await
                }
                Ok(Some(Next::Pending)) => self.wait(&mut missed).await,
                Ok(Some(Next::End) | None) => {
                    self.report(&mut missed).await.ok();
                    return;
                }
                Err(error) => {
                    tracing::warn!(%error, "the event log was not read");
                    tokio::time::sleep(RETRY_DELAY).await;
                    Ok(())
                }
            };
            self.counts.position.store(last, Ordering::Relaxed);
            if sent.is_err() {
                return;
            }
        }
    }
    // ANCHOR_END: pump

    async fn send(
        &self,
        event: Arc<SequencedEvent>,
        missed: &mut Option<Gap>,
    ) -> Result<(), Closed> {
        let number = event.sequence;
        let delivered = match self.lag {
            Lag::Wait => self.sender.send(BusItem::Event(event)).await.map_err(|_| Closed),
            Lag::Drop => {
                if !self.is_reported(missed)? {
                    return self.drop_event(number, missed);
                }
                match self.sender.try_send(BusItem::Event(event)) {
                    Err(TrySendError::Full(_)) => return self.drop_event(number, missed),
                    sent => sent.map_err(|_| Closed),
                }
            }
            Lag::Disconnect => self.sender.try_send(BusItem::Event(event)).map_err(|error| {
                if matches!(error, TrySendError::Full(_)) {
                    self.end.get_or_init(|| ReadEnd::Lagged { next: number });
                }
                Closed
            }),
        };
        self.counts.delivered.fetch_add(1, Ordering::Relaxed);
        delivered
    }

    #[expect(clippy::unnecessary_wraps, reason = "the same as of the other ways")]
    fn drop_event(&self, number: u64, missed: &mut Option<Gap>) -> Result<(), Closed> {
        missed.get_or_insert(Gap { from: number, to: number }).to = number;
        self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// What the log itself has dropped, joined with what was dropped before.
    async fn gap(&self, gap: Gap, missed: &mut Option<Gap>) -> Result<(), Closed> {
        missed.get_or_insert(gap).to = gap.to;
        match self.lag {
            Lag::Wait => self.report(missed).await,
            Lag::Drop => self.is_reported(missed).map(drop),
            Lag::Disconnect => {
                self.end.get_or_init(|| ReadEnd::Lagged { next: gap.from });
                Err(Closed)
            }
        }
    }

    /// Puts the marker of a gap into the queue if there is one and there is room. False when it is due.
    fn is_reported(&self, missed: &mut Option<Gap>) -> Result<bool, Closed> {
        let Some(gap) = *missed else { return Ok(true) };
        match self.sender.try_send(BusItem::Missed(gap)) {
            Ok(()) => {
                *missed = None;
                Ok(true)
            }
            Err(TrySendError::Full(_)) => Ok(false),
            Err(TrySendError::Closed(_)) => Err(Closed),
        }
    }

    async fn report(&self, missed: &mut Option<Gap>) -> Result<(), Closed> {
        let Some(gap) = missed.take() else { return Ok(()) };
        self.sender.send(BusItem::Missed(gap)).await.map_err(|_| Closed)
    }

    /// Waits for the next event; if a marker is due, for room for that as well.
    async fn wait(&mut self, missed: &mut Option<Gap>) -> Result<(), Closed> {
        let sender = self.sender.clone();
        tokio::select! {
            // An error means that the log of an evaluation is gone; it reports that as well.
            _ = self.newest.changed() => Ok(()),
            () = sender.closed() => Err(Closed),
            permit = sender.reserve(), if missed.is_some() => {
                let permit = permit.map_err(|_| Closed)?;
                if let Some(gap) = missed.take() {
                    permit.send(BusItem::Missed(gap));
                }
                Ok(())
            }
        }
    }
}
