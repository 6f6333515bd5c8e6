//! Every page: for screen readers, narrow windows and both colour schemes; the list, the comparison, the dashboard.

use std::time::Duration;

use serde_json::{Value, json};

use super::browser::{Browser, ENTER};
use super::{Web, id_of, labelled};
use crate::accounts::Site;

/// axe-core, as its package has it.
pub(super) const AXE: &str = include_str!("axe/axe.min.js");
/// The violations that it finds, with the elements.
const FIND_VIOLATIONS: &str = "const done = arguments[0];
    axe.run(document, { resultTypes: ['violations'] }).then(
        found => done(found.violations.map(one => [one.id, one.help, one.nodes.map(node => node.html.slice(0, 200) + ' ' + (node.any[0]?.message ?? ''))])),
        error => done(String(error)))";
/// The pages of the menu.
const PAGES: [&str; 9] = [
    "submit",
    "list",
    "compare",
    "sandboxes",
    "dashboard",
    "environments",
    "matrix",
    "keys",
    "audit",
];

pub(super) async fn assert_accessible(browser: &Browser, page: &str) {
    for scheme in ["light", "dark"] {
        let feature = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser.devtools("Emulation.setEmulatedMedia", feature).await;
        let violations = browser.async_script(FIND_VIOLATIONS).await;
        assert_eq!(violations, json!([]), "{page}, {scheme}: {violations:#}");
    }
}

async fn wait_until_loaded(browser: &Browser) {
    let loaded = "return document.querySelector('main h1') && !document.querySelector('main').innerText.includes('Loading')";
    browser.wait_until("the page is loaded", loaded).await;
}

/// A server with two tenants' evaluations and a browser with an administrator's key, so that no page is empty.
async fn filled() -> (Web, String) {
    let site = Site::new();
    let admin = site.key("admin", &["admin"]);
    let server = site.launch().arg("--strict-contract").start();
    let client = server.client().with_key(&admin);
    let mut last = Value::Null;
    for code in ["print('one')", "raise SystemExit(3)", "print('two\\n' * 40)"] {
        let submitted = client.submit(&labelled(code, "model", "m-1")).await;
        last = client.wait(&submitted).await;
    }
    let web = Web::on(site, server).await;
    web.use_key(&admin).await;
    (web, id_of(&last))
}

#[tokio::test]
async fn no_page_has_a_violation_of_accessibility() {
    let (web, id) = filled().await;
    web.browser.script(AXE, vec![]).await;
    let (evaluation, compared) = (format!("eval/{id}"), format!("compare?a={id}&b={id}"));
    for page in PAGES.into_iter().chain([evaluation.as_str(), &compared, "nothing"]) {
        web.open(page).await;
        wait_until_loaded(&web.browser).await;
        assert_accessible(&web.browser, page).await;
    }
    web.browser.finish_expecting(&["404"]).await;
}

/// A person who wants no motion gets none: nothing is animated, and nothing changes gradually or scrolls smoothly.
#[tokio::test]
async fn no_page_moves_for_a_person_who_wants_no_motion() {
    let (web, id) = filled().await;
    let moving = "return [...document.querySelectorAll('*')].filter(found => {
            const { animationName, animationDuration, transitionDuration, scrollBehavior } = getComputedStyle(found);
            const lasts = text => text.split(',').some(one => parseFloat(one) > 0);
            return (animationName !== 'none' && lasts(animationDuration)) || lasts(transitionDuration) || scrollBehavior === 'smooth';
        }).map(found => found.outerHTML.slice(0, 120)).concat(document.getAnimations().map(String))";
    // What would be found: an element that moves, for everybody else.
    let add = "const sheet = new CSSStyleSheet();
        sheet.replaceSync('@keyframes turn { to { rotate: 360deg } } main h1 { animation: turn 1s infinite; transition: color 1s }');
        document.adoptedStyleSheets = [sheet]";
    let motion = async |value: &str| {
        let feature = json!({ "features": [{ "name": "prefers-reduced-motion", "value": value }] });
        web.browser.devtools("Emulation.setEmulatedMedia", feature).await;
    };
    web.browser.script(add, vec![]).await;
    motion("no-preference").await;
    assert_ne!(web.browser.script(moving, vec![]).await, json!([]), "a page that moves is noticed");
    motion("reduce").await;
    let evaluation = format!("eval/{id}");
    for page in PAGES.into_iter().chain([evaluation.as_str()]) {
        web.open(page).await;
        wait_until_loaded(&web.browser).await;
        assert_eq!(web.browser.script(moving, vec![]).await, json!([]), "{page}");
    }
    web.browser.finish_expecting(&["404"]).await;
}

#[tokio::test]
async fn no_page_is_wider_than_a_telephone() {
    let (web, id) = filled().await;
    let narrow = json!({ "width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": false });
    web.browser.devtools("Emulation.setDeviceMetricsOverride", narrow).await;
    let (evaluation, compared) = (format!("eval/{id}"), format!("compare?a={id}&b={id}"));
    for page in PAGES.into_iter().chain([evaluation.as_str(), &compared]) {
        web.open(page).await;
        wait_until_loaded(&web.browser).await;
        let excess = "const { scrollWidth, clientWidth } = document.documentElement;
            return scrollWidth <= clientWidth ? null : [...document.querySelectorAll('body *')].filter(found =>
                found.getBoundingClientRect().right > clientWidth && !found.closest('.scroll, pre, .cm-scroller'))
                .map(found => found.outerHTML.slice(0, 120))";
        assert_eq!(web.browser.script(excess, vec![]).await, Value::Null, "{page}");
    }
    web.open("list").await;
    web.browser.wait("main tbody tr").await;
    web.browser.screenshot("narrow").await;
    web.browser.finish_expecting(&["404"]).await;
}

#[tokio::test]
async fn the_list_is_filtered_by_its_address_and_pages_stay_as_they_are() {
    let web = Web::new().await;
    let client = web.client();
    for number in 0..30 {
        let wanted = labelled(
            &format!("raise SystemExit({})", number % 2),
            "parity",
            ["even", "odd"][number % 2],
        );
        let id = client.submit(&wanted).await;
        client.wait(&id).await;
    }
    web.open("list?label=parity:even&limit=10").await;
    let rows =
        "const rows = [...document.querySelectorAll('main tbody tr')].map(row => row.dataset.id);
        return rows.length === arguments[0] ? rows : null";
    let rows = async |count: u64| {
        let found = async || web.browser.script(rows, vec![count.into()]).await.as_array().cloned();
        harness::eventually_some("rows", Duration::from_mins(1), found).await
    };
    let first = rows(10).await;
    web.browser.screenshot("list").await;
    web.browser.press("Older").await;
    let second = rows(5).await;
    assert!(second.iter().all(|id| !first.contains(id)), "{second:?}");
    // New ones do not move what is on this page.
    for _ in 0..5 {
        let id = client.submit(&labelled("print(1)", "parity", "even")).await;
        client.wait(&id).await;
    }
    web.browser.reload().await;
    assert_eq!(rows(5).await, second);
    // The back button leads to the page before, which has the new ones.
    web.browser.script("history.back()", vec![]).await;
    let newest = rows(10).await;
    assert_eq!(&newest[5..], &first[..5]);
    // A filter that is chosen is in the address.
    web.browser
        .script(
            "const select = document.querySelector('select[name=status]');
        select.value = 'running'; select.dispatchEvent(new Event('change', { bubbles: true }))",
            vec![],
        )
        .await;
    web.browser.wait_text("main", "No evaluation").await;
    let address = web.browser.script("return location.hash", vec![]).await.to_string();
    assert!(address.contains("status=running") && !address.contains("cursor"), "{address}");
    web.browser.finish().await;
}

#[tokio::test]
async fn the_list_is_walked_with_the_keyboard() {
    let web = Web::new().await;
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.push(id_of(&web.client().run(&format!("print({number})")).await));
    }
    web.open("list").await;
    web.browser.wait("main tbody tr:nth-child(3)").await;
    web.browser.keys("jjk").await;
    web.browser.keys("j").await;
    web.browser.keys(ENTER).await;
    web.browser.wait_text("main .head code", &ids[1]).await;
    web.browser.finish().await;
}

#[tokio::test]
async fn one_box_finds_any_id() {
    let web = Web::new().await;
    let ended = web.client().run("print('found')").await;
    let batch = json!({ "evaluations": [{ "code": "print(1)" }, { "code": "print(2)" }] });
    let batch = id_of(&web.client().post("/batches", &batch).await.json());
    web.browser.keys("/").await;
    web.browser.keys(format!("{}{ENTER}", id_of(&ended))).await;
    web.browser.wait_text("pre.output", "found").await;
    web.browser.type_into("header input[type=search]", &format!("{batch}{ENTER}")).await;
    web.browser.wait("main tbody tr:nth-child(2)").await;
    web.browser.wait_text("main", &batch).await;
    let unknown = "00000000-0000-7000-8000-000000000000";
    web.browser.type_into("header input[type=search]", &format!("{unknown}{ENTER}")).await;
    web.browser.wait_text("header .said", "nothing has this id").await;
    web.browser.finish_expecting(&["404"]).await;
}

#[tokio::test]
async fn two_runs_are_compared_line_by_line() {
    let web = Web::new().await;
    let one = web.client().run("print('same'); print('left'); print('end')").await;
    let other = web.client().run("print('same'); print('right'); print('end'); exit(2)").await;
    web.open(&format!("compare?a={}&b={}", id_of(&one), id_of(&other))).await;
    web.browser.wait_text("main tr[data-change=removed]", "left").await;
    web.browser.wait_text("main tr[data-change=added]", "right").await;
    web.browser.wait_text("main tr[data-change=same]", "same").await;
    web.browser.wait_text("main tr.differs", "exit code").await;
    web.browser.screenshot("compare").await;
    web.browser.finish().await;
}

#[tokio::test]
async fn the_dashboard_draws_what_the_metrics_count() {
    let web = Web::new().await;
    web.open("dashboard").await;
    web.browser.wait("canvas").await;
    for code in ["print(1)", "print(2)", "raise SystemExit(1)"] {
        web.client().run(code).await;
    }
    web.browser.wait_text("[data-metric=ended]", "3").await;
    web.browser.wait_text("main td", "exited").await;
    web.browser
        .wait_until("a few samples", "return document.querySelectorAll('canvas').length >= 4")
        .await;
    web.browser.screenshot("dashboard").await;
    web.browser.finish().await;
}

#[tokio::test]
async fn twenty_thousand_events_do_not_stop_the_page() {
    let site = Site::new();
    let server = site.launch().start();
    let ended = server.client().run("print('few')").await;
    assert_eq!(server.stop(), Some(0));
    multiply_events(&site, 20_000);
    let server = site.launch().arg("--strict-contract").start();
    let web = Web::on(site, server).await;
    web.open_evaluation(&id_of(&ended)).await;
    // All of them are read, and few of them are drawn.
    let all = "return [...document.querySelectorAll('main button')].some(found =>
        Number(found.innerText.match(/^Show (\\d+) more$/)?.[1]) >= 19_800)";
    let is_read = async || (web.browser.script(all, vec![]).await == json!(true)).then_some(());
    harness::eventually_some("all events are read", Duration::from_mins(10), is_read).await;
    assert!(web.browser.count(".timeline li").await <= 200);
    // The page still reacts.
    web.browser.click("details.raw summary").await;
    web.browser.wait_text("details.raw pre", "decided_by").await;
    web.browser.finish().await;
}

/// Inserts `count` events before the last one of the only evaluation: output and limits in turn, which are rows of
/// their own in the timeline.
fn multiply_events(site: &Site, count: i64) {
    let mut database = rusqlite::Connection::open(site.database()).unwrap();
    let rows = database.transaction().unwrap();
    let insert = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?1)
        INSERT INTO events (subject, kind, time, data) SELECT events.subject, iif(n % 2, kind, 'resource.limit_exceeded'), time, data FROM numbers
        JOIN events ON kind = iif(n % 2, 'evaluation.progress', 'evaluation.completed') ORDER BY n";
    assert!(rows.execute(insert, [count]).unwrap() >= 20_000);
    let last = "INSERT INTO events (subject, kind, time, data) SELECT subject, kind, time, data FROM events
        WHERE kind = 'evaluation.completed'";
    assert_eq!(rows.execute(last, []).unwrap(), 1);
    let number = rows.last_insert_rowid();
    rows.execute(
        "DELETE FROM events WHERE kind = 'evaluation.completed' AND number < ?1",
        [number],
    )
    .unwrap();
    rows.execute("UPDATE evaluations SET last_event = ?1", [number]).unwrap();
    rows.commit().unwrap();
}
