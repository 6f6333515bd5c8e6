//! The real function, with `cargo lambda watch` in the place of Amazon's front end and runtime
//! interface, and the conversation of stage 7 through both. The tests of stages 7 to 9 that are here too are
//! the same code, by their paths.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, a panic is the report of a failure"
)]

#[path = "../../../../stages/09-frontier/tests/it/accounts/clients.rs"]
mod clients;
mod cloud;
#[path = "../../../../stages/07-advanced-v2/tests/it/conversation/mod.rs"]
mod conversation;
mod emulator;
#[path = "../../../../stages/08-openapi/tests/it/invalid.rs"]
mod invalid;

use std::path::Path;
use std::time::Duration;

use conversation::{Client as _, ClientRequest, HttpClient, record};
use emulator::{Emulator, Function, UNSANDBOXED};
use serde_json::{Value, json};

#[tokio::test]
async fn the_function_answers_like_stage_seven() {
    let emulator = Emulator::start();
    let _guard = Function::start(&emulator, &UNSANDBOXED);
    let conversation = record(&HttpClient::new(emulator.url())).await;
    insta::with_settings!({
        prepend_module_to_snapshot => false,
        snapshot_path => "../../../../stages/07-advanced-v2/tests/it/snapshots",
    }, {
        insta::assert_snapshot!("conversation", conversation);
    });
}

#[tokio::test]
async fn running_programs_are_cancelled_and_answered_before_the_function_ends() {
    let emulator = Emulator::start();
    let mut function = Function::start(&emulator, &UNSANDBOXED);
    let client = HttpClient::new(emulator.url());
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pid");
    let code = format!(
        "import os, time; open({file:?}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
    );
    let request =
        ClientRequest::submit(json!({ "code": code }).to_string()).with("prefer", "wait=60");
    let sending = tokio::spawn(async move { client.send(request).await });
    let process = async {
        loop {
            let written = std::fs::read_to_string(&file).unwrap_or_default();
            if let Some(pid) = written.strip_suffix('\n') {
                return Path::new("/proc").join(pid);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let process = tokio::time::timeout(Duration::from_secs(30), process).await.unwrap();
    assert!(process.exists());
    assert_eq!(function.stop(), Some(0));
    assert!(!process.exists(), "the program outlived the function");
    let response = sending.await.unwrap();
    let evaluation: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!((response.status.as_u16(), &evaluation["status"]), (200, &"cancelled".into()));
}

#[test]
fn a_function_without_an_engine_reports_it_and_ends() {
    let emulator = Emulator::start();
    let mut function = Function::start(&emulator, &["--runsc", "/nowhere"]);
    assert_eq!(function.exit_code(), Some(1));
    let mut function = Function::start(&emulator, &["--engine", "subprocess"]);
    assert_eq!(function.exit_code(), Some(1));
}
