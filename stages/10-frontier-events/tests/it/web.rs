//! The pages of this stage, as a person uses them: in Debian's Chromium, through `WebDriver`.

#[path = "../../../09-frontier/tests/it/web/browser.rs"]
#[expect(dead_code, reason = "the tests of stage 09 use more of it")]
mod browser;

use std::path::Path;
use std::time::Duration;

use harness::{Client, Server};
use serde_json::{Value, json};

use crate::broker::system::Nats;
use crate::fleet::site::{Site, ready, waits_for};
use crate::receiver::Receiver;
use crate::stage;
use crate::tenants::key;
use browser::Browser;

/// axe-core, as its package has it.
const AXE: &str = include_str!("../../../09-frontier/tests/it/web/axe/axe.min.js");
/// The violations that it finds, with the elements.
const FIND_VIOLATIONS: &str = "const done = arguments[0];
    axe.run(document, { resultTypes: ['violations'] }).then(
        found => done(found.violations.map(one => [one.id, one.help, one.nodes.map(node => node.html.slice(0, 200))])),
        error => done(String(error)))";
/// The elements that make a page wider than its window. Null without one.
const FIND_EXCESS: &str = "const { scrollWidth, clientWidth } = document.documentElement;
    return scrollWidth <= clientWidth ? null : [...document.querySelectorAll('body *')].filter(found =>
        found.getBoundingClientRect().right > clientWidth && !found.closest('.scroll, pre'))
        .map(found => found.outerHTML.slice(0, 120))";

async fn on(server: &Server) -> Browser {
    let browser = Browser::start().await;
    browser.goto(server.url()).await;
    browser.wait("main h1").await;
    browser
}

async fn open(browser: &Browser, server: &Server, page: &str) {
    browser.goto(&format!("{}/#/{page}", server.url())).await;
    browser.wait("main h1").await;
}

/// Has the tab use this key.
async fn use_key(browser: &Browser, key: &str) {
    browser.script("sessionStorage.setItem('crucible-key', arguments[0])", vec![key.into()]).await;
    browser.reload().await;
    browser.wait("main h1").await;
}

/// The page that is shown: for screen readers, in both colour schemes, and on a telephone. With pictures.
async fn assert_fit(browser: &Browser, name: &str) {
    browser.script(AXE, vec![]).await;
    for scheme in ["light", "dark"] {
        let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.devtools("Emulation.setEmulatedMedia", feature).await;
        let violations = browser.async_script(FIND_VIOLATIONS).await;
        assert_eq!(violations, json!([]), "{name}, {scheme}: {violations:#}");
        browser.screenshot(&format!("{name}-{scheme}")).await;
    }
    let narrow = json!({ "width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": false });
    browser.devtools("Emulation.setDeviceMetricsOverride", narrow).await;
    assert_eq!(browser.script(FIND_EXCESS, vec![]).await, Value::Null, "{name}");
    browser.screenshot(&format!("{name}-narrow")).await;
    browser.devtools("Emulation.clearDeviceMetricsOverride", json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fleet_is_shown_and_an_administrator_drains_a_worker() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, 10);
    let (admin, reader) = {
        let data = site.path("data");
        (key(&data, "admin", &["admin"]), key(&data, "reader", &["read"]))
    };
    std::fs::write(site.path("key"), key(&site.path("data"), "worker", &["worker"])).unwrap();
    let server = site.api();
    let client = server.client().with_key(&admin);
    let browser = on(&server).await;
    use_key(&browser, &admin).await;
    open(&browser, &server, "workers").await;
    browser.wait_text("main", "No worker was seen lately").await;
    let key_file = site.path("key").display().to_string();
    let workers = ["north", "south"]
        .map(|name| site.worker_with(name, &["--drain-seconds", "5", "--api-key-file", &key_file]));
    ready(&client, 2).await;
    let release = site.path("release");
    let id = client.submit(&json!({ "code": waits_for(&release) })).await;
    browser.wait_text("main tbody tr", "1 of 2").await;
    browser.wait_text("main tbody .label", "python").await;
    browser.wait_text("main .facts", "2, 2 of them take work").await;
    assert_fit(&browser, "workers").await;
    // The first click only asks.
    press_in_row(&browser, "north", "Drain").await;
    browser.wait_text("main tbody tr", "north will take no more work").await;
    press_in_row(&browser, "north", "No").await;
    press_in_row(&browser, "north", "Drain").await;
    press_in_row(&browser, "north", "Yes").await;
    browser.wait_text("main tbody tr .status", "draining").await;
    browser.wait_text("main .facts", "1 of them take work").await;
    // What runs goes on, wherever it runs.
    std::fs::write(&release, "").unwrap();
    assert_eq!(client.wait(&id).await["outcome"], "exited");
    // Without the scope there are sums, and no workers.
    use_key(&browser, &reader).await;
    browser.wait_text("main", "shown to keys with the scope admin").await;
    assert_eq!(browser.count("main table").await, 0);
    drop(workers);
    browser.finish_expecting(&["403"]).await;
}

/// Clicks a button of the row of this worker.
async fn press_in_row(browser: &Browser, row: &str, button: &str) {
    let script = "const row = [...document.querySelectorAll('main tbody tr')].find(row => row.innerText.includes(arguments[0]));
        const found = [...row?.querySelectorAll('button') ?? []].find(found => found.innerText.trim() === arguments[1] && !found.disabled);
        found?.click(); return Boolean(found)";
    harness::eventually_some(button, Duration::from_mins(1), async || {
        let pressed = browser.script(script, vec![row.into(), button.into()]).await;
        (pressed == json!(true)).then_some(())
    })
    .await;
}

/// A rule file with a webhook and a line of the log.
fn rules(directory: &Path, url: &str) -> String {
    let (secret, rules) = (directory.join("secret"), directory.join("rules.toml"));
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let text = format!(
        "[[rule]]\nname = \"alarms\"\nevents = [\"security.violation\"]\nwebhook = \"{url}\"\nsecret_file = \"{}\"\n\n\
         [[rule]]\nname = \"failures\"\nevents = [\"evaluation.failed\", \"resource.*\"]\nlog = \"warn\"\n",
        secret.display()
    );
    std::fs::write(&rules, text).unwrap();
    rules.display().to_string()
}

async fn counts(client: &Client, id: &str, name: &str, count: u64) {
    harness::eventually_some(name, Duration::from_mins(1), async || {
        let webhook = client.get(&format!("/webhooks/{id}")).await.json();
        (webhook[name] == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_webhook_is_made_and_what_is_parked_is_sent_again() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start(500).await;
    let data = directory.path().join("data");
    let (admin, reader) = (key(&data, "admin", &["admin"]), key(&data, "reader", &["read"]));
    let launch = stage::on(&data).args(["--webhook-allow", "127.0.0.1/32"]);
    let launch = launch.args(["--webhook-retry-seconds", "0", "--rules"]);
    let server = launch.arg(rules(directory.path(), &receiver.url)).start();
    let client = server.client().with_key(&admin);
    let browser = on(&server).await;
    use_key(&browser, &admin).await;
    open(&browser, &server, "webhooks").await;
    browser.wait_text("main tbody tr", "rule-alarms").await;
    browser.wait_text("main tbody tr", "a line of the log, warn").await;
    browser.click("main details.raw summary").await;
    browser.type_into("main input[name=url]", "https://10.0.0.1/").await;
    browser.press("Make it").await;
    browser.wait_text("main .failure", "special addresses").await;
    browser.script("document.querySelector('main input[name=url]').value = ''", vec![]).await;
    browser.type_into("main input[name=url]", &receiver.url).await;
    browser.press("Make it").await;
    browser.wait_text("main .card code", "whsec_").await;
    let webhooks = client.get("/webhooks").await.json();
    let made = &webhooks["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["url"] == receiver.url && one["id"] != "rule-alarms");
    let made = made.unwrap();
    assert_eq!(made["events"], json!(["evaluation.completed", "evaluation.failed"]));
    let id = made["id"].as_str().unwrap();
    browser.wait_text("main tbody tr", id).await;
    assert_fit(&browser, "webhooks").await;
    client.run("print(1)").await;
    counts(&client, id, "parked", 1).await;
    open(&browser, &server, &format!("webhooks/{id}")).await;
    browser.wait_text("main tbody tr", "the receiver answered 500").await;
    assert_fit(&browser, "webhook").await;
    receiver.set_status(200);
    browser.press("Send what is parked again").await;
    counts(&client, id, "delivered", 1).await;
    browser.wait_text("main", "Nothing waits, and nothing is parked").await;
    browser.press("Replace the secret").await;
    browser.press("Yes").await;
    browser.wait_text("main .card", "the one before it signs as well").await;
    browser.wait_text("main .card code", "whsec_").await;
    browser.press("Delete").await;
    browser.press("Yes").await;
    browser.wait_until("the list", "return location.hash === '#/webhooks'").await;
    harness::eventually_some("it is gone", Duration::from_mins(1), async || {
        (client.get(&format!("/webhooks/{id}")).await.status == 404).then_some(())
    })
    .await;
    // The one of the rule file has neither button.
    open(&browser, &server, "webhooks/rule-alarms").await;
    browser.wait_text("main", "in the rule file of the server").await;
    assert_eq!(browser.count("main .actions button").await, 1);
    use_key(&browser, &reader).await;
    open(&browser, &server, "webhooks").await;
    browser.wait_text("main", "Rules are shown to keys with the scope admin").await;
    browser.wait_text("main", "There are none").await;
    assert_eq!(client.get("/rules").await.json()["items"][1]["log"], "warn");
    assert_eq!(server.client().with_key(&reader).get("/rules").await.status, 403);
    browser.finish_expecting(&["400", "403", "404"]).await;
}

#[tokio::test]
async fn alarms_are_shown_while_they_happen_with_what_decided_them() {
    let directory = tempfile::tempdir().unwrap();
    let scratch = directory.path().join("tmp");
    std::fs::create_dir(&scratch).unwrap();
    let server = stage::on(&directory.path().join("data")).env("TMPDIR", &scratch).start();
    let client = server.client();
    let browser = on(&server).await;
    open(&browser, &server, "events").await;
    browser.wait_text("main .connection", "Live").await;
    let endless = json!({ "code": "while True: pass", "timeout_seconds": 1 });
    let ended = client.eval(&endless).await;
    let row = "main tr[data-type='resource.limit_exceeded']";
    browser.wait_text(row, ended["id"].as_str().unwrap()).await;
    let decided_by = ended["evidence"]["decided_by"].as_str().unwrap();
    browser.wait_text(row, decided_by).await;
    browser.wait("main tr[data-type='evaluation.failed']").await;
    // The engine does not work any more: it has no place for the files of a program.
    std::fs::remove_dir_all(&scratch).unwrap();
    std::fs::write(&scratch, "").unwrap();
    assert_eq!(client.post("/self-test", &json!({})).await.status, 202);
    let row = "main tr[data-type='security.violation']";
    browser.wait_text(row, "self_test").await;
    browser.click(&format!("{row} summary")).await;
    browser.wait_text(row, "tested_at").await;
    browser.wait_text("main [role=alert]", "subprocess engine fails its self test").await;
    assert_fit(&browser, "events").await;
    // The address says what is shown.
    open(&browser, &server, "events?kind=alarms&after=0").await;
    browser.wait_text(row, "self_test").await;
    browser.wait("main tr[data-type='resource.limit_exceeded']").await;
    assert_eq!(browser.count("main tr[data-type='evaluation.failed']").await, 0);
    browser.finish().await;
}
