//! Tests of the dispatch in memory.

use std::sync::Arc;
use std::time::Duration;

use shared::{Limits, Submission};

use super::*;

const LIMITS: Limits = Limits {
    timeout_seconds: 1.0,
    cpu_seconds: 1.0,
    memory_bytes: 1,
    pids: 1,
    output_bytes: 1,
    disk_bytes: 1,
    open_files: 1,
};

fn job(code: &str) -> Job {
    Job::first(Submission::new(code, LIMITS))
}

#[tokio::test]
async fn jobs_are_leased_in_order_and_acknowledged_once() {
    let dispatch = InMemoryDispatch::new();
    for code in ["a", "b", "c"] {
        dispatch.push(job(code)).await.unwrap();
    }
    let first = dispatch.lease().await.unwrap().unwrap();
    let second = dispatch.lease().await.unwrap().unwrap();
    assert_eq!((&*first.job.submission.code, &*second.job.submission.code), ("a", "b"));
    dispatch.heartbeat(&first).await.unwrap();
    dispatch.ack(first.clone()).await.unwrap();
    assert!(matches!(dispatch.heartbeat(&first).await, Err(DispatchError::LeaseExpired)));
    assert!(matches!(dispatch.ack(first).await, Err(DispatchError::LeaseExpired)));
}

#[tokio::test]
async fn a_removed_job_is_not_leased() {
    let dispatch = InMemoryDispatch::new();
    let (gone, stays) = (job("gone"), job("stays"));
    dispatch.push(gone.clone()).await.unwrap();
    dispatch.push(stays.clone()).await.unwrap();
    assert!(dispatch.remove(gone.id).await.unwrap());
    assert!(!dispatch.remove(gone.id).await.unwrap());
    assert_eq!(dispatch.lease().await.unwrap().unwrap().job, stays);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_push_is_missed_by_sleeping_workers_and_a_close_wakes_them_all() {
    let dispatch = Arc::new(InMemoryDispatch::new());
    let worker = |dispatch: Arc<InMemoryDispatch>| async move {
        let mut leased = 0;
        while dispatch.lease().await.unwrap().is_some() {
            leased += 1;
            if leased % 7 == 0 {
                tokio::task::yield_now().await;
            }
        }
        leased
    };
    let workers: Vec<_> = (0..4).map(|_| tokio::spawn(worker(Arc::clone(&dispatch)))).collect();
    for _ in 0..1000 {
        dispatch.push(job("")).await.unwrap();
    }
    let drained = async {
        while !dispatch.in_order(|order| order.is_empty()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), drained).await.expect("a push was missed");
    dispatch.close();
    let mut total = 0;
    for worker in workers {
        total += worker.await.unwrap();
    }
    assert_eq!(total, 1000);
}

#[tokio::test]
async fn a_chosen_job_is_leased_until_the_close() {
    let dispatch = InMemoryDispatch::new();
    let (first, second) = (job("first"), job("second"));
    dispatch.push(first.clone()).await.unwrap();
    dispatch.push(second.clone()).await.unwrap();
    let choose = |order: &mut FirstCome| {
        assert!(order.remove(second.id));
        Some(second.clone())
    };
    let lease = dispatch.lease_chosen(choose).unwrap();
    assert_eq!(lease.job, second);
    dispatch.heartbeat(&lease).await.unwrap();
    dispatch.ack(lease).await.unwrap();
    assert!(dispatch.lease_chosen(|_| None).is_none());
    dispatch.close();
    assert!(dispatch.lease_chosen(Order::next).is_none());
    assert!(!dispatch.in_order(|order| order.is_empty()), "it was left to the next start");
}

#[test]
fn a_job_survives_being_sent() {
    let mut sent = job("print('é')");
    sent.submission.stdin = vec![0, 255];
    let text = serde_json::to_string(&sent).unwrap();
    assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), sent);
}
