//! Sandboxes that stay, in the browser: one is opened, used by its terminal and its files, and removed.

use serde_json::json;

use super::Web;
use super::browser::{Browser, ENTER};
use super::pages::{AXE, assert_accessible};
use crate::accounts::Site;
use crate::sandboxes::launch;

const COMMAND: &str = "form input[autocapitalize]";
const TERMINAL: &str = "[role=log]";

async fn type_line(browser: &Browser, line: &str) {
    browser.script("document.querySelector(arguments[0]).focus()", vec![json!(COMMAND)]).await;
    browser.keys(line).await;
    browser.keys(ENTER).await;
}

#[tokio::test]
async fn a_sandbox_is_opened_used_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let web = Web::on(Site::new(), launch(directory.path()).start()).await;
    web.open("sandboxes").await;
    web.browser.wait_text("main", "There are none").await;
    web.browser.press("Open a sandbox").await;
    web.browser.wait(COMMAND).await;
    type_line(&web.browser, "id -un; echo from stderr >&2; printf '<img src=x onerror=alert(1)>'")
        .await;
    for text in ["agent", "from stderr", "<img src=x onerror=alert(1)>", "exited 0"] {
        web.browser.wait_text(TERMINAL, text).await;
    }
    // What goes to standard error is marked.
    web.browser.wait_text("[role=log] pre .stderr", "from stderr").await;
    let ready = web.client().get("/sandboxes?status=ready").await.json();
    web.browser.wait_text(".facts .code", ready["items"][0]["id"].as_str().unwrap()).await;
    // What was written by one command is there for the next, and for the form below.
    type_line(&web.browser, "echo kept > note; printf %s-%s it waits; sleep 600").await;
    web.browser.wait_text(TERMINAL, "it-waits").await;
    web.browser.press("Kill").await;
    web.browser.wait_text(TERMINAL, "killed").await;
    let at_its_end = "const field = document.querySelectorAll('form.row input')[2];
        field.focus(); field.setSelectionRange(field.value.length, field.value.length)";
    web.browser.script(at_its_end, vec![]).await;
    web.browser.keys("note").await;
    web.browser.press("Show").await;
    web.browser.wait_text("form + p + pre, form ~ pre", "kept").await;
    web.browser.wait_text("table", "/bin/sh").await;
    web.browser.screenshot("sandbox").await;
    web.browser.script(AXE, vec![]).await;
    assert_accessible(&web.browser, "sandbox").await;
    web.browser.press("Remove…").await;
    web.browser.press("Remove it, with its files").await;
    web.browser.wait_text(".facts", "ended: removed").await;
    let ready = web.client().get("/sandboxes?status=ready").await.json();
    assert_eq!(ready["items"], json!([]));
    web.browser.finish().await;
}
