//! The containment matrix: every probe on every stage, through the real API of the real binary.
//!
//! It is a snapshot: whoever changes a cell has to accept the difference, and a reviewer sees what a
//! change did to security. `INSTA_UPDATE=always cargo nextest run -p ladder --test matrix` writes it;
//! then `just deltas` has the book follow. It needs root, Docker and runsc.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use ladder::matrix::Matrix;
use ladder::promise::Promises;
use ladder::stages;

#[tokio::test(flavor = "multi_thread")]
async fn alone_the_matrix() {
    let matrix = Matrix::measure(stages::all().unwrap()).await.unwrap();
    let promises = Promises::load().unwrap();
    let faults = matrix.faults(&promises).unwrap();
    let doubts = matrix.doubts(&promises).unwrap();
    let told = [faults, doubts].concat().join("\n");
    eprintln!("{told}");
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!("matrix", matrix.text().unwrap());
    });
    assert!(told.is_empty(), "{told}");
}
