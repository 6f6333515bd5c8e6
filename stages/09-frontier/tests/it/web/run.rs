//! From a program to its result: submit, follow, cancel, run again, files.

use std::ffi::OsString;

use serde_json::json;
use thirtyfour::Key;

use super::browser::{ENTER, ESCAPE, TAB};
use super::{Web, id_of};

const EDITOR: &str = ".cm-content, .editor textarea";

/// A wrapper that starts a stage at this address, in place of the free port that a launch asks for.
fn at_address(address: &str) -> Vec<OsString> {
    let script = format!("binary=$1; shift 3; exec \"$binary\" --listen {address} \"$@\"");
    ["sh", "-c", &script, "sh"].map(OsString::from).to_vec()
}

#[tokio::test]
async fn a_program_is_submitted_and_its_output_is_shown() {
    let web = Web::new().await;
    web.open("submit").await;
    web.browser.wait(EDITOR).await;
    // The bounds of the limits come from the contract, after the editor.
    web.browser.wait("input[type=number][placeholder]").await;
    web.browser.screenshot("submit").await;
    web.browser.press("Run").await;
    web.browser.wait_text("main .status", "exited").await;
    web.browser.wait_text("pre.output", "ello").await;
    web.browser.screenshot("evaluation").await;
    web.browser.finish().await;
}

/// Presses Tab until the focus is where `script` returns true.
async fn tab_until(web: &Web, script: &str) {
    for _ in 0..40 {
        if web.browser.script(script, vec![]).await == json!(true) {
            return;
        }
        web.browser.keys(TAB).await;
    }
    panic!("Tab does not reach it: {script}");
}

#[tokio::test]
async fn the_keyboard_alone_gets_from_a_program_to_its_result() {
    let web = Web::new().await;
    web.open("submit").await;
    web.browser.wait(EDITOR).await;
    // Past the navigation.
    tab_until(&web, "return Boolean(document.activeElement?.closest('.editor'))").await;
    web.browser.chord(Key::Control, "a").await;
    web.browser.keys("print('typed', 6 * 7)").await;
    // Escape, then Tab: out of the editor again, on to the button.
    web.browser.keys(ESCAPE).await;
    tab_until(&web, "return document.activeElement?.innerText?.trim() === 'Run'").await;
    web.browser.keys(ENTER).await;
    web.browser.wait_text("pre.output", "typed 42").await;
    // Chromium gives what is typed over a selection the style of that, inline; the policy forbids it, and
    // CodeMirror draws the text anew.
    web.browser.finish_expecting(&["Applying inline style violates"]).await;
}

#[tokio::test]
async fn output_is_shown_while_the_program_runs_and_it_can_be_cancelled() {
    let web = Web::new().await;
    let code = "import time\nfor n in range(6): print('line', n, flush=True); time.sleep(0.05)\ntime.sleep(1000)";
    let id = web.client().submit(&json!({ "code": code, "timeout_seconds": 60 })).await;
    web.open_evaluation(&id).await;
    web.browser.wait_text(".connection", "Live").await;
    web.browser.wait_text("pre.output", "line 5").await;
    web.browser.screenshot("live").await;
    web.browser.press("Cancel").await;
    web.browser.wait_text("main .status", "cancelled").await;
    assert_eq!(web.client().get(&format!("/eval/{id}")).await.json()["status"], "cancelled");
    web.browser.finish().await;
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back_is_followed_again() {
    let web = Web::new().await;
    let code = "import time\nfor n in range(10**6): print('line', n, flush=True); time.sleep(0.05)";
    let submission = json!({ "code": code, "max_attempts": 3 });
    let id = web.client().submit(&submission).await;
    web.open_evaluation(&id).await;
    web.browser.wait_text("pre.output", "line 5").await;
    let Web { site, server, browser } = web;
    let address = server.address().to_owned();
    server.kill();
    browser.wait_text(".connection", "Disconnected").await;
    browser.screenshot("disconnected").await;
    let server = site.launch().with_wrapper(at_address(&address)).start();
    browser.wait_text(".connection", "Live").await;
    browser.wait_text("pre.output", "--- attempt 2 ---").await;
    browser.wait_text(".timeline", "started").await;
    server.client().delete(&format!("/eval/{id}")).await;
    browser.wait_text("main .status", "cancelled").await;
    // What was not reached while there was no server is reported by the browser.
    browser
        .finish_expecting(&["ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE", "ERR_CONNECTION_RESET"])
        .await;
}

/// The page of an evaluation has the id of another one.
async fn other_run(web: &Web, first: &str) {
    let other = format!(
        "const id = document.querySelector('main .head code')?.innerText;
         return id && id !== '{first}' ? id : null"
    );
    web.browser.wait_until("the id of another run", &other).await;
}

#[tokio::test]
async fn a_program_is_run_again_and_edited_in_a_tab_that_has_not_submitted_it() {
    let web = Web::new().await;
    let code = "import sys; print('read', sys.stdin.read(), open('data.bin', 'rb').read()[0])";
    let submission =
        json!({ "code": code, "stdin": "input", "files": { "data.bin": { "base64": "/w==" } } });
    let first = web.client().submit(&submission).await;
    web.client().wait(&first).await;
    web.open_evaluation(&first).await;
    web.browser.press("Run again").await;
    other_run(&web, &first).await;
    web.browser.wait_text("pre.output", "read input 255").await;
    assert_eq!(web.client().get("/eval").await.json()["items"].as_array().unwrap().len(), 2);
    web.browser.press("Edit and run").await;
    web.browser.wait_text(EDITOR, "print('read'").await;
    let stdin =
        "return [...document.querySelectorAll('textarea')].some(one => one.value === 'input')";
    web.browser.wait_until("the input of the program", stdin).await;
    web.browser.finish().await;
}

#[tokio::test]
async fn a_program_is_run_in_two_environments_and_both_runs_are_compared() {
    let web = Web::new().await;
    let first = id_of(&web.client().run("import os\nprint('same')\nprint(os.getpid())").await);
    web.open_evaluation(&first).await;
    web.browser.press("Compare with…").await;
    web.browser.wait_text("form[aria-label^='Run it'] select[name=second] option", "python").await;
    web.browser.press("Run the first program in both").await;
    web.browser.wait_text(".diff tr[data-change=same] td.code", "same").await;
    web.browser.wait(".diff tr[data-change=added]").await;
    let address = web.browser.script("return location.hash", vec![]).await.to_string();
    assert!(
        address.contains("a=") && address.contains("b=") && !address.contains(&first),
        "{address}"
    );
    let compared = web.client().get("/eval").await.json()["items"].as_array().unwrap().len();
    assert_eq!(compared, 3, "the first one, and two more");
    web.browser.finish().await;
}

#[tokio::test]
async fn a_request_is_copied_as_a_command_that_works() {
    let web = Web::new().await;
    let ended = web.client().run("print('by curl')").await;
    web.open_evaluation(&id_of(&ended)).await;
    let permission = json!({ "permissions": ["clipboardReadWrite"], "origin": web.server.url() });
    web.browser.devtools("Browser.grantPermissions", permission).await;
    web.browser.press("Copy as curl").await;
    web.browser.wait_text(".said", "copied").await;
    let read = "const done = arguments[0]; navigator.clipboard.readText().then(done, done)";
    let command = web.browser.async_script(read).await;
    let command = command.as_str().unwrap();
    let output = std::process::Command::new("bash").args(["-c", command]).output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["stdout"]["text"], "by curl\n", "{command}");
    web.browser.finish().await;
}
