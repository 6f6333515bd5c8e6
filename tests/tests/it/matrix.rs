//! The containment matrix: every probe on every stage, through the real API of the real binary.
//!
//! It is a snapshot: a changed cell has to be accepted, and a review shows the effect of a change
//! on security. `INSTA_UPDATE=always cargo nextest run -p ladder alone_the_matrix` writes it; then
//! `just deltas` updates the book. It needs root, Docker and runsc.

use ladder::attack::expectations::Expectations;
use ladder::attack::matrix::Matrix;
use ladder::support::stages;

#[tokio::test(flavor = "multi_thread")]
async fn alone_the_matrix() {
    let matrix = Matrix::measure(stages::all().unwrap()).await.unwrap();
    let expectations = Expectations::load().unwrap();
    let failures = matrix.failures(&expectations).unwrap();
    let inconsistencies = matrix.inconsistencies(&expectations).unwrap();
    let problems = [failures, inconsistencies].concat().join("\n");
    eprintln!("{problems}");
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("matrix", matrix.text().unwrap());
    });
    assert!(problems.is_empty(), "{problems}");
}
