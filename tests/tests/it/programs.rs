//! The table of ordinary programs (`tests/programs`), on every engine.
//!
//! One stage for each engine: the subprocess, Docker, gVisor in Docker, and gVisor alone. Later
//! stages run programs with the engine of stage 6. With Docker a program takes longest, so that the second runs
//! one in four, and the third, which is the second's code with the fourth's kernel, one in eight: that is for the time of the
//! test command. `cargo run -p ladder -- programs --stage 4` and `--stage 5` run the whole table there.

use std::num::NonZeroUsize;

use ladder::measure::programs;
use ladder::support::target::Target;

/// Runs one in `one_in` of the table on `stage`.
async fn are_right(stage: u16, one_in: usize) {
    let one_in = NonZeroUsize::new(one_in).unwrap();
    let report = programs::measure(&Target { stage, url: None }, &[], one_in).await.unwrap();
    let failures = report.failures.join("\n");
    assert!(failures.is_empty(), "{} of {}:\n{failures}", report.failures.len(), report.stage);
    assert!(report.right > 300 / one_in, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_is_right_on_the_host() {
    are_right(3, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fourth_program_is_right_in_docker() {
    are_right(4, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_eighth_program_is_right_in_gvisor_with_docker() {
    are_right(5, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_is_right_in_gvisor() {
    are_right(6, 1).await;
}
