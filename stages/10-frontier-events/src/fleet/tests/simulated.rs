//! A fleet of simulated workers: they do at the API and the broker what real ones do, and their programs are delays.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::{Evaluations as _, RequestContext, Submission};
use stage_02_queue::TaskQueue;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::bench::{Size, announcement, over};
use super::counted::{Count, CountedBroker, CountedJournal, json_bytes};
use super::{PYTHON_ONLY, exited, output};
use crate::broker::{Broker as _, Delivery};
use crate::fleet::Fleet;
use crate::fleet::claims::ClaimError;
use crate::fleet::members::Caller;
use crate::fleet::wire::{ClaimRequest, SyncRequest};

/// How long a worker waits for a ticket in one request.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// What each program prints, twice.
const OUTPUT_LINE: &str = "a line of forty characters, as they come\n";
/// After an error of the broker or the API.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What is simulated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) workers: u32,
    /// Programs that each of them runs at the same time.
    pub(super) places: u32,
    /// The shortest and the longest program, in milliseconds. All between are as frequent.
    pub(super) run_ms: (u64, u64),
    /// The size of a program.
    pub(super) program_bytes: usize,
    /// How long a request to the API, a call to the broker and a commit take.
    pub(super) latency: [Duration; 3],
}

/// The requests of workers to the API.
#[derive(Debug, Default)]
pub(super) struct Requests {
    pub(super) claims: Count,
    pub(super) refused: Count,
    pub(super) outputs: Count,
    pub(super) results: Count,
    pub(super) syncs: Count,
    pub(super) bytes: Count,
}

/// A fleet that works, and the queue over it.
pub(super) struct Simulation {
    plan: Plan,
    pub(super) fleet: Arc<Fleet>,
    pub(super) queue: Arc<TaskQueue>,
    pub(super) broker: Arc<CountedBroker>,
    pub(super) journal: Arc<CountedJournal>,
    pub(super) requests: Requests,
    submitted: Mutex<HashMap<Uuid, Instant>>,
    /// How long evaluations have waited until a worker had them.
    waits: Mutex<Vec<Duration>>,
    tasks: Mutex<JoinSet<()>>,
}

impl Simulation {
    /// Starts the workers.
    pub(super) fn start(plan: Plan, waiting: usize) -> Arc<Self> {
        let [_, call, commit] = plan.latency;
        let broker = CountedBroker::new(call);
        let journal = Arc::new(CountedJournal { latency: commit, ..CountedJournal::default() });
        let running = usize::try_from(plan.workers.max(10) * plan.places).unwrap();
        let (fleet, queue) = over(broker.clone(), journal.clone(), Size { running, waiting });
        let simulation = Arc::new(Self {
            plan,
            fleet,
            queue,
            broker,
            journal,
            requests: Requests::default(),
            submitted: Mutex::default(),
            waits: Mutex::default(),
            tasks: Mutex::default(),
        });
        simulation.join(plan.workers);
        simulation
    }

    /// So many workers join.
    pub(super) fn join(self: &Arc<Self>, workers: u32) {
        let (places, mut tasks) = (self.plan.places, self.tasks.lock().unwrap());
        for number in 0..workers {
            let worker = Caller { worker: Uuid::now_v7(), principal: Some("key".to_owned()) };
            self.fleet.announce(&worker, announcement(&PYTHON_ONLY, places)).unwrap();
            let sessions = Arc::new(Mutex::default());
            tasks.spawn(Arc::clone(self).sync(worker.clone(), Arc::clone(&sessions)));
            for place in 0..places {
                let random = Random::new(u64::from(number * places + place));
                let sessions = Arc::clone(&sessions);
                tasks.spawn(Arc::clone(self).place(worker.clone(), sessions, random));
            }
        }
    }

    /// Submits one evaluation.
    pub(super) async fn submit(&self) {
        let code = "x".repeat(self.plan.program_bytes);
        let submission =
            Submission { max_attempts: 3, ..Submission::new(code, harness::TEST_LIMITS) };
        let submitted = Instant::now();
        let accepted = self.queue.submit(&RequestContext::internal(), submission, None).await;
        self.submitted.lock().unwrap().insert(accepted.unwrap().id, submitted);
    }

    /// Submits so many, evenly over a time.
    pub(super) async fn submit_over(self: &Arc<Self>, count: u32, time: Duration) {
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for number in 0..count {
            tokio::time::sleep_until(started + time * number / count).await;
            let simulation = Arc::clone(self);
            tasks.spawn(async move { simulation.submit().await });
            while tasks.try_join_next().is_some() {}
        }
        tasks.join_all().await;
    }

    /// Waits until so many have ended.
    pub(super) async fn until_ended(&self, count: u64, most: Duration) {
        let started = Instant::now();
        while self.journal.ended.get() < count {
            assert!(started.elapsed() < most, "{} of {count} have ended", self.journal.ended.get());
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Ends the workers.
    pub(super) async fn stop(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        tasks.shutdown().await;
    }

    /// How long evaluations have waited: the median and the longest.
    pub(super) fn waits(&self) -> (Duration, Duration) {
        let mut waits = self.waits.lock().unwrap().clone();
        waits.sort_unstable();
        (waits[waits.len() / 2], waits[waits.len() - 1])
    }

    async fn sync(self: Arc<Self>, worker: Caller, sessions: Arc<Mutex<Vec<String>>>) {
        loop {
            let tokens = sessions.lock().unwrap().clone();
            let request = SyncRequest { sessions: tokens, ..SyncRequest::default() };
            self.request(&self.requests.syncs, json_bytes(&request)).await;
            self.fleet.sync(&worker, &request).await.unwrap();
        }
    }

    /// Takes tickets and does what they say, as a place of a worker does.
    async fn place(
        self: Arc<Self>,
        worker: Caller,
        sessions: Arc<Mutex<Vec<String>>>,
        mut random: Random,
    ) {
        let environments = ["python".to_owned()];
        loop {
            match self.broker.receive(&environments, RECEIVE_TIMEOUT).await {
                Ok(None) => {}
                Err(_) => sleep(RETRY_INTERVAL).await,
                Ok(Some(delivery)) => {
                    let (shortest, longest) = self.plan.run_ms;
                    let run = Duration::from_millis(shortest + random.below(longest - shortest));
                    let working = self.work(&worker, &sessions, &delivery, run);
                    tokio::select! {
                        () = working => {}
                        () = self.hold(&delivery) => {}
                    }
                    self.broker.ack(delivery).await.ok(); // it may be away
                }
            }
        }
    }

    async fn hold(&self, delivery: &Delivery) {
        loop {
            sleep(self.broker.heartbeat_interval()).await;
            self.broker.extend(delivery).await.ok(); // the session decides
        }
    }

    async fn work(
        &self,
        worker: &Caller,
        sessions: &Mutex<Vec<String>>,
        delivery: &Delivery,
        run: Duration,
    ) {
        let evaluation = delivery.ticket.evaluation;
        let attempt = delivery.ticket.attempt;
        let request = ClaimRequest { evaluation, attempt, claim: Uuid::now_v7() };
        self.request(&self.requests.claims, json_bytes(&request)).await;
        let reply = match self.fleet.claim(worker, &request).await {
            Ok(reply) => reply,
            Err(ClaimError::Refused(_)) => return self.requests.refused.add(1),
            Err(error) => panic!("{error}"),
        };
        self.requests.bytes.add(json_bytes(&reply));
        if let Some(submitted) = self.submitted.lock().unwrap().remove(&evaluation) {
            self.waits.lock().unwrap().push(submitted.elapsed());
        }
        let token = reply.token;
        sessions.lock().unwrap().push(token.clone());
        for half in 0..2 {
            sleep(run / 2).await;
            // Base64, and the members around it.
            self.request(&self.requests.outputs, OUTPUT_LINE.len() as u64 * 4 / 3 + 100).await;
            let content = output(half * OUTPUT_LINE.len() as u64, OUTPUT_LINE);
            self.fleet.report(worker, &token, content).await.unwrap();
        }
        self.request(&self.requests.results, 500).await; // a verdict
        self.fleet.report(worker, &token, exited()).await.unwrap();
        sessions.lock().unwrap().retain(|other| *other != token);
    }

    async fn request(&self, count: &Count, bytes: u64) {
        count.add(1);
        self.requests.bytes.add(bytes);
        sleep(self.plan.latency[0]).await;
    }
}

/// The same numbers each time.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}
