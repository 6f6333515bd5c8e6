//! Failures by a random schedule, and what the clients see meanwhile: after Jepsen.

mod bugs;
mod check;
mod clients;
mod cluster;
mod disk;
mod history;
mod link;
mod made_up;
mod nemesis;
mod plan;

use std::future;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

use harness::{Method, eventually, eventually_some};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use check::Counts;
use clients::send;
use cluster::Cluster;
use history::{History, Kind, Violation};
use nemesis::{ALONE, Injected, NETWORK, PROCESSES, Random};
use plan::{Failures, Pace, Plan};

/// How long everything may take to become quiet at last.
const END_TIMEOUT: Duration = Duration::from_mins(2);

/// How often a run that looks for a bug is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(300);

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
            nemesis::run(&cluster, &history, plan.processes, random(1), &done),
            nemesis::run(&cluster, &history, plan.network, random(2), &done),
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
    let slowest = history.seen().slowest;
    println!("{injected:?}\nin {:.0?}, the slowest evaluation in {slowest:.0?}", started.elapsed());
    println!("{}", summary(&plan, &counts, &injected, violations.len()));
    Shown { counts, injected, violations }
}

/// One line of the table in the book.
fn summary(plan: &Plan, counts: &Counts, injected: &Injected, violations: usize) -> String {
    let ended =
        |outcome| counts.ended.get(outcome).copied().map_or_else(|| "0".into(), |n| n.to_string());
    let cells = [
        plan.broker.to_owned(),
        plan.seed.to_string(),
        counts.ended.values().sum::<u32>().to_string(),
        injected.values().sum::<u32>().to_string(),
        ["exited", "cancelled", "worker_lost"].map(ended).join(" / "),
        counts.started.to_string(),
        counts.repeated.to_string(),
        counts.fenced.to_string(),
        counts.events.to_string(),
        violations.to_string(),
    ];
    format!(
        "| broker | seed | evaluations | failures injected | exited / cancelled / lost | attempts started \
         | repeated | refused sessions | events | violations |\n| {} |",
        cells.join(" | ")
    )
}

/// Waits until what the plan looks for was found: without limit, when it looks for nothing.
async fn found(cluster: &Cluster, history: &History, plan: &Plan) {
    if plan.until.is_empty() {
        future::pending::<()>().await;
    }
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
    let workers = cluster.workers() as u64;
    eventually_some("the workers take work", END_TIMEOUT, async || {
        let (_, status) = send(client.request(Method::GET, "/status")).await?;
        (workers == 0 || status["fleet"]["ready"].as_u64()? >= workers).then_some(())
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
    if cluster.workers() > 0 && status["fleet"]["running"] != 0 {
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

async fn each_evaluation_ends_once(plan: Plan) -> Counts {
    let shown = run(plan.clone()).await;
    assert!(shown.violations.is_empty(), "{:#?}", shown.violations);
    // Each kind of failure was there, and each kind of program.
    for failure in plan.processes.0.iter().chain(plan.network.0) {
        assert!(shown.injected.contains_key(failure), "{failure:?} was never there");
    }
    let exited = shown.counts.ended.get("exited").copied().unwrap_or_default();
    assert!(exited >= plan.count / 3 && shown.counts.repeated > 0, "{:?}", shown.counts);
    shown.counts
}

#[tokio::test(flavor = "multi_thread")]
async fn on_nats_each_evaluation_ends_once() {
    let network = Failures(NETWORK, Pace::Ended(50));
    let plan = Plan { network, ..Plan::whole("nats", PROCESSES) };
    assert!(each_evaluation_ends_once(plan).await.fenced > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sqs_each_evaluation_ends_once() {
    let network = Failures(NETWORK, Pace::Ended(50));
    let plan = Plan { network, ..Plan::whole("sqs", PROCESSES) };
    assert!(each_evaluation_ends_once(plan).await.fenced > 0);
}

/// Without a broker: one process that serves and runs.
#[tokio::test(flavor = "multi_thread")]
async fn on_memory_each_evaluation_ends_once() {
    each_evaluation_ends_once(Plan::whole("memory", ALONE)).await;
}
