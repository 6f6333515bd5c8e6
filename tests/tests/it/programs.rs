//! The table of ordinary programs (`tests/programs`), on every engine.
//!
//! One stage for each engine: the subprocess, Docker, gVisor in Docker, and gVisor alone. Later
//! stages run programs with the engine of stage 6.

use ladder::measure::programs;
use ladder::support::target::Target;

/// Runs the whole table on `stage`.
async fn all_are_right(stage: u16) {
    let report = programs::measure(&Target { stage, url: None }, &[]).await.unwrap();
    let failures = report.failures.join("\n");
    assert!(failures.is_empty(), "{} of {}:\n{failures}", report.failures.len(), report.stage);
    assert!(report.right > 200, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_is_right_on_the_host() {
    all_are_right(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_is_right_in_docker() {
    all_are_right(4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_is_right_in_gvisor_with_docker() {
    all_are_right(5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_is_right_in_gvisor() {
    all_are_right(6).await;
}
