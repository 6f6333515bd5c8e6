//! The pages as a reader has them: in Debian's Chromium, through `WebDriver`, one browser for all.
//!
//! Figures, widths, print, quizzes, and the run button against a real stage on another origin.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../../stages/09-frontier/tests/it/web/browser.rs"]
#[expect(dead_code, reason = "the tests of stage 09 use more of it")]
mod browser;
#[path = "pages/matrix.rs"]
mod matrix;
#[path = "pages/run.rs"]
mod run;

use std::path::Path;
use std::sync::Arc;

use browser::{Browser, ENTER};
use crucible_book::{book_root, render, serve};
use serde_json::json;
use shared::http::{Endpoint, ServerOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// axe-core, as its package has it.
const AXE: &str = include_str!("../../stages/09-frontier/tests/it/web/axe/axe.min.js");
const FIGURES: &str = include_str!("pages/figures.js");
const WIDTH: &str = include_str!("pages/width.js");
/// The violations that axe finds in what this book adds to mdBook's pages.
const VIOLATIONS: &str = "const done = arguments[0];
    axe.run({ include: ['.quiz', 'form.run', 'footer.report', '.matrix-filter', '.probe', '.verdicts'] }, { resultTypes: ['violations'] }).then(
        found => done(found.violations.map(one => [one.id, one.help, one.nodes.map(node => node.html.slice(0, 200))])),
        error => done(String(error)))";
/// Of a telephone, of a tablet, of a desk.
const WIDTHS: [u32; 3] = [360, 768, 1400];
/// The text width of A4, in CSS pixels, with margins of 1 cm.
const PAPER: u32 = 717;

/// The built book, served on an origin of its own, and a browser.
struct Book {
    built: tempfile::TempDir,
    origin: String,
    stop: CancellationToken,
    browser: Browser,
}

impl Book {
    async fn open() -> Self {
        let built = tempfile::tempdir().unwrap();
        render::build(&book_root(), built.path()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let router = Arc::new(serve::router(built.path()));
        let endpoint = Endpoint::new(router, ServerOptions::default(), stop.clone());
        tokio::spawn(stage_02_queue::serve(Arc::new(endpoint), listener));
        Self { built, origin, stop, browser: Browser::start().await }
    }

    async fn go(&self, page: &str) {
        self.browser.goto(&format!("{}/{page}", self.origin)).await;
    }

    async fn width(&self, width: u32) {
        let metrics =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.browser.devtools("Emulation.setDeviceMetricsOverride", metrics).await;
    }

    async fn theme(&self, theme: &str) {
        // By mdBook's own menu, which exchanges the colours of code as well.
        let script = "document.getElementById(`mdbook-theme-${arguments[0]}`).click()";
        self.browser.script(script, vec![theme.into()]).await;
    }

    /// What a script returns: a list of errors.
    async fn errors(&self, script: &str, argument: bool) -> Vec<String> {
        let found = self.browser.script(script, vec![argument.into()]).await;
        serde_json::from_value(found).unwrap()
    }
}

/// The pages of the built book.
fn pages(built: &Path) -> Vec<String> {
    let names = std::fs::read_dir(built).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    let is_html =
        |name: &str| Path::new(name).extension().is_some_and(|extension| extension == "html");
    let own = |name: &String| {
        is_html(name) && !["print.html", "toc.html", "404.html"].contains(&name.as_str())
    };
    let mut pages: Vec<String> = names.filter(own).collect();
    pages.sort();
    assert!(pages.len() > 20, "{pages:?}");
    pages
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_uses_the_pages() {
    let book = Book::open().await;
    every_page_fits_every_width(&book).await;
    a_longer_text_is_found(&book).await;
    nothing_is_cut_off_on_paper(&book).await;
    quizzes_give_the_reason(&book).await;
    matrix::cells_lead_to_probes(&book).await;
    run::every_program_has_a_button(&book).await;
    run::the_button_asks_before_it_runs_without_isolation(&book).await;
    run::the_button_runs_on_a_stage_without_accounts(&book).await;
    run::the_button_runs_on_a_stage_with_accounts(&book).await;
    book.stop.cancel();
    // A stage that does not answer, or does not allow this page, is what the button reports.
    book.browser
        .finish_expecting(&[
            "ERR_CONNECTION_REFUSED",
            "ERR_UNSAFE_PORT",
            "401 (Unauthorized)",
            "blocked by CORS policy",
            "ERR_FAILED",
            "favicon",
            // A stage with keys, before one is given.
            "/eval - Failed to load resource: the server responded with a status of 401",
        ])
        .await;
}

async fn every_page_fits_every_width(book: &Book) {
    let mut errors = Vec::new();
    for page in pages(book.built.path()) {
        // mdBook decides by the width at the start whether it shows its sidebar.
        book.width(WIDTHS[0]).await;
        book.go(&page).await;
        for width in WIDTHS {
            book.width(width).await;
            let mut found = book.errors(WIDTH, false).await;
            found.extend(book.errors(FIGURES, false).await);
            errors.extend(found.into_iter().map(|error| format!("{page}, {width} px: {error}")));
        }
    }
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

/// A check that has never failed proves nothing.
async fn a_longer_text_is_found(book: &Book) {
    book.go("04-docker.html").await;
    let longer = "[...document.querySelectorAll('main svg text')].find(text => text.textContent === 'program')
        .textContent = 'the program that was submitted'";
    book.browser.script(longer, vec![]).await;
    for width in WIDTHS {
        book.width(width).await;
        let errors = book.errors(FIGURES, false).await;
        assert!(
            errors.iter().any(|error| error.contains("crosses the border")),
            "{width}: {errors:?}"
        );
    }
    let worse = "const svg = document.querySelector('main svg.diagram');
        svg.querySelector('title').textContent = ' ';
        svg.querySelector('text').setAttribute('fill', '#888');
        document.querySelector('main p').style.width = '500px'";
    book.browser.script(worse, vec![]).await;
    book.width(360).await;
    let errors = book.errors(FIGURES, false).await;
    assert!(errors.iter().any(|error| error.contains("has no title")), "{errors:?}");
    assert!(errors.iter().any(|error| error.contains("is rgb(136, 136, 136) on")), "{errors:?}");
    assert!(!book.errors(WIDTH, false).await.is_empty());
}

async fn nothing_is_cut_off_on_paper(book: &Book) {
    let silent = json!({ "source": "window.print = () => {}" });
    book.browser.devtools("Page.addScriptToEvaluateOnNewDocument", silent).await;
    book.width(PAPER).await;
    book.browser.devtools("Emulation.setEmulatedMedia", json!({ "media": "print" })).await;
    book.go("print.html").await;
    // What Chromium does before it prints: the script unfolds the answers.
    book.browser.script("dispatchEvent(new Event('beforeprint'))", vec![]).await;
    assert_eq!(book.browser.count("main details:not([open])").await, 0);
    let errors = book.errors(WIDTH, true).await;
    assert!(errors.is_empty(), "{}", errors.join("\n"));
    let wide = "document.querySelector('main pre code').style.whiteSpace = 'pre';
        document.querySelector('main pre code').textContent = 'x'.repeat(200)";
    book.browser.script(wide, vec![]).await;
    assert!(!book.errors(WIDTH, true).await.is_empty());
    book.browser.devtools("Emulation.setEmulatedMedia", json!({ "media": "" })).await;
}

async fn quizzes_give_the_reason(book: &Book) {
    let html = std::fs::read_to_string(book.built.path().join("02-queue.html")).unwrap();
    let (_, quiz) = html.split_once("id=\"quiz-02-2\"").unwrap();
    let (quiz, _) = quiz.split_once("</details>").unwrap();
    // Without JavaScript.
    for part in [
        "<details class=\"quiz-answer\">",
        "<strong>Right.</strong>",
        "[exited 137, by exit_status",
    ] {
        assert!(quiz.contains(part), "{part}: {quiz}");
    }
    book.width(900).await;
    book.go("02-queue.html").await;
    let browser = &book.browser;
    let verdict = "#quiz-02-2 .verdict";
    browser.click("#quiz-02-2 form.answer > button").await;
    browser.wait_text(verdict, "Answer first").await;
    browser.click("#quiz-02-2 form.answer label:nth-of-type(2)").await;
    browser.click("#quiz-02-2 form.answer > button").await;
    browser.wait_text(&format!("{verdict}.wrong"), "In a log of Kubernetes").await;
    // By the keyboard: mdBook would turn the page at this key.
    let focus = "document.querySelector('#quiz-02-2 form.answer input:checked').focus()";
    browser.script(focus, vec![]).await;
    browser.keys("\u{e014}").await;
    browser.keys(ENTER).await;
    browser.wait_text(&format!("{verdict}.right"), "A program chooses its exit code").await;
    assert!(
        browser
            .script("return location.pathname", vec![])
            .await
            .as_str()
            .unwrap()
            .ends_with("02-queue.html")
    );
    // A short text; a letter that opens mdBook's search is a letter here.
    browser.type_into("#quiz-02-1 form.answer input", "s").await;
    browser.keys(ENTER).await;
    browser.wait_text("#quiz-02-1 .verdict.wrong", "no exit code of its own").await;
    browser
        .script("document.querySelector('#quiz-02-1 form.answer input').value = ' 124 '", vec![])
        .await;
    browser.click("#quiz-02-1 form.answer > button").await;
    browser.wait_text("#quiz-02-1 .verdict.right", "124").await;
    assert_no_violation(book, "quiz").await;
}

/// For screen readers, in the light and the dark theme, with pictures.
async fn assert_no_violation(book: &Book, name: &str) {
    book.browser.script(AXE, vec![]).await;
    for theme in ["light", "navy"] {
        book.theme(theme).await;
        book.browser.screenshot(&format!("book-{name}-{theme}")).await;
        let violations = book.browser.async_script(VIOLATIONS).await;
        assert_eq!(violations, json!([]), "{name}, {theme}: {violations:#}");
    }
}
