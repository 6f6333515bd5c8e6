//! The evaluations of the table, for the routes of stage 02.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use shared::evaluation::{Evaluation, Evidence, Outcome, Output, Status};
use shared::evaluations::{Answer, Page, Query, QueueStats};
use shared::output::OutputListener;
use shared::{
    BoxFuture, Evaluations, EvaluationsError, Refusal, RequestContext, Stream, Submission, Verdict,
};
use stage_02_queue::{MAX_PAGE_BYTES, matches, queued};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::idempotency::Reserved;
use super::row::{QUEUED, RUNNING, Row, UNPUBLISHED, expected, key, seconds_in, status_text};
use super::table::{Change, DUE_INDEX, Item, KIND_INDEX, OWNER_INDEX, Search, id_of, number, text};
use super::transitions::{ended, group_of};
use super::{Cloud, CloudError};

/// The longest wait: API Gateway gives a function 30 s.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// How often an evaluation is read that a client waits for: the first pause, doubled up to the last.
const WAIT_INTERVALS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How often a cancellation is tried whose evaluation changes meanwhile.
const MAX_CANCELS: usize = 8;
/// Evaluations that are read at the same time for a page.
const MAX_READS: usize = 8;
/// Evaluations that are looked through for one page of a list with a filter.
const MAX_SCANNED: usize = 1_000;
/// How long a page is put together. Lambda ends the function after 29 s.
const MAX_PAGE_TIME: Duration = Duration::from_secs(10);
/// Items that are counted for the state of the queue, at most.
pub(super) const MAX_COUNTED: usize = 10_000;
/// How long the number of those that wait is remembered. Each copy of the function adds what it has accepted meanwhile, and
/// knows nothing of the others: the capacity is passed by what they accept in that time.
const DEPTH_LIFETIME: Duration = Duration::from_secs(2);
/// After a refusal because too many wait, in seconds.
const FULL_DELAY_SECONDS: u64 = 5;

impl Cloud {
    async fn accept(
        &self,
        context: &RequestContext,
        submission: Submission,
    ) -> Result<Evaluation, EvaluationsError> {
        let owner = context.principal.as_deref().unwrap_or_default();
        let mut id = Uuid::now_v7();
        if let Some(idempotency_key) = &context.idempotency_key {
            let reserved = self.reserve(owner, idempotency_key, &submission, id).await?;
            if let Reserved::Known(known) = reserved {
                if let Some(row) = self.row(known).await? {
                    return Ok(self.whole(&row).await?);
                }
                id = known;
            }
        }
        self.check_depth().await?;
        let sandbox = Some(expected(self.options.engine));
        let evaluation = queued(id, &submission, context.principal.clone(), sandbox);
        let item = self.item(&evaluation, &submission, &group_of(owner)).await?;
        let row = Row::read(item.clone())?;
        if !self.table.insert(item, seconds_in(Duration::ZERO)).await? {
            // A repetition of the same request was first.
            let row = self.row(id).await?.ok_or(EvaluationsError::NotFound)?;
            return Ok(self.whole(&row).await?);
        }
        tracing::info!(%id, principal = owner, "evaluation accepted");
        self.publish(&row, 1).await;
        Ok(evaluation)
    }

    /// Attack: a key submits without end, and what waits costs money until it expires → as many wait as may.
    /// Test: `more_than_may_wait_is_refused`.
    async fn check_depth(&self) -> Result<(), EvaluationsError> {
        let mut depth = self.depth.lock().await;
        let known = depth.filter(|(at, _)| at.elapsed() < DEPTH_LIFETIME);
        let (at, waiting) = match known {
            Some(known) => known,
            None => (Instant::now(), self.waiting().await?.len()),
        };
        if waiting >= self.options.capacity {
            *depth = Some((at, waiting));
            let refusal =
                Refusal::new(http::StatusCode::SERVICE_UNAVAILABLE, "the queue is full; try again");
            return Err(refusal.retry_after(FULL_DELAY_SECONDS).into());
        }
        *depth = Some((at, waiting + 1));
        Ok(())
    }

    /// What waits, with a ticket and without.
    async fn waiting(&self) -> Result<Vec<Item>, CloudError> {
        let mut waiting = self.queue(QUEUED, self.options.capacity).await?;
        waiting.extend(self.queue(UNPUBLISHED, self.options.capacity).await?);
        Ok(waiting)
    }

    /// An evaluation with its output so far.
    pub(super) async fn whole(&self, row: &Row) -> Result<Evaluation, CloudError> {
        let mut evaluation = self.record(row).await?;
        if row.status == Status::Running {
            for (stream, output) in
                [(Stream::Stdout, &mut evaluation.stdout), (Stream::Stderr, &mut evaluation.stderr)]
            {
                let (stored, total) = self.output(row, stream).await?;
                *output = Output::new(&stored, total);
            }
        }
        Ok(evaluation)
    }

    async fn found(&self, id: Uuid) -> Result<Row, EvaluationsError> {
        self.row(id).await?.ok_or(EvaluationsError::NotFound)
    }

    async fn wait_for(&self, id: Uuid, timeout: Duration) -> Result<Evaluation, EvaluationsError> {
        let end = Instant::now() + timeout.min(MAX_WAIT);
        let (mut pause, longest) = WAIT_INTERVALS;
        loop {
            let row = self.found(id).await?;
            if row.status.is_final() || Instant::now() >= end {
                return Ok(self.whole(&row).await?);
            }
            tokio::time::sleep_until(end.min(Instant::now() + pause)).await;
            pause = (pause * 2).min(longest);
        }
    }

    // ANCHOR: cancel
    /// Ends what waits, and marks what runs: its worker gets the mark with its next sync.
    async fn cancel_one(&self, id: Uuid) -> Result<Evaluation, EvaluationsError> {
        for _ in 0..MAX_CANCELS {
            let row = self.found(id).await?;
            let status = text(status_text(row.status));
            let attempt = number(row.attempt);
            let same = Change::when("#status = :status AND #attempt = :attempt")
                .with("status", status)
                .with("attempt", attempt);
            if row.status.is_final() {
                return Err(EvaluationsError::AlreadyEnded(row.status));
            }
            if row.status == Status::Running {
                let marked = same.set("cancel", number(Timestamp::now().as_millisecond()));
                if let Some(item) = self.table.update(&key(id), marked).await? {
                    return Ok(self.whole(&Row::read(item)?).await?);
                }
                continue;
            }
            let verdict = Verdict::new(Outcome::Cancelled, Evidence::new("cancelled_before_start"));
            let evaluation = ended(self.record(&row).await?, verdict, Vec::new());
            if self.end(&row, same, &evaluation).await? {
                return Ok(evaluation);
            }
        }
        Err(Refusal::new(http::StatusCode::CONFLICT, "it changes; try again").into())
    }
    // ANCHOR_END: cancel

    /// A page of one key's evaluations, or of all for an administrator.
    async fn page(&self, context: &RequestContext, query: Query) -> Result<Page, CloudError> {
        let principal = context.principal.clone().unwrap_or_default();
        let is_admin = self.keys.is_admin(&principal);
        let (index, condition, from) = if is_admin {
            (KIND_INDEX, "#kind = :of AND #id < :cursor", "evaluation".to_owned())
        } else {
            (OWNER_INDEX, "#owner = :of AND #id < :cursor", principal)
        };
        // Above every id.
        let cursor = query.cursor.map_or_else(|| "g".to_owned(), |id| id.to_string());
        let values = vec![("of", text(from)), ("cursor", text(cursor))];
        let search = Search {
            index: Some(index),
            condition,
            values,
            newest_first: true,
            ..Search::default()
        };
        // One more than the page shows whether there is another.
        let is_filtered =
            query.status.is_some() || query.outcome.is_some() || query.label.is_some();
        let most = if is_filtered { MAX_SCANNED } else { query.limit + 1 };
        let limit = i32::try_from(most.min(query.limit + 1)).ok();
        let found = self.table.all(Search { limit, ..search }, most).await?;
        let ids: Vec<Uuid> = found.iter().filter_map(id_of).collect();
        let (scanned, is_full) = (ids.len(), ids.len() >= most);
        let reads: Vec<_> = ids.into_iter().map(|id| self.listed(id)).collect();
        let mut rows = stream::iter(reads).buffered(MAX_READS);
        let (mut page, mut seen, mut last) = (Page::default(), 0, None);
        // Attack: a list of what has printed the most is more than the function holds, or takes longer than it lives → a
        // page has a budget of both, and a cursor. Test: `a_page_ends_before_its_budget`.
        let (mut left, end) = (MAX_PAGE_BYTES, Instant::now() + MAX_PAGE_TIME);
        while let Some((id, evaluation)) = rows.try_next().await? {
            let evaluation = evaluation.filter(|(one, _)| matches(&query, one));
            let bytes = evaluation.as_ref().map_or(0, |(_, bytes)| *bytes);
            let is_over = (bytes > left && !page.items.is_empty()) || Instant::now() >= end;
            if page.items.len() == query.limit || (is_over && last.is_some()) {
                page.next_cursor = last;
                return Ok(page);
            }
            left = left.saturating_sub(bytes);
            (seen, last) = (seen + 1, Some(id));
            page.items.extend(evaluation.map(|(evaluation, _)| Arc::new(evaluation)));
        }
        if seen == scanned && is_full {
            page.next_cursor = last;
        }
        Ok(page)
    }

    async fn listed(&self, id: Uuid) -> Result<(Uuid, Option<(Evaluation, usize)>), CloudError> {
        let Some(row) = self.row(id).await? else { return Ok((id, None)) };
        Ok((id, Some(self.sized_record(&row).await?)))
    }

    /// What has this `queue`, at most so many.
    pub(super) async fn queue(&self, name: &str, most: usize) -> Result<Vec<Item>, CloudError> {
        let search = Search {
            index: Some(DUE_INDEX),
            condition: "#queue = :queue",
            values: vec![("queue", text(name))],
            ..Search::default()
        };
        self.table.all(search, most).await
    }

    async fn stats(&self) -> Result<QueueStats, CloudError> {
        let waiting = self.waiting().await?;
        let since = waiting.iter().filter_map(id_of).min().and_then(|id| id.get_timestamp());
        let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
        let since = since.map(|at| {
            let (seconds, nanos) = at.to_unix();
            seconds * 1000 + u64::from(nanos) / 1_000_000
        });
        Ok(QueueStats {
            depth: waiting.len(),
            capacity: self.options.capacity,
            workers: self.places().await?,
            workers_busy: self.queue(RUNNING, MAX_COUNTED).await?.len(),
            oldest_wait_ms: since.map_or(0, |since| now.saturating_sub(since)),
        })
    }
}

impl Evaluations for Cloud {
    fn submit<'a>(
        &'a self,
        context: &'a RequestContext,
        submission: Submission,
        _listener: Option<OutputListener>,
    ) -> Answer<'a, Evaluation> {
        Box::pin(self.accept(context, submission))
    }

    fn get<'a>(&'a self, _context: &'a RequestContext, id: Uuid) -> Answer<'a, Evaluation> {
        Box::pin(async move { Ok(self.whole(&self.found(id).await?).await?) })
    }

    fn wait<'a>(
        &'a self,
        _context: &'a RequestContext,
        id: Uuid,
        timeout: Duration,
    ) -> Answer<'a, Evaluation> {
        Box::pin(self.wait_for(id, timeout))
    }

    fn list<'a>(&'a self, context: &'a RequestContext, query: Query) -> Answer<'a, Page> {
        Box::pin(async move { Ok(self.page(context, query).await?) })
    }

    fn cancel<'a>(&'a self, _context: &'a RequestContext, id: Uuid) -> Answer<'a, Evaluation> {
        Box::pin(self.cancel_one(id))
    }

    fn queue_stats(&self) -> Answer<'_, QueueStats> {
        Box::pin(async { Ok(self.stats().await?) })
    }

    /// Nothing is in this process.
    fn shutdown(&self, _now: CancellationToken) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
