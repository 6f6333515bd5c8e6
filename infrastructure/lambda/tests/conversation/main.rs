//! The real function in Amazon's place: `cargo lambda watch` plays the front and the runtime
//! interface, and the conversation of stage 7 is held through both.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, a panic is the report of a failure"
)]

#[path = "../../../../stages/07-advanced-v2/tests/http/conversation/mod.rs"]
mod conversation;
mod emulator;

use std::path::Path;
use std::time::Duration;

use conversation::{Asked, Client as _, HttpClient, hold};
use emulator::{Emulator, Function, OPEN};
use serde_json::{Value, json};

#[tokio::test]
async fn the_function_holds_the_conversation_of_stage_seven() {
    let emulator = Emulator::start();
    let _function = Function::start(&emulator, &OPEN);
    let held = hold(&HttpClient::new(emulator.url())).await;
    insta::with_settings!({
        prepend_module_to_snapshot => false,
        snapshot_path => "../../../../stages/07-advanced-v2/tests/http/snapshots",
    }, {
        insta::assert_snapshot!("conversation", held);
    });
}

#[tokio::test]
async fn what_runs_is_ended_and_answered_before_the_function_goes() {
    let emulator = Emulator::start();
    let mut function = Function::start(&emulator, &OPEN);
    let client = HttpClient::new(emulator.url());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let code = format!(
        "import os, time; open({file:?}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
    );
    let asked = Asked::submit(json!({ "code": code }).to_string()).with("prefer", "wait=60");
    let asking = tokio::spawn(async move { client.ask(asked).await });
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
    let answered = asking.await.unwrap();
    let evaluation: Value = serde_json::from_slice(&answered.body).unwrap();
    assert_eq!((answered.status.as_u16(), &evaluation["status"]), (200, &"cancelled".into()));
}

#[test]
fn a_function_without_an_engine_says_what_it_lacks_and_ends() {
    let emulator = Emulator::start();
    let mut function = Function::start(&emulator, &["--runsc", "/nowhere"]);
    assert_eq!(function.ended(), Some(1));
    let mut function = Function::start(&emulator, &["--engine", "subprocess"]);
    assert_eq!(function.ended(), Some(1));
}
