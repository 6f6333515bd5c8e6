//! What breaks things, by a schedule that follows from a seed.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::Signal;
use tokio::task::block_in_place;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::cluster::{Cluster, WORKERS};
use super::history::History;
use super::link::{Link, Mode};
use super::plan::{Failures, Pace};

/// A generator of numbers that a failure can be repeated with.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64, of: u64) -> Self {
        let mut random = Self((seed ^ of.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1);
        for _ in 0..8 {
            random.below(2);
        }
        random
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    pub(super) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below(to - from))
    }

    fn worker(&mut self) -> usize {
        usize::try_from(self.below(WORKERS as u64)).unwrap()
    }
}

/// One kind of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Failure {
    KillWorker,
    /// Within its lease.
    PauseWorker,
    /// Beyond its lease.
    FreezeWorker,
    KillApi,
    /// Within the lease of its sessions, or beyond it.
    FreezeApi,
    /// Nothing can be written to the disk of the API any more, until something is removed.
    FillDisk,
    KillBroker,
    /// It stands still, for less or more than a ticket is held.
    FreezeBroker,
    /// It forgets everything as well.
    LoseBroker,
    CutWorkerFromApi,
    CutWorkerFromBroker,
    CutApiFromBroker,
    SlowNetwork,
}

/// Those of processes: one at a time.
pub(super) const PROCESSES: &[Failure] = &[
    Failure::KillWorker,
    Failure::PauseWorker,
    Failure::FreezeWorker,
    Failure::KillApi,
    Failure::FreezeApi,
    Failure::FillDisk,
    Failure::KillBroker,
    Failure::FreezeBroker,
    Failure::LoseBroker,
];
/// Those of a server that runs programs itself, without a broker.
pub(super) const ALONE: &[Failure] = &[Failure::KillApi, Failure::FreezeApi, Failure::FillDisk];
/// Those of the network: one at a time, beside one of a process.
pub(super) const NETWORK: &[Failure] = &[
    Failure::CutWorkerFromApi,
    Failure::CutWorkerFromBroker,
    Failure::CutApiFromBroker,
    Failure::SlowNetwork,
];

/// How often each failure was there.
pub(super) type Injected = BTreeMap<Failure, u32>;

/// Injects these failures in a random order, each once before one comes again, and takes each back.
pub(super) async fn run(
    cluster: &Cluster,
    history: &History,
    Failures(failures, pace): Failures,
    mut random: Random,
    done: &CancellationToken,
) -> Injected {
    let (mut injected, mut left) = (Injected::new(), Vec::new());
    let mut count = 0;
    // Each was there at least once, however early the clients were done.
    while injected.len() < failures.len() || !done.is_cancelled() && !failures.is_empty() {
        count += 1;
        let next = async {
            match pace {
                Pace::Pause(shortest, longest) => sleep(random.millis(shortest, longest)).await,
                Pace::Ended(each) => history.have_ended(count * each).await,
            }
        };
        let is_done = done.run_until_cancelled(next).await.is_none();
        if is_done && injected.len() == failures.len() {
            break;
        }
        if left.is_empty() {
            left = failures.to_vec();
        }
        let next = random.below(left.len() as u64);
        let failure = left.swap_remove(usize::try_from(next).unwrap());
        eprintln!("{} have ended: {failure:?}", history.ended());
        inject(cluster, failure, &mut random).await;
        *injected.entry(failure).or_default() += 1;
    }
    injected
}

async fn inject(cluster: &Cluster, failure: Failure, random: &mut Random) {
    let lease = Duration::from_secs(cluster.plan.lease_seconds.into());
    let worker = random.worker();
    match failure {
        Failure::KillWorker => {
            cluster.kill_worker(worker);
            sleep(random.millis(0, 2_000)).await;
            cluster.start_worker(worker);
        }
        Failure::PauseWorker => pause(cluster, worker, random.millis(200, 1_500)).await,
        Failure::FreezeWorker => {
            pause(cluster, worker, lease + random.millis(1_000, 4_000)).await;
        }
        Failure::KillApi => {
            cluster.kill_api();
            sleep(random.millis(0, 1_000)).await;
            cluster.start_api();
        }
        Failure::FreezeApi => {
            cluster.signal_api(Signal::STOP);
            sleep(random.millis(200, 2_000) + lease * u32::try_from(random.below(2)).unwrap())
                .await;
            cluster.signal_api(Signal::CONT);
        }
        Failure::FillDisk => {
            let ballast = block_in_place(|| cluster.disk.fill());
            sleep(random.millis(1_000, 3_000)).await;
            drop(ballast);
        }
        Failure::FreezeBroker => {
            block_in_place(|| cluster.broker.process().freeze());
            sleep(random.millis(500, 6_000)).await;
            cluster.broker.process().thaw();
        }
        Failure::KillBroker | Failure::LoseBroker => {
            let process = cluster.broker.process();
            block_in_place(|| process.stop());
            if failure == Failure::LoseBroker {
                cluster.broker.lose_everything();
            }
            sleep(random.millis(0, 3_000)).await;
            block_in_place(|| process.start());
        }
        Failure::CutWorkerFromApi => cut(&cluster.to_api[worker], random).await,
        Failure::CutWorkerFromBroker => cut(&cluster.to_broker[worker], random).await,
        Failure::CutApiFromBroker => cut(&cluster.api_to_broker, random).await,
        Failure::SlowNetwork => {
            let all =
                || cluster.to_api.iter().chain(&cluster.to_broker).chain([&cluster.api_to_broker]);
            all().for_each(|link| link.set(Mode::Slow(random.millis(20, 400))));
            sleep(random.millis(2_000, 4_000)).await;
            all().for_each(|link| link.set(Mode::Open));
        }
    }
}

async fn pause(cluster: &Cluster, worker: usize, time: Duration) {
    cluster.signal_worker(worker, Signal::STOP);
    sleep(time).await;
    cluster.signal_worker(worker, Signal::CONT);
}

/// Longer than a lease and than a ticket is held, or shorter.
async fn cut(link: &Link, random: &mut Random) {
    link.set(if random.below(2) == 0 { Mode::Silent } else { Mode::Closed });
    sleep(random.millis(1_000, 9_000)).await;
    link.set(Mode::Open);
}
