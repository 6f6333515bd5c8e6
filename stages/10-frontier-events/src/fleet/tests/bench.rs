//! A queue over a fleet in this process, with the broker in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use shared::profile::PYTHON;
use shared::{
    Bounds, Evaluation, Evaluations as _, NoopSink, Profile, RequestContext, SandboxInfo,
    Submission,
};
use stage_02_queue::{
    ArchiveLimits, InMemoryArchive, InMemoryJournal, Journal, Ledger, LedgerParts, QueueOptions,
    QueueParts, TaskQueue,
};
use stage_06_advanced::{Environment, Profiles};
use stage_09_frontier::PriorityDispatch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::broker::{Broker, BrokerOptions, MemoryBroker};
use crate::fleet::claims::ClaimError;
use crate::fleet::members::Caller;
use crate::fleet::wire::{Announcement, ClaimReply, ClaimRequest, PROTOCOL, WireBounds};
use crate::fleet::{BrokerDispatch, Fleet, FleetEngine, FleetOptions};

pub(super) const LEASE: Duration = Duration::from_secs(20);
const REPUBLISH: Duration = Duration::from_secs(40);
pub(super) const DIGEST: &str = "sha256:abc";

/// A queue over a fleet, in this process.
pub(super) struct Bench {
    pub(super) fleet: Arc<Fleet>,
    pub(super) broker: Arc<MemoryBroker>,
    pub(super) queue: Arc<TaskQueue>,
}

/// How many evaluations run and wait at the same time, at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) running: usize,
    pub(super) waiting: usize,
}

/// A fleet and the queue over it, as the API has them.
pub(super) fn over(
    broker: Arc<dyn Broker>,
    journal: Arc<dyn Journal>,
    size: Size,
) -> (Arc<Fleet>, Arc<TaskQueue>) {
    let options = FleetOptions {
        lease: LEASE,
        republish: REPUBLISH,
        engine: "gvisor",
        bounds: bounds(),
        profiles: profiles(),
        local_worker: None,
    };
    let fleet = Fleet::new(broker, options);
    let ledger = Ledger::new(LedgerParts {
        journal,
        archive: Arc::new(InMemoryArchive::new(ArchiveLimits::default())),
        progress: Arc::new(NoopSink),
        sandbox: None,
        capacity: size.waiting,
    });
    // Submissions without an owner have no bound of their own.
    let jobs = Arc::new(PriorityDispatch::new(16, CancellationToken::new()));
    let parts = QueueParts {
        ledger,
        dispatch: BrokerDispatch::start(&fleet, &jobs),
        engine: Some(Arc::new(FleetEngine::new(Arc::clone(&fleet)))),
        events: Arc::new(NoopSink),
    };
    let options = QueueOptions {
        workers: size.running,
        capacity: size.waiting,
        limits: harness::TEST_LIMITS,
    };
    (fleet, TaskQueue::new(parts, options))
}

pub(super) fn bounds() -> Bounds {
    Bounds {
        default: harness::TEST_LIMITS,
        max_timeout_seconds: 10.0,
        max_memory_bytes: 1 << 30,
        max_attempts: 3,
    }
}

fn profiles() -> Profiles {
    let science = Environment {
        profile: Profile { name: "science".into(), ..PYTHON },
        image: "/nowhere".into(),
        digest: DIGEST.to_owned(),
        variables: Vec::new(),
        is_python: true,
        executes_files: false,
        memory_bytes: 1 << 28,
        max_memory_bytes: 1 << 30,
        pids: 8,
        warm_sandboxes: 0,
        uses: stage_06_advanced::EnvironmentUses::EVALUATIONS,
        docker_image: None,
    };
    Profiles { default: PYTHON, environments: vec![science] }
}

impl Bench {
    pub(super) fn new() -> Self {
        let broker = Arc::new(MemoryBroker::new(BrokerOptions::default()));
        let journal = Arc::new(InMemoryJournal::new(Arc::new(NoopSink)));
        let (fleet, queue) = over(broker.clone(), journal, Size { running: 8, waiting: 100 });
        Self { fleet, broker, queue }
    }

    pub(super) fn join(&self, environments: &[(&str, Option<&str>)], capacity: u32) -> Caller {
        let caller = Caller { worker: Uuid::now_v7(), principal: Some("key".to_owned()) };
        self.fleet.announce(&caller, announcement(environments, capacity)).unwrap();
        caller
    }

    pub(super) async fn submit(&self, profile: &str, max_attempts: u32) -> Uuid {
        let submission = Submission {
            profile: profile.to_owned(),
            max_attempts,
            ..Submission::new("", harness::TEST_LIMITS)
        };
        let context = RequestContext::internal();
        self.queue.submit(&context, submission, None).await.unwrap().id
    }

    pub(super) async fn claim(
        &self,
        caller: &Caller,
        id: Uuid,
        attempt: u32,
    ) -> Result<ClaimReply, ClaimError> {
        let request = ClaimRequest { evaluation: id, attempt, claim: Uuid::now_v7() };
        self.fleet.claim(caller, &request).await
    }

    pub(super) async fn get(&self, id: Uuid) -> Evaluation {
        self.queue.get(&RequestContext::internal(), id).await.unwrap()
    }

    /// The tickets that a worker with this environment can receive now.
    pub(super) async fn tickets(&self, environment: &str) -> usize {
        let environments = [environment.to_owned()];
        // The publisher is another task.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let mut count = 0;
        while let Some(delivery) = self.broker.receive(&environments, Duration::ZERO).await.unwrap()
        {
            assert_eq!(delivery.ticket.environment, environment, "{delivery:?}");
            count += 1;
            self.broker.ack(delivery).await.unwrap();
        }
        count
    }
}

pub(super) fn announcement(environments: &[(&str, Option<&str>)], capacity: u32) -> Announcement {
    let environments =
        environments.iter().map(|(name, digest)| ((*name).to_owned(), digest.map(str::to_owned)));
    Announcement {
        protocol: PROTOCOL,
        name: "test".to_owned(),
        version: "0".to_owned(),
        capacity,
        environments: environments.collect::<BTreeMap<_, _>>(),
        sandbox: SandboxInfo { engine: "gvisor".to_owned(), ..SandboxInfo::default() },
        bounds: WireBounds::from(&bounds()),
    }
}
