//! The slides in Debian's Chromium: each fits its page, in two sizes; keys, print, and no network.
//!
//! One browser for all of it. `just slides` writes the same file.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, a panic is the report of a failure"
)]

#[path = "../../stages/09-frontier/tests/it/web/browser.rs"]
#[expect(dead_code, reason = "the tests of stage 09 use more of it")]
mod browser;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crucible_book::{book_root, slides};
use serde_json::{Value, json};

use browser::Browser;

/// The slides whose content is larger than their page, with what is too large.
const FIND_OVERFLOW: &str = "const bad = [];
    for (let at = 0; at < slides.length; at++) {
        slides.forEach((slide, other) => slide.classList.toggle('current', other === at));
        const slide = slides[at], body = slide.querySelector('.body');
        const page = slide.getBoundingClientRect(), box = body.getBoundingClientRect();
        const over = Math.max(body.scrollHeight - body.clientHeight, body.scrollWidth - body.clientWidth);
        const wide = [...body.querySelectorAll('*')].filter(one => !one.closest('svg') || one.tagName === 'svg')
            .filter(one => { const r = one.getBoundingClientRect();
                return r.right > page.right + 1 || r.left < page.left - 1 || r.bottom > box.bottom + 2 || one.scrollWidth > one.clientWidth + 1 && one.tagName === 'PRE'; });
        if (over > 2 || wide.length) bad.push(`${at + 1} ${slide.querySelector('header').innerText.replace('\\n', ': ')}: ${over} pixels, ${wide.map(one => one.tagName).slice(0, 4)}`);
    }
    slides.at(-1).classList.remove('current');
    go(0);
    return bad";

/// Writes a deck and opens it in a window of this size.
async fn open(browser: &Browser, deck: &Path, width: u32, height: u32) {
    let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
    browser.devtools("Emulation.setDeviceMetricsOverride", size).await;
    browser.goto(&format!("file://{}", deck.display())).await;
    browser.wait(".slide.current h1").await;
}

async fn place(browser: &Browser) -> u64 {
    browser.script("return place", vec![]).await.as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_slide_fits_its_page_and_the_deck_is_driven_by_keys_and_printed() {
    let directory = tempfile::tempdir().unwrap();
    let deck = directory.path().join("deck.html");
    slides::write(&book_root(), &deck).unwrap();
    let html = std::fs::read_to_string(&deck).unwrap();
    let count = html.matches("<section class=\"slide").count();
    let browser = Browser::start().await;

    for (width, height) in [(1280, 720), (1920, 1080)] {
        for scheme in ["light", "dark"] {
            let feature =
                json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            browser.devtools("Emulation.setEmulatedMedia", feature).await;
            open(&browser, &deck, width, height).await;
            let overflow = browser.script(FIND_OVERFLOW, vec![]).await;
            assert_eq!(overflow, json!([]), "{width} by {height}, {scheme}: {overflow:#}");
            let shown = browser
                .script("return getComputedStyle(document.documentElement).colorScheme", vec![]);
            assert_eq!(shown.await, json!(scheme));
        }
    }
    // A slide that is too long is noticed.
    browser
        .script("slides[2].querySelector('.body').innerHTML += '<p>x</p>'.repeat(60)", vec![])
        .await;
    let overflow = browser.script(FIND_OVERFLOW, vec![]).await;
    assert_eq!(overflow.as_array().map(Vec::len), Some(1), "{overflow:#}");
    open(&browser, &deck, 1280, 720).await;

    by_keys(&browser, count as u64).await;
    printed(&browser, count).await;
    // Neither a request nor a violation of the page's policy: `finish` reads what the browser reports.
    let requests = "return performance.getEntriesByType('resource').map(one => one.name).filter(name => !name.startsWith('data:'))";
    assert_eq!(browser.script(requests, vec![]).await, json!([]));
    browser.finish().await;
}

async fn by_keys(browser: &Browser, count: u64) {
    for (keys, expected) in [
        ("\u{e014}", 1),         // right
        (" ", 2),                // space
        ("\u{e012}", 1),         // left
        ("\u{e010}", count - 1), // end
        ("\u{e014}", count - 1),
        ("\u{e011}", 0), // home
    ] {
        browser.keys(keys).await;
        assert_eq!(place(browser).await, expected, "after {keys:?}");
    }
    let notes = "const notes = document.querySelector('.slide.current + .notes'); return getComputedStyle(notes).display";
    assert_eq!(browser.script(notes, vec![]).await, json!("none"));
    browser.keys("n").await;
    assert_eq!(browser.script(notes, vec![]).await, json!("block"));
    browser.keys("n").await;
    let scheme = "return getComputedStyle(document.documentElement).colorScheme";
    let before = browser.script(scheme, vec![]).await;
    browser.keys("d").await;
    assert_ne!(browser.script(scheme, vec![]).await, before);
    browser.keys("?").await;
    browser.wait_text("#help", "next").await;
    browser.keys("?").await;
    // A second window. A file has an origin of its own, so that what it shows cannot be read from here; what
    // it sends is followed, and what others send is not.
    browser.keys("s").await;
    browser.wait_until("a second window", "return Boolean(other) && !other.closed").await;
    let send = "dispatchEvent(new MessageEvent('message', { data: { slide: 3 }, source: arguments[0] ? other : window }))";
    browser.script(send, vec![json!(false)]).await;
    assert_eq!(place(browser).await, 0);
    browser.script(send, vec![json!(true)]).await;
    assert_eq!(place(browser).await, 3);
    browser.script("other.close(); go(0)", vec![]).await;
}

/// A page for each slide, and twice as many with the notes.
async fn printed(browser: &Browser, count: usize) {
    for (with_notes, expected) in [(false, count..=count), (true, count * 2..=count * 3)] {
        if with_notes {
            browser.keys("n").await;
        }
        let options = json!({ "preferCSSPageSize": true, "printBackground": true });
        let pdf = browser.devtools("Page.printToPDF", options).await;
        let Value::String(data) = &pdf["data"] else { panic!("{pdf:#}") };
        let pdf = STANDARD.decode(data).unwrap();
        let text = String::from_utf8_lossy(&pdf);
        let pages = text.matches("/Type /Page\n").count();
        assert!(expected.contains(&pages), "{pages} pages for {count} slides, notes: {with_notes}");
    }
}
