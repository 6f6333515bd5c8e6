//! Tests of workers that are reserved for a submission that is being accepted.

use tokio::task::JoinHandle;

use super::*;

/// A worker that waits: it has been polled when this returns.
async fn sleeping(dispatch: &Arc<PriorityDispatch>) -> JoinHandle<Option<Lease>> {
    let worker = tokio::spawn({
        let dispatch = Arc::clone(dispatch);
        async move { dispatch.lease().await.unwrap() }
    });
    tokio::task::yield_now().await;
    worker
}

async fn code(worker: JoinHandle<Option<Lease>>) -> String {
    let leased = tokio::time::timeout(Duration::from_secs(10), worker).await;
    leased.expect("it has a job").unwrap().unwrap().job.submission.code
}

#[tokio::test]
async fn a_reserved_worker_takes_its_job_and_no_other() {
    let dispatch = Arc::new(dispatch(100));
    let own = job("own", "low", "a");
    assert!(!dispatch.reserve(&own.submission), "no worker waits");
    let first = sleeping(&dispatch).await;
    assert!(dispatch.reserve(&own.submission));
    assert!(!dispatch.reserve(&own.submission), "it is the only one");
    dispatch.push(job("other", "high", "b")).await.unwrap();
    tokio::task::yield_now().await;
    assert!(!first.is_finished(), "what came later waits for another worker");
    let second = sleeping(&dispatch).await;
    assert_eq!(code(second).await, "other");
    dispatch.assign(own.clone());
    assert_eq!(code(first).await, "own");
    let lease = Lease { job: own, heartbeat_interval: None };
    dispatch.heartbeat(&lease).await.unwrap();
    dispatch.ack(lease).await.unwrap();
}

#[tokio::test]
async fn a_worker_that_is_given_back_takes_what_waits() {
    let dispatch = Arc::new(dispatch(1));
    let worker = sleeping(&dispatch).await;
    let refused = job("refused", "normal", "a");
    assert!(dispatch.reserve(&refused.submission));
    dispatch.push(job("next", "normal", "a")).await.unwrap();
    dispatch.release(&refused.submission);
    assert_eq!(code(worker).await, "next", "its key runs none");
}

#[tokio::test]
async fn nothing_passes_what_waits_or_the_share_of_its_key() {
    let dispatch = Arc::new(dispatch(1));
    let (mut first, mut second) = (sleeping(&dispatch).await, sleeping(&dispatch).await);
    let of_a = job("of a", "normal", "a");
    assert!(dispatch.reserve(&of_a.submission));
    assert!(!dispatch.reserve(&of_a.submission), "its key runs as many as it may");
    dispatch.push(job("waits", "low", "a")).await.unwrap();
    assert!(!dispatch.reserve(&job("of b", "high", "b").submission), "one waits");
    dispatch.assign(of_a.clone());
    let (done, rest) = tokio::select! {
        done = &mut first => (done, second),
        done = &mut second => (done, first),
    };
    let lease = done.unwrap().unwrap();
    assert_eq!(lease.job, of_a);
    dispatch.ack(lease).await.unwrap();
    assert_eq!(code(rest).await, "waits");
}

#[tokio::test]
async fn a_close_waits_for_what_is_reserved() {
    let dispatch = Arc::new(dispatch(100));
    let (first, second) = (sleeping(&dispatch).await, sleeping(&dispatch).await);
    let own = job("own", "normal", "a");
    assert!(dispatch.reserve(&own.submission));
    dispatch.close();
    assert!(!dispatch.reserve(&own.submission));
    tokio::task::yield_now().await;
    dispatch.assign(own);
    let both = [first.await.unwrap(), second.await.unwrap()];
    assert_eq!(both.iter().flatten().count(), 1, "one runs it, and both return: {both:?}");
}

#[tokio::test]
async fn a_worker_that_is_gone_is_not_reserved() {
    let dispatch = Arc::new(dispatch(100));
    let worker = sleeping(&dispatch).await;
    worker.abort();
    worker.await.unwrap_err();
    assert!(!dispatch.reserve(&job("", "normal", "a").submission));
}
