//! The exports of the stages from 6 on, as snapshots. A change has to be accepted:
//! `INSTA_UPDATE=always cargo nextest run -p ladder interface::` writes them; read the difference
//! before you commit it.
//!
//! The earlier stages are read from top to bottom; these are also used as libraries.

use ladder::rules::interface::interface;
use ladder::support::stages;

#[test]
fn the_interfaces_of_the_later_stages() {
    let later: Vec<_> =
        stages::all().unwrap().into_iter().filter(|stage| stage.number >= 6).collect();
    assert!(!later.is_empty(), "there are no later stages");
    for stage in later {
        let exported = interface(&stage.dir.join("src")).unwrap();
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("interface_{}", stage.name), exported);
        });
    }
}
