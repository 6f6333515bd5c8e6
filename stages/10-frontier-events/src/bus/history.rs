//! What is stored of a topic.

use std::sync::Arc;

use stage_03_monitoring::{EventLogError, Filter, Gap, Next, SequencedEvent};
use uuid::Uuid;

use super::{EventBus, Topic};

/// Events that are looked at for one page: one read of the database each, if they are old.
const MAX_SCANNED: usize = 2_000;
/// Data of the events of one page, beyond which it ends.
const MAX_PAGE_BYTES: usize = 1 << 20;

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
    /// The stored events that belong to each of `topics`, after the one numbered `after`, at most `limit`. A page
    /// may be short, or empty, and have a next one. Those of an evaluation are without what the storage reports
    /// about it.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub async fn history(
        &self,
        topics: &[Topic],
        after: u64,
        limit: usize,
    ) -> Result<HistoryPage, EventLogError> {
        let evaluation = topics.iter().find_map(|topic| match topic {
            Topic::Evaluation(id) => Some(*id),
            _ => None,
        });
        let mut page =
            Paging { topics, limit, bytes: 0, last: after, page: HistoryPage::default() };
        match evaluation {
            Some(id) => self.read_evaluation(id, &mut page).await?,
            None => self.read_everything(&mut page).await?,
        }
        Ok(page.page)
    }

    async fn read_everything(&self, page: &mut Paging<'_>) -> Result<(), EventLogError> {
        if page.last == 0 {
            // The beginning of what is stored, as for a stream: no gap before it.
            let position = self.log.position(Filter::Everything, Some(0)).await;
            page.last = position.map_err(|error| EventLogError(error.into()))?.0;
        }
        for _ in 0..MAX_SCANNED {
            match self.log.read_after(Filter::Everything, page.last).await? {
                Some(Next::Event(event)) => page.add(event),
                Some(Next::Gap(gap)) => page.skip(gap),
                Some(Next::Pending | Next::End) | None => return Ok(()),
            }
            if page.is_full() {
                break;
            }
        }
        page.page.next = Some(page.last);
        Ok(())
    }

    /// The log returns a part of what it has of an evaluation, so that only nothing at all is the end.
    async fn read_evaluation(&self, id: Uuid, page: &mut Paging<'_>) -> Result<(), EventLogError> {
        for _ in 0..MAX_SCANNED {
            let Some(stored) = self.log.history(id, page.last).await? else { return Ok(()) };
            if stored.events.is_empty() {
                return Ok(());
            }
            stored.missed.into_iter().for_each(|gap| page.skip(gap));
            let mut events = stored.events.into_iter();
            for event in events.by_ref() {
                page.add(event);
                if page.is_full() {
                    page.page.next = events.next().map(|_| page.last);
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// A page that is being read.
struct Paging<'a> {
    topics: &'a [Topic],
    limit: usize,
    bytes: usize,
    /// The number of the last event that was looked at.
    last: u64,
    page: HistoryPage,
}

impl Paging<'_> {
    fn add(&mut self, event: Arc<SequencedEvent>) {
        self.last = event.sequence;
        if self.topics.iter().all(|topic| topic.matches(&event)) {
            self.bytes += event.event.data.get().len();
            self.page.events.push(event);
        }
    }

    fn skip(&mut self, gap: Gap) {
        self.last = gap.to;
        self.page.missed.push(gap);
    }

    fn is_full(&self) -> bool {
        self.page.events.len() >= self.limit || self.bytes >= MAX_PAGE_BYTES
    }
}
