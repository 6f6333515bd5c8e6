//! The containment matrix: every probe on every stage, through the real API of the real binary.
//!
//! It is a snapshot: whoever changes a cell has to accept the difference, and a reviewer sees what a
//! change did to security. `INSTA_UPDATE=always cargo nextest run -p ladder --test matrix` writes it;
//! then `just deltas` has the book follow. It needs root, Docker and runsc.

use ladder::attack::expectations::Expectations;
use ladder::attack::matrix::Matrix;
use ladder::support::stages;

#[tokio::test(flavor = "multi_thread")]
async fn alone_the_matrix() {
    let matrix = Matrix::measure(stages::all().unwrap()).await.unwrap();
    let expectations = Expectations::load().unwrap();
    let faults = matrix.faults(&expectations).unwrap();
    let doubts = matrix.doubts(&expectations).unwrap();
    let told = [faults, doubts].concat().join("\n");
    eprintln!("{told}");
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("matrix", matrix.text().unwrap());
    });
    assert!(told.is_empty(), "{told}");
}
