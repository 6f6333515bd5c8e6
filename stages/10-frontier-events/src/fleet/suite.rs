//! How the fleet verifies itself: on a queue of its own with the broker in memory, where the check is the worker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::component::{CheckResult, SelfTestResult};
use shared::profile::PYTHON;
use shared::{
    Bounds, BoxFuture, Evaluation, Evaluations as _, Evidence, NoopSink, Outcome, RequestContext,
    SandboxInfo, Submission, TestCase, TestableComponent, Verdict,
};
use stage_02_queue::{
    ArchiveLimits, Dispatch as _, InMemoryArchive, InMemoryJournal, Ledger, LedgerParts,
    QueueOptions, QueueParts, TaskQueue,
};
use stage_06_advanced::Profiles;
use stage_09_frontier::PriorityDispatch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::members::Caller;
use super::session::{Content, ReportError};
use super::wire::{Announcement, ClaimRequest, PROTOCOL, SyncRequest, WireBounds};
use super::{BrokerDispatch, Fleet, FleetEngine, FleetOptions};
use crate::broker::{Broker as _, BrokerOptions, MemoryBroker};

/// The lease of a check: it has to expire, and a busy machine has to claim within it.
const LEASE: Duration = Duration::from_secs(2);
const REPUBLISH: Duration = Duration::from_millis(200);
/// How long anything may take that should happen soon.
const EVENT_TIMEOUT: Duration = Duration::from_secs(20);
const STEP_INTERVAL: Duration = Duration::from_millis(20);
const ENGINE: &str = "check";

/// The component `fleet`: the workers of this API, if it has some.
pub(super) struct FleetTest {
    pub(super) fleet: Option<Arc<Fleet>>,
    pub(super) bounds: Bounds,
}

impl TestableComponent for FleetTest {
    fn name(&self) -> &'static str {
        "fleet"
    }

    /// A fleet without workers works: what is accepted waits.
    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(async {
            Ok(match &self.fleet {
                Some(fleet) => FleetEngine::new(Arc::clone(fleet)).describe(),
                None => "no workers: programs run in this process".to_owned(),
            })
        })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        suite(self.bounds)
    }
}

/// The checks, with submissions within these bounds.
pub(super) fn suite<'a>(bounds: Bounds) -> Vec<TestCase<'a>> {
    vec![
        TestCase::new("a ticket is claimed once, and its result is the end", claims(bounds)),
        TestCase::new("a token is refused after its lease", expires(bounds)),
        TestCase::new("a cancellation reaches the worker", cancels(bounds)),
        TestCase::new("a ticket that was lost is published again", publishes(bounds)),
    ]
}

/// A queue over a fleet without workers.
struct Scratch {
    fleet: Arc<Fleet>,
    broker: Arc<MemoryBroker>,
    dispatch: Arc<BrokerDispatch>,
    queue: Arc<TaskQueue>,
    bounds: Bounds,
}

impl Drop for Scratch {
    /// Ends the publisher and the tasks of the queue.
    fn drop(&mut self) {
        self.dispatch.close();
    }
}

impl Scratch {
    fn new(bounds: Bounds) -> Self {
        let settings = BrokerOptions { dedup_window: REPUBLISH / 2, ..BrokerOptions::default() };
        let broker = Arc::new(MemoryBroker::new(settings));
        let options = FleetOptions {
            lease: LEASE,
            republish: REPUBLISH,
            engine: ENGINE,
            bounds,
            profiles: Profiles { default: PYTHON, environments: Vec::new() },
            local_worker: None,
        };
        let fleet = Fleet::new(broker.clone(), options);
        let ledger = Ledger::new(LedgerParts {
            journal: Arc::new(InMemoryJournal::new(Arc::new(NoopSink))),
            archive: Arc::new(InMemoryArchive::new(ArchiveLimits::default())),
            progress: Arc::new(NoopSink),
            sandbox: None,
            capacity: 2,
        });
        let jobs = Arc::new(PriorityDispatch::new(2, CancellationToken::new()));
        let dispatch = BrokerDispatch::start(&fleet, &jobs);
        let parts = QueueParts {
            ledger,
            dispatch: dispatch.clone(),
            engine: Some(Arc::new(FleetEngine::new(Arc::clone(&fleet)))),
            events: Arc::new(NoopSink),
        };
        let options = QueueOptions { workers: 2, capacity: 2, limits: bounds.default };
        let queue = TaskQueue::new(parts, options);
        Self { fleet, broker, dispatch, queue, bounds }
    }

    /// Announces a worker, which is a sign of life as well.
    fn announce(&self, worker: &Caller) -> Result<(), String> {
        let announcement = Announcement {
            protocol: PROTOCOL,
            name: "check".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capacity: 1,
            environments: BTreeMap::from([(PYTHON.name.to_string(), None)]),
            sandbox: SandboxInfo { engine: ENGINE.to_owned(), ..SandboxInfo::default() },
            bounds: WireBounds::from(&self.bounds),
        };
        self.fleet.announce(worker, announcement).map(drop).map_err(|error| error.to_string())
    }

    async fn submit(&self) -> Result<Uuid, String> {
        let submission = Submission::new("never run", self.bounds.default);
        let submitted = self.queue.submit(&RequestContext::internal(), submission, None).await;
        submitted.map(|evaluation| evaluation.id).map_err(|error| error.to_string())
    }

    /// Waits for a ticket of this evaluation as its idle worker, and acknowledges it.
    async fn ticket(&self, worker: &Caller, id: Uuid) -> Result<(), String> {
        let (until, environments) = (Instant::now() + EVENT_TIMEOUT, [PYTHON.name.to_string()]);
        while Instant::now() < until {
            self.announce(worker)?;
            let received = self.broker.receive(&environments, LEASE / 4).await;
            let Some(delivery) = received.map_err(|error| error.to_string())? else { continue };
            let evaluation = delivery.ticket.evaluation;
            self.broker.ack(delivery).await.map_err(|error| error.to_string())?;
            if evaluation == id {
                return Ok(());
            }
        }
        Err("there was no ticket".to_owned())
    }

    /// Claims an evaluation. Returns the token.
    async fn claim(&self, worker: &Caller, id: Uuid) -> Result<String, String> {
        self.announce(worker)?;
        let request = ClaimRequest { evaluation: id, attempt: 1, claim: Uuid::now_v7() };
        let claimed = self.fleet.claim(worker, &request).await;
        claimed.map(|reply| reply.token).map_err(|error| error.to_string())
    }

    async fn report(
        &self,
        worker: &Caller,
        token: &str,
        outcome: Outcome,
    ) -> Result<(), ReportError> {
        let verdict = Box::new(Verdict::new(outcome, Evidence::new("check")));
        let excess_bytes = [0, 0];
        let content = Content::Ended { pieces: Vec::new(), file_parts: 0, verdict, excess_bytes };
        self.fleet.report(worker, token, content).await
    }

    async fn end_of(&self, id: Uuid) -> Result<Evaluation, String> {
        let until = Instant::now() + EVENT_TIMEOUT;
        while Instant::now() < until {
            let found = self.queue.get(&RequestContext::internal(), id).await;
            let evaluation = found.map_err(|error| error.to_string())?;
            if evaluation.outcome.is_some() {
                return Ok(evaluation);
            }
            sleep(STEP_INTERVAL).await;
        }
        Err("it does not end".to_owned())
    }
}

fn worker() -> Caller {
    Caller { worker: Uuid::now_v7(), principal: None }
}

async fn claims(bounds: Bounds) -> CheckResult {
    let (scratch, one, two) = (Scratch::new(bounds), worker(), worker());
    let id = scratch.submit().await?;
    scratch.ticket(&one, id).await?;
    let token = scratch.claim(&one, id).await?;
    let Err(refused) = scratch.claim(&two, id).await else {
        return Err("another worker could claim it as well".to_owned());
    };
    if scratch.report(&two, &token, Outcome::Exited).await != Err(ReportError::Fenced) {
        return Err("another worker could report its end".to_owned());
    }
    scratch.report(&one, &token, Outcome::Exited).await.map_err(|error| error.to_string())?;
    match scratch.end_of(id).await?.outcome {
        Some(Outcome::Exited) => Ok(format!("the second claim: {refused}")),
        other => Err(format!("it ended as {other:?}")),
    }
}

async fn expires(bounds: Bounds) -> CheckResult {
    let (scratch, worker) = (Scratch::new(bounds), worker());
    let id = scratch.submit().await?;
    scratch.ticket(&worker, id).await?;
    let token = scratch.claim(&worker, id).await?;
    let ended = scratch.end_of(id).await?;
    if ended.outcome != Some(Outcome::WorkerLost) {
        return Err(format!("without a sign of life it ended as {:?}", ended.outcome));
    }
    match scratch.report(&worker, &token, Outcome::Exited).await {
        Err(ReportError::Fenced) => Ok("a result that comes later is refused".to_owned()),
        other => Err(format!("a result that comes later: {other:?}")),
    }
}

async fn cancels(bounds: Bounds) -> CheckResult {
    let (scratch, worker) = (Scratch::new(bounds), worker());
    let id = scratch.submit().await?;
    scratch.ticket(&worker, id).await?;
    let token = scratch.claim(&worker, id).await?;
    let context = RequestContext::internal();
    let cancelled = scratch.queue.cancel(&context, id);
    let request = SyncRequest { sessions: vec![token.clone()], ..SyncRequest::default() };
    let synced = async {
        let until = Instant::now() + EVENT_TIMEOUT;
        while Instant::now() < until {
            let reply = scratch.fleet.sync(&worker, &request).await;
            if reply.map_err(|error| error.to_string())?.cancel == request.sessions {
                // The worker has ended the program.
                scratch.report(&worker, &token, Outcome::Cancelled).await.ok();
                return Ok(());
            }
        }
        Err("the cancellation did not arrive".to_owned())
    };
    let (cancelled, synced) = tokio::join!(cancelled, synced);
    synced?;
    cancelled.map_err(|error| error.to_string())?;
    match scratch.end_of(id).await?.outcome {
        Some(Outcome::Cancelled) => Ok("and it ended as cancelled".to_owned()),
        other => Err(format!("it ended as {other:?}")),
    }
}

async fn publishes(bounds: Bounds) -> CheckResult {
    let (scratch, worker) = (Scratch::new(bounds), worker());
    let id = scratch.submit().await?;
    // Acknowledged without a claim, as when the broker has lost it.
    scratch.ticket(&worker, id).await?;
    scratch.ticket(&worker, id).await?;
    Ok("an idle worker was sent another one".to_owned())
}
