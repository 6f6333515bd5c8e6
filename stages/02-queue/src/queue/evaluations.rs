//! The queue behind the trait that front ends use.

use std::time::Duration;

use shared::output::OutputListener;
use shared::{
    BoxFuture, Evaluation, Evaluations, EvaluationsError, Page, Query, QueueStats, RequestContext,
    Submission,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::TaskQueue;

impl Evaluations for TaskQueue {
    fn submit<'a>(
        &'a self,
        context: &'a RequestContext,
        submission: Submission,
        listener: Option<OutputListener>,
    ) -> BoxFuture<'a, Result<Evaluation, EvaluationsError>> {
        Box::pin(self.accept(context, submission, listener))
    }

    fn get<'a>(
        &'a self,
        _context: &'a RequestContext,
        id: Uuid,
    ) -> BoxFuture<'a, Result<Evaluation, EvaluationsError>> {
        Box::pin(self.parts.ledger.get(id))
    }

    fn wait<'a>(
        &'a self,
        _context: &'a RequestContext,
        id: Uuid,
        timeout: Duration,
    ) -> BoxFuture<'a, Result<Evaluation, EvaluationsError>> {
        Box::pin(self.parts.ledger.wait(id, timeout))
    }

    fn list<'a>(
        &'a self,
        _context: &'a RequestContext,
        query: Query,
    ) -> BoxFuture<'a, Result<Page, EvaluationsError>> {
        Box::pin(async move { self.parts.ledger.list(&query).await })
    }

    fn cancel<'a>(
        &'a self,
        _context: &'a RequestContext,
        id: Uuid,
    ) -> BoxFuture<'a, Result<Evaluation, EvaluationsError>> {
        Box::pin(self.cancel_one(id))
    }

    fn queue_stats(&self) -> BoxFuture<'_, Result<QueueStats, EvaluationsError>> {
        let stats = self.parts.ledger.stats();
        let oldest = stats.oldest_queued.map_or(Duration::ZERO, |accepted| accepted.elapsed());
        // What runs counts as well: a worker elsewhere that takes no more work still runs what it has.
        let places = self.parts.dispatch.places().map(|places| places.max(stats.running));
        let workers = places.unwrap_or(self.options.workers);
        Box::pin(std::future::ready(Ok(QueueStats {
            depth: stats.queued,
            capacity: self.options.capacity,
            workers,
            workers_busy: stats.running,
            oldest_wait_ms: u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX),
        })))
    }

    fn shutdown(&self, now: CancellationToken) -> BoxFuture<'_, ()> {
        Box::pin(self.drain(now))
    }
}
