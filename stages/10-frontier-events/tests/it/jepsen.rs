//! Failures by a random schedule, and what the clients see meanwhile: after Jepsen.

mod check;
mod clients;
mod cluster;
mod history;
mod link;
mod made_up;
mod nemesis;

use std::env;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use harness::{Method, eventually, eventually_some};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use check::Counts;
use clients::send;
use cluster::{Cluster, WORKERS};
use history::{History, Kind, Violation};
use nemesis::{Failure, Injected, NETWORK, PROCESSES, Random};

/// How long everything may take to become quiet at last.
const END_TIMEOUT: Duration = Duration::from_mins(2);

/// One run.
#[derive(Debug, Clone)]
struct Plan {
    broker: String,
    count: u32,
    seed: u64,
    clients: u32,
    lease_seconds: u32,
    processes: &'static [Failure],
    network: &'static [Failure],
    /// Bugs that are put back.
    failpoints: &'static str,
    /// How many lines all programs print, five a second. None for programs of several kinds.
    lines: Option<u32>,
    /// How long one evaluation may take.
    patience: Duration,
}

impl Plan {
    /// The whole of it, as the recipe or the test command wants it.
    fn whole(broker: &str) -> Self {
        Self {
            broker: broker.to_owned(),
            count: setting("CRUCIBLE_JEPSEN_COUNT", 60),
            seed: setting("CRUCIBLE_JEPSEN_SEED", 12),
            clients: 10,
            lease_seconds: 4,
            processes: PROCESSES,
            network: NETWORK,
            failpoints: "",
            lines: None,
            patience: Duration::from_mins(4),
        }
    }

    /// A bug, and the failures that show it.
    fn with_bug(failpoints: &'static str, processes: &'static [Failure]) -> Self {
        let (network, patience) = (&[], Duration::from_secs(90));
        Self {
            count: 40,
            seed: 12,
            processes,
            network,
            failpoints,
            patience,
            ..Self::whole("nats")
        }
    }
}

fn setting<T: FromStr>(name: &str, default: T) -> T {
    match env::var(name) {
        Ok(text) => text.parse().ok().unwrap_or_else(|| panic!("{name} is no number: {text}")),
        Err(_) => default,
    }
}

/// What a run has shown.
struct Shown {
    counts: Counts,
    injected: Injected,
    violations: Vec<Violation>,
}

impl Shown {
    fn has(&self, kinds: &[Kind]) -> bool {
        self.violations.iter().any(|violation| kinds.contains(&violation.kind))
    }
}

async fn run(plan: Plan) -> Shown {
    println!("{plan:?}");
    let cluster = Cluster::start(&plan.broker, plan.lease_seconds, plan.failpoints).await;
    let (history, done) = (Arc::new(History::default()), CancellationToken::new());
    let client = cluster.client();
    ready(&cluster).await;
    let following = tokio::spawn(clients::follow(client.clone(), Arc::clone(&history)));
    let clients = async {
        let (mut tasks, next) = (JoinSet::new(), Arc::new(AtomicU32::new(0)));
        for _ in 0..plan.clients {
            let history = Arc::clone(&history);
            tasks.spawn(clients::submit(client.clone(), history, plan.clone(), Arc::clone(&next)));
        }
        tasks.join_all().await;
        done.cancel();
    };
    let lease = Duration::from_secs(plan.lease_seconds.into());
    let random = |of| Random::new(plan.seed, of);
    let ((), mut injected, network) = tokio::join!(
        clients,
        nemesis::run(&cluster, plan.processes, lease, random(1), &done),
        nemesis::run(&cluster, plan.network, lease, random(2), &done),
    );
    injected.extend(network);
    settle(&cluster, &history, &plan).await;
    following.abort();
    following.await.ok();
    let (counts, violations) = check::check(&history.seen(), &cluster.logs());
    println!("{counts:#?}\n{injected:?}");
    Shown { counts, injected, violations }
}

/// Waits until all workers take work.
async fn ready(cluster: &Cluster) {
    let client = cluster.client();
    eventually_some("the workers take work", END_TIMEOUT, async || {
        let (_, status) = send(client.request(Method::GET, "/status")).await?;
        (status["fleet"]["ready"].as_u64()? >= WORKERS as u64).then_some(())
    })
    .await;
}

/// Everything is healed: waits until all events are read, and looks at what is left. The API is killed and started
/// once more, and has to say the same.
async fn settle(cluster: &Cluster, history: &History, plan: &Plan) {
    let client = cluster.client();
    if history.seen().violations.iter().any(|violation| violation.kind == Kind::Lost) {
        return; // it would never be quiet
    }
    ready(cluster).await;
    let marker = client.submit_code("print('the last')").await;
    client.wait(&marker).await;
    let newest = client.events(&marker).await.rest().await.last().unwrap().sequence;
    eventually("every event is read", END_TIMEOUT, || history.last_event() >= newest).await;
    left(cluster, history).await;
    cluster.kill_api();
    cluster.start_api();
    let ids: Vec<String> = history.seen().evaluations.keys().cloned().collect();
    let short = Plan { patience: plan.patience.min(Duration::from_secs(10)), ..plan.clone() };
    for id in ids {
        clients::until_ended(&client, history, &short, &id).await;
    }
}

/// Programs, sessions and failures that are left over.
async fn left(cluster: &Cluster, history: &History) {
    let client = cluster.client();
    let ids: Vec<String> = history.seen().evaluations.keys().cloned().collect();
    let mut programs = programs_of(&ids);
    // The end of a program that was lost takes its time.
    for _ in 0..100 {
        if programs.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        programs = programs_of(&ids);
    }
    if !programs.is_empty() {
        history.violation(Kind::Left, format!("programs run: {programs:?}"));
    }
    let status = client.get("/status").await.json();
    if status["fleet"]["running"] != 0 {
        history.violation(Kind::Left, format!("sessions are open: {status}"));
    }
    let started = client.post("/self-test", &json!({})).await.json();
    let path = format!("/self-test/{}", started["id"].as_str().unwrap_or_default());
    let tested = eventually_some("the self test ends", END_TIMEOUT, async || {
        Some(client.get(&path).await.json()).filter(|run: &Value| run["status"] != "running")
    })
    .await;
    if tested["passed"] != true {
        history.violation(Kind::Left, format!("the self test fails: {tested}"));
    }
}

/// The processes of these evaluations.
fn programs_of(ids: &[String]) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let environments = processes
        .filter_map(|process| std::fs::read(process.path().join("environ")).ok())
        .map(|environment| String::from_utf8_lossy(&environment).into_owned());
    let evaluation = |environment: String| {
        let mut variables = environment.split('\0');
        variables.find_map(|one| one.strip_prefix("CRUCIBLE_EVALUATION=")).map(str::to_owned)
    };
    environments.filter_map(evaluation).filter(|id| ids.contains(id)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_each_evaluation_ends_once() {
    let broker = env::var("CRUCIBLE_JEPSEN_BROKER").unwrap_or_else(|_| "nats".to_owned());
    let shown = run(Plan::whole(&broker)).await;
    assert!(shown.violations.is_empty(), "{:#?}", shown.violations);
    // Each kind of failure was there, and each kind of program.
    for failure in PROCESSES.iter().chain(NETWORK) {
        assert!(shown.injected.contains_key(failure), "{failure:?} was never there");
    }
    let exited = shown.counts.ended.get("exited").copied().unwrap_or_default();
    assert!(exited >= 20 && shown.counts.repeated > 0 && shown.counts.fenced > 0);
}

/// Whether the check finds one of these with a bug, by one of three schedules.
async fn finds(plan: Plan, kinds: &[Kind]) {
    for seed in 12..15 {
        let shown = run(Plan { seed, ..plan.clone() }).await;
        if shown.has(kinds) {
            return;
        }
        eprintln!("not found with the seed {seed}: {:?}", shown.violations);
    }
    panic!("the bug was never found");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_fencing_the_check_fails() {
    let plan = Plan::with_bug("fleet.no_fencing=return", &[Failure::FreezeWorker]);
    finds(Plan { lines: Some(30), count: 24, ..plan }, &[Kind::Report, Kind::Output]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_results_that_are_confirmed_too_early_the_check_fails() {
    // A commit takes long enough that a crash can come before it.
    let failpoints = "fleet.early_confirmation=return;store.before_commit=sleep(100)";
    let plan = Plan::with_bug(failpoints, &[Failure::KillApi]);
    finds(Plan { count: 20, ..plan }, &[Kind::Report]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_republication_the_check_fails() {
    let plan = Plan::with_bug("fleet.no_republication=return", &[Failure::LoseBroker]);
    finds(Plan { patience: Duration::from_secs(20), ..plan }, &[Kind::Lost]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_tickets_that_are_claimed_twice_the_check_fails() {
    let plan = Plan::with_bug("fleet.claimed_twice=return", &[]);
    // Places are free for what is delivered again.
    let (network, clients, count) = (&[Failure::CutWorkerFromBroker], 3, 9);
    let plan = Plan { network, clients, count, lines: Some(60), lease_seconds: 30, ..plan };
    finds(plan, &[Kind::StartedTwice]).await;
}
