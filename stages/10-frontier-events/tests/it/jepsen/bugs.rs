//! Bugs that are put back: the check has to find each of them.

use std::thread;
use std::time::Duration;

use super::history::Kind;
use super::nemesis::Failure;
use super::plan::{Failures, Pace, Plan};
use super::run;

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
        let plan = Plan::with_bug(failpoints, &[], until);
        let processes = Failures(&[Failure::KillApi], Pace::Pause(1_500, 3_000));
        Plan { lines: Some(1), processes, ..plan }
    };
    let early = concat!("fleet.early_confirmation=return;", last_commit!());
    let early = Plan { count: 200, ..killed(early, &[Kind::Report]) };
    // Clients that could not reach the API submit when it is back, and read again after up to a second: a life has to be
    // longer than that for submissions to come before its last commit.
    let visible = "journal.early_publication=return;\
                   store.before_commit=100*off->1*sleep(500)->return(kill)";
    let lives = Failures(&[Failure::KillApi], Pace::Pause(4_000, 6_000));
    // The response to a key is committed after the evaluation, and hides the bug.
    let visible = killed(visible, &[Kind::Lost]);
    let visible = Plan { count: 200, has_keys: false, processes: lives, ..visible };
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
    let network = Failures(&[Failure::CutWorkerFromBroker], Pace::Pause(200, 1_500));
    let (clients, count) = (3, 9);
    let twice = Plan { network, clients, count, lines: Some(60), lease_seconds: 30, ..twice };
    // Nothing fails. What was fetched ahead waits for longer than its lease.
    let ahead = Plan::with_bug("fleet.prefetch=return", &[], &[Kind::Wasted]);
    let ahead = Plan { lines: Some(20), clients: 24, ..ahead };
    let without = Plan { failpoints: "", until: &[], count: 12, lines: Some(5), ..ahead.clone() };
    are_found(vec![unfenced, twice, ahead], Plan { lease_seconds: 30, ..without });
}
