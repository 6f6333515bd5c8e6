//! Tests of the order in which jobs are leased.

use std::sync::Arc;

use serde_json::json;
use shared::{RequestContext, Submission};

use crate::environments::Selection;

use super::*;

mod reservations;

/// A job with these options.
fn job(code: &str, priority: &str, owner: &str) -> Job {
    job_with(code, &json!({ "priority": priority }), owner)
}

fn job_with(code: &str, options: &serde_json::Value, owner: &str) -> Job {
    let mut submission = Submission::new(code, harness::TEST_LIMITS);
    let options = SubmitOptions::take(&mut options.clone(), &Selection::for_test()).unwrap();
    let principal = Some(owner.to_owned()).filter(|owner| !owner.is_empty());
    let context = RequestContext { principal, ..RequestContext::internal() };
    options.store_in(&mut submission, &context);
    Job::first(submission)
}

fn dispatch(running_per_owner: u32) -> PriorityDispatch {
    PriorityDispatch::new(running_per_owner, CancellationToken::new())
}

async fn lease(dispatch: &PriorityDispatch) -> Lease {
    let leased = tokio::time::timeout(Duration::from_secs(10), dispatch.lease());
    leased.await.expect("a job is ready").unwrap().unwrap()
}

/// The code of the next `count` jobs, each acknowledged before the next is leased.
async fn run(dispatch: &PriorityDispatch, count: usize) -> Vec<String> {
    let mut codes = Vec::new();
    for _ in 0..count {
        let lease = lease(dispatch).await;
        codes.push(lease.job.submission.code.clone());
        dispatch.ack(lease).await.unwrap();
    }
    codes
}

#[tokio::test]
async fn nothing_starves() {
    let dispatch = dispatch(100);
    for number in 0..700 {
        dispatch.push(job("high", "high", "a")).await.unwrap();
        if number < 20 {
            dispatch.push(job("normal", "normal", "a")).await.unwrap();
            dispatch.push(job("low", "low", "a")).await.unwrap();
        }
    }
    let first = run(&dispatch, 70).await;
    let count = |code: &str| first.iter().filter(|one| *one == code).count();
    assert_eq!((count("high"), count("normal"), count("low")), (40, 20, 10));
    // A turn of a priority without jobs goes to the highest that has some.
    let rest = run(&dispatch, 70).await;
    assert!(rest.iter().filter(|code| *code == "low").count() >= 10, "{rest:?}");
    let last = run(&dispatch, 600).await;
    assert!(last.iter().skip(10).all(|code| code == "high"), "{last:?}");
}

#[tokio::test]
async fn jobs_of_one_key_run_in_their_order_and_keys_take_turns() {
    let dispatch = dispatch(100);
    for number in 0..5 {
        dispatch.push(job(&format!("a{number}"), "normal", "a")).await.unwrap();
    }
    for number in 0..2 {
        dispatch.push(job(&format!("b{number}"), "normal", "b")).await.unwrap();
    }
    assert_eq!(run(&dispatch, 7).await, ["a0", "b0", "a1", "b1", "a2", "a3", "a4"]);
    // Without keys they are one line.
    for number in 0..5 {
        dispatch.push(job(&number.to_string(), "normal", "")).await.unwrap();
    }
    assert_eq!(run(&dispatch, 5).await, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_key_runs_no_more_at_once_than_it_may() {
    let dispatch = Arc::new(dispatch(2));
    for code in ["a0", "a1", "a2", "a3"] {
        dispatch.push(job(code, "high", "a")).await.unwrap();
    }
    dispatch.push(job("b0", "low", "b")).await.unwrap();
    let (first, second) = (lease(&dispatch).await, lease(&dispatch).await);
    assert_eq!((&*first.job.submission.code, &*second.job.submission.code), ("a0", "a1"));
    let third = lease(&dispatch).await;
    assert_eq!(third.job.submission.code, "b0", "the other key is not held up");
    let waiting = tokio::spawn({
        let dispatch = Arc::clone(&dispatch);
        async move { dispatch.lease().await.unwrap().unwrap().job.submission.code }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    dispatch.ack(first).await.unwrap();
    assert_eq!(waiting.await.unwrap(), "a2");
}

#[tokio::test]
async fn a_removed_job_is_not_leased_and_leaves_nothing() {
    let dispatch = dispatch(2);
    let (gone, stays) = (job("gone", "high", "a"), job("stays", "low", "a"));
    dispatch.push(gone.clone()).await.unwrap();
    dispatch.push(stays).await.unwrap();
    assert!(dispatch.remove(gone.id).await.unwrap());
    assert!(!dispatch.remove(gone.id).await.unwrap());
    assert_eq!(run(&dispatch, 1).await, ["stays"]);
    dispatch.jobs.in_order(|order| {
        assert!(order.leased.is_empty() && order.running.is_empty() && order.deadlines.is_empty());
        assert!(order.waiting.values().all(HashMap::is_empty));
    });
}

#[tokio::test(start_paused = true)]
async fn a_job_expires_at_its_time_and_only_while_it_waits() {
    let dispatch = dispatch(10);
    let short = job_with("short", &json!({ "queue_timeout_seconds": 5 }), "a");
    let long = job_with("long", &json!({ "queue_timeout_seconds": 500 }), "a");
    let leased =
        job_with("leased", &json!({ "queue_timeout_seconds": 5, "priority": "high" }), "a");
    for job in [&leased, &short, &long] {
        dispatch.push(job.clone()).await.unwrap();
    }
    assert_eq!(lease(&dispatch).await.job.id, leased.id);
    assert!(dispatch.take_expired().is_empty());
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(dispatch.take_expired(), [short.id]);
    assert_eq!(lease(&dispatch).await.job.id, long.id);
    assert!(dispatch.next_deadline().is_none());
}

#[tokio::test(start_paused = true)]
async fn the_time_in_the_queue_goes_on_over_a_restart() {
    let dispatch = dispatch(10);
    let mut old = job_with("old", &json!({ "queue_timeout_seconds": 60 }), "a");
    let minute_ago = Timestamp::now() - jiff::SignedDuration::from_secs(61);
    let seconds = minute_ago.as_second().unsigned_abs();
    old.id = Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0));
    dispatch.push(old.clone()).await.unwrap();
    assert_eq!(dispatch.take_expired(), [old.id]);
    // A later attempt has its own time.
    old.attempt = 2;
    dispatch.push(old).await.unwrap();
    assert!(dispatch.take_expired().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_push_is_missed_by_sleeping_workers_and_a_close_wakes_them_all() {
    let dispatch = Arc::new(dispatch(2));
    let worker = |dispatch: Arc<PriorityDispatch>| async move {
        let mut leased = 0;
        while let Some(lease) = dispatch.lease().await.unwrap() {
            leased += 1;
            tokio::task::yield_now().await;
            dispatch.ack(lease).await.unwrap();
        }
        leased
    };
    let workers: Vec<_> = (0..4).map(|_| tokio::spawn(worker(Arc::clone(&dispatch)))).collect();
    for number in 0..1000 {
        let priority = ["high", "normal", "low"][number % 3];
        dispatch.push(job("", priority, &(number % 5).to_string())).await.unwrap();
    }
    let drained = async {
        while !dispatch.jobs.in_order(|order| order.waiting.values().all(HashMap::is_empty)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), drained).await.expect("a push was missed");
    dispatch.close();
    let mut total = 0;
    for worker in workers {
        total += worker.await.unwrap();
    }
    assert_eq!(total, 1000);
}

#[tokio::test]
async fn without_an_engine_nothing_is_leased_and_everything_waits() {
    let gone = CancellationToken::new();
    let dispatch = Arc::new(PriorityDispatch::new(2, gone.clone()));
    let sleeping = tokio::spawn({
        let dispatch = Arc::clone(&dispatch);
        async move { dispatch.lease().await.unwrap() }
    });
    tokio::task::yield_now().await;
    gone.cancel();
    let waiting = job("waiting", "high", "a");
    dispatch.push(waiting.clone()).await.unwrap();
    tokio::task::yield_now().await;
    dispatch.close();
    assert!(sleeping.await.unwrap().is_none(), "a job was leased");
    assert!(dispatch.remove(waiting.id).await.unwrap(), "it waits");
}

#[tokio::test]
async fn an_offer_waits_counts_for_its_owner_and_is_claimed_once() {
    let dispatch = dispatch(2);
    let jobs = ["1", "2", "3"].map(|code| job(code, "normal", "a"));
    for job in jobs.clone().into_iter().chain([job("4", "low", "b")]) {
        dispatch.push(job).await.unwrap();
    }
    let offer = || dispatch.offer(|_| true).map(|job| job.submission.code);
    let offered = [offer(), offer(), offer(), offer()];
    let expected = [Some("1"), Some("2"), Some("4"), None].map(|code| code.map(str::to_owned));
    assert_eq!(offered, expected, "the third of its owner is one too many");
    let claim = |number: usize, attempt| dispatch.claim(jobs[number].id, attempt);
    assert!(matches!(claim(2, 1), Claimed::NotNow));
    assert!(matches!(claim(0, 2), Claimed::Gone), "another attempt");
    let Claimed::Leased(lease) = claim(0, 1) else { panic!("the offer") };
    assert!(matches!(claim(0, 1), Claimed::Gone), "it is claimed");
    assert!(dispatch.is_offered(jobs[1].id));
    assert!(dispatch.remove(jobs[1].id).await.unwrap());
    assert!(matches!(claim(1, 1), Claimed::Gone), "it was removed");
    // An offer outlives the process that has made it: what only waits can be claimed as well.
    let Claimed::Leased(third) = claim(2, 1) else { panic!("a place is free") };
    dispatch.ack(*lease).await.unwrap();
    dispatch.ack(*third).await.unwrap();
    dispatch.close();
    assert!(matches!(claim(0, 1), Claimed::Gone));
}

#[tokio::test]
async fn what_is_not_wanted_waits_without_delaying_others() {
    let dispatch = dispatch(16);
    for code in ["x", "x", "y"] {
        dispatch.push(job(code, "normal", "")).await.unwrap();
    }
    let offered = dispatch.offer(|job| job.submission.code == "y").unwrap();
    assert_eq!(offered.submission.code, "y");
    assert!(dispatch.offer(|job| job.submission.code == "y").is_none());
    assert_eq!(run(&dispatch, 2).await, ["x", "x"]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_an_offer_counts() {
    let dispatch = dispatch(16);
    let late = job_with("late", &json!({ "queue_timeout_seconds": 5 }), "");
    dispatch.push(late.clone()).await.unwrap();
    dispatch.offer(|_| true).unwrap();
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(dispatch.take_expired(), [late.id]);
    assert!(matches!(dispatch.claim(late.id, 1), Claimed::Gone));
}
