//! Failures by a random schedule, and what the clients see meanwhile: after Jepsen.

mod check;
mod clients;
mod cluster;
mod disk;
mod history;
mod link;
mod made_up;
mod nemesis;

use std::env;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::thread;
use std::time::{Duration, Instant};

use harness::{Method, eventually, eventually_some};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use check::Counts;
use clients::send;
use cluster::{Cluster, WORKERS};
use history::{History, Kind, Violation};
use nemesis::{Failure, Injected, NETWORK, OF_SQS, PROCESSES, Random};

/// How long everything may take to become quiet at last.
const END_TIMEOUT: Duration = Duration::from_mins(2);

/// How often a run that looks for a bug is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(300);

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
    /// The shortest and the longest time between two failures of one kind, in milliseconds.
    pause_ms: (u64, u64),
    /// Bugs that are put back.
    failpoints: &'static str,
    /// What they have to be found as. The run ends with the first of them.
    until: &'static [Kind],
    /// Whether a submission has a key, so that it is one however often it is sent.
    has_keys: bool,
    /// How many lines all programs print, five a second. None for programs of several kinds.
    lines: Option<u32>,
    /// How long one evaluation may take.
    patience: Duration,
}

impl Plan {
    /// The whole of it, as the recipe or the test command wants it.
    fn whole(broker: &str) -> Self {
        let count = setting("CRUCIBLE_JEPSEN_COUNT", 60);
        // Many clients and a machine at its limit have an evaluation wait, and lose its attempts, for minutes.
        let patience = Duration::from_mins(if count > 100 { 20 } else { 5 });
        Self {
            broker: broker.to_owned(),
            count,
            seed: setting("CRUCIBLE_JEPSEN_SEED", 12),
            clients: setting("CRUCIBLE_JEPSEN_CLIENTS", 10),
            lease_seconds: 4,
            processes: PROCESSES,
            network: NETWORK,
            pause_ms: (200, 1_500),
            failpoints: "",
            until: &[],
            has_keys: true,
            lines: None,
            patience,
        }
    }

    /// A bug, the failures that show it, and what it is found as.
    fn with_bug(
        failpoints: &'static str,
        processes: &'static [Failure],
        until: &'static [Kind],
    ) -> Self {
        let (network, patience) = (&[], Duration::from_secs(90));
        let (count, seed) = (40, 12);
        Self { count, seed, processes, network, failpoints, until, patience, ..Self::whole("nats") }
    }

    fn nothing_fails(&self) -> bool {
        self.processes.is_empty() && self.network.is_empty()
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

async fn run(plan: Plan) -> Shown {
    println!("{plan:?}");
    let started = Instant::now();
    let cluster = Cluster::start(&plan).await;
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
    let random = |of| Random::new(plan.seed, of);
    let whole = async {
        let ((), mut injected, network) = tokio::join!(
            clients,
            nemesis::run(&cluster, &plan, plan.processes, random(1), &done),
            nemesis::run(&cluster, &plan, plan.network, random(2), &done),
        );
        injected.extend(network);
        settle(&cluster, &history, &plan).await;
        injected
    };
    let injected = tokio::select! {
        injected = whole => injected,
        () = found(&cluster, &history, &plan) => Injected::new(),
    };
    following.abort();
    following.await.ok();
    let (counts, violations) = check::check(&history.seen(), &cluster.logs(), plan.nothing_fails());
    println!("{counts:#?}\n{injected:?} in {:.0?}", started.elapsed());
    Shown { counts, injected, violations }
}

/// Waits until what the plan looks for was found.
async fn found(cluster: &Cluster, history: &History, plan: &Plan) {
    loop {
        tokio::time::sleep(CHECK_INTERVAL).await;
        let (_, violations) = check::check(&history.seen(), &cluster.logs(), plan.nothing_fails());
        if violations.iter().any(|violation| plan.until.contains(&violation.kind)) {
            return;
        }
    }
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
    if !plan.failpoints.is_empty() {
        cluster.without_failpoints();
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

#[tokio::test(flavor = "multi_thread")]
async fn on_sqs_each_evaluation_ends_once() {
    let whole = Plan::whole("sqs");
    let shown = run(Plan { count: 24, processes: OF_SQS, network: &[], ..whole }).await;
    assert!(shown.violations.is_empty(), "{:#?}", shown.violations);
    for failure in OF_SQS {
        assert!(shown.injected.contains_key(failure), "{failure:?} was never there");
    }
}

/// Whether the check finds a bug, by one of three schedules.
async fn is_found(plan: Plan) {
    for seed in 12..15 {
        let shown = run(Plan { seed, ..plan.clone() }).await;
        if shown.violations.iter().any(|violation| plan.until.contains(&violation.kind)) {
            return;
        }
        eprintln!("not found with the seed {seed}: {:?}", shown.violations);
    }
    panic!("the bug was never found: {plan:?}");
}

/// Whether the check finds each of these bugs, and nothing without them. All at the same time: most of it is waiting.
fn are_found(bugs: Vec<Plan>, without: Plan) {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    thread::scope(|scope| {
        for bug in bugs {
            scope.spawn(move || runtime().block_on(is_found(bug)));
        }
        scope.spawn(move || {
            let shown = runtime().block_on(run(without));
            println!("without them: {:?}", shown.counts);
            assert!(shown.violations.is_empty(), "{:#?}", shown.violations);
        });
    });
}

/// The process is killed before a commit for which much has gathered.
macro_rules! last_commit {
    () => {
        "store.before_commit=30*off->1*sleep(150)->return(kill)"
    };
}

#[test]
fn bugs_of_the_api_that_are_put_back_are_found() {
    // Of each life of the API one commit takes long enough that much waits for the next, and that is never made.
    let killed = |failpoints, until| {
        let plan = Plan::with_bug(failpoints, &[Failure::KillApi], until);
        Plan { lines: Some(1), pause_ms: (1_500, 3_000), ..plan }
    };
    let early = concat!("fleet.early_confirmation=return;", last_commit!());
    let early = Plan { count: 200, ..killed(early, &[Kind::Report]) };
    let visible = concat!("journal.early_publication=return;", last_commit!());
    // The response to a key is committed after the evaluation, and hides the bug.
    let visible = Plan { count: 200, has_keys: false, ..killed(visible, &[Kind::Lost]) };
    let forgotten =
        Plan::with_bug("fleet.no_republication=return", &[Failure::LoseBroker], &[Kind::Lost]);
    let forgotten = Plan { patience: Duration::from_secs(20), ..forgotten };
    // The failures that show the first two show nothing without them.
    let without = Plan { count: 10, ..killed(last_commit!(), &[]) };
    are_found(vec![early, visible, forgotten], without);
}

#[test]
fn bugs_of_fencing_and_of_claims_that_are_put_back_are_found() {
    let unfenced = Plan::with_bug(
        "fleet.no_fencing=return",
        &[Failure::FreezeWorker],
        &[Kind::Report, Kind::Output],
    );
    // Places are free for the next attempt, which runs when the first is reported.
    let unfenced = Plan { lines: Some(30), clients: 4, count: 24, ..unfenced };
    let twice = Plan::with_bug("fleet.claimed_twice=return", &[], &[Kind::StartedTwice]);
    // Places are free for what is delivered again.
    let (network, clients, count) = (&[Failure::CutWorkerFromBroker], 3, 9);
    let twice = Plan { network, clients, count, lines: Some(60), lease_seconds: 30, ..twice };
    // Nothing fails. What was fetched ahead waits for longer than its lease.
    let ahead = Plan::with_bug("fleet.prefetch=return", &[], &[Kind::Wasted]);
    let ahead = Plan { lines: Some(20), clients: 24, ..ahead };
    let without = Plan { failpoints: "", until: &[], count: 12, lines: Some(5), ..ahead.clone() };
    are_found(vec![unfenced, twice, ahead], Plan { lease_seconds: 30, ..without });
}
