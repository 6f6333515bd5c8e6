//! Large bodies: parsed and checked off the runtime's threads.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::in_process::{ask, get, post, served};

/// Attack: bodies of two megabytes, whose check takes long, keep every thread of the runtime busy → they
/// are checked on blocking threads. With a runtime of one thread, another request is answered
/// meanwhile.
#[tokio::test(flavor = "current_thread")]
async fn a_large_body_is_checked_off_the_runtime() {
    let (_, api, _platform) = served().await;
    let files: serde_json::Map<_, _> =
        (0..50_000).map(|at| (format!("{at}/../x"), json!(""))).collect();
    let large = post(&json!({ "code": "", "files": files }));
    let mut longest = Duration::ZERO;
    let checking = ask(&api, large);
    tokio::pin!(checking);
    let (status, problem) = loop {
        let started = Instant::now();
        tokio::select! {
            biased;
            answer = &mut checking => break answer,
            (status, _) = ask(&api, get("/health")) => assert_eq!(status, 200),
        }
        longest = longest.max(started.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!((status, problem["errors"].as_array().unwrap().len()), (422, 64), "{problem}");
    // Unoptimised, the check itself takes about a second.
    assert!(longest < Duration::from_millis(300), "/health took {longest:?}");
}
