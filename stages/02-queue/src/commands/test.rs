//! `test`: the self tests of every component, and an exit code that is 0 if all of them passed.

use shared::cli::{Exit, Settings, Stage};

use crate::component_check::{self, Check};

/// Runs the self tests, and prints each result.
pub(super) async fn test<S: Stage>(settings: &Settings, args: &S::Args) -> Exit {
    let app = match S::build(settings, args).await {
        Ok(app) => app,
        Err(error) => return error.print(Exit::PLATFORM),
    };
    let (mut passed, mut failed) = (0, 0);
    let mut print = |check: Check| {
        let mark = if check.passed { "pass" } else { "FAIL" };
        let count = if check.passed { &mut passed } else { &mut failed };
        *count += 1;
        println!(
            "{mark}  {}: {} ({} ms)\n      {}",
            check.component, check.name, check.millis, check.detail
        );
    };
    for component in &app.components {
        print(component_check::self_test(component.as_ref()).await);
        for case in component.test_suite() {
            print(component_check::check(component.as_ref(), case).await);
        }
    }
    super::close_now(&app).await;
    println!("{passed} passed, {failed} failed");
    if failed == 0 { Exit::SUCCESS } else { Exit::FAILURE }
}
