//! What is stored of a topic.

use std::sync::Arc;

use stage_03_monitoring::{EventLogError, Filter, Gap, Next, SequencedEvent};

use super::{EventBus, Topic};

/// Events that are looked at for one page: one read of the database each, if they are old.
const MAX_SCANNED: usize = 5_000;

/// One page of stored events.
#[derive(Debug, Default)]
pub struct HistoryPage {
    /// Events, in their order.
    pub events: Vec<Arc<SequencedEvent>>,
    /// What was requested and is not stored any more.
    pub missed: Vec<Gap>,
    /// The number after which the next page begins. None when this is the last page.
    pub next: Option<u64>,
}

impl EventBus {
    /// The stored events of a topic after the one numbered `after`, at most `limit`. A page may be
    /// short, or empty, and have a next one.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub async fn history(
        &self,
        topic: &Topic,
        after: u64,
        limit: usize,
    ) -> Result<HistoryPage, EventLogError> {
        if let Topic::Evaluation(id) = topic {
            return self.history_of(*id, after, limit).await;
        }
        let (mut page, mut last) = (HistoryPage::default(), after);
        for _ in 0..MAX_SCANNED {
            match self.log.read_after(Filter::Everything, last).await? {
                Some(Next::Event(event)) => {
                    last = event.sequence;
                    if topic.matches(&event) {
                        page.events.push(event);
                    }
                }
                Some(Next::Gap(gap)) => {
                    last = gap.to;
                    page.missed.push(gap);
                }
                Some(Next::Pending | Next::End) | None => return Ok(page),
            }
            if page.events.len() >= limit {
                break;
            }
        }
        page.next = Some(last);
        Ok(page)
    }

    async fn history_of(
        &self,
        id: uuid::Uuid,
        after: u64,
        limit: usize,
    ) -> Result<HistoryPage, EventLogError> {
        let Some(stored) = self.log.history(id, after).await? else {
            return Ok(HistoryPage::default());
        };
        let mut events = stored.events;
        let is_cut = events.len() > limit;
        events.truncate(limit);
        let next = events.last().filter(|_| is_cut).map(|event| event.sequence);
        Ok(HistoryPage { events, missed: stored.missed.into_iter().collect(), next })
    }
}
