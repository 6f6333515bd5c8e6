//! The run button, against real stages on other origins.

use std::path::Path;
use std::process::Command;

use crucible_book::binaries;
use harness::{Launch, Server};
use serde_json::{Value, json};

use super::{Book, assert_no_violation};

/// The binary of a stage.
fn binary(name: &str) -> std::path::PathBuf {
    let own = Path::new(env!("CARGO_BIN_EXE_crucible-book"));
    binaries::ready(own, &[name.to_owned()].into()).unwrap().join(name)
}

/// A stage that allows the pages of `origin`.
fn stage(name: &str, origin: Option<&str>, arguments: &[&str]) -> Server {
    let launch = Launch::new(binary(name)).args(arguments.iter().copied());
    let allow = |launch: Launch, origin: &str| launch.arg("--allow-origin").arg(origin);
    origin.into_iter().fold(launch, allow).start()
}

/// The button of one program.
struct Button<'a> {
    book: &'a Book,
    form: String,
}

impl<'a> Button<'a> {
    /// That of the program with this caption, whose folded listing is opened.
    async fn of(book: &'a Book, page: &str, caption: &str) -> Self {
        book.go(page).await;
        let form = format!("form.run[aria-label='Run {caption}']");
        let unfold = "const folded = document.querySelector(arguments[0]).closest('details'); if (folded) folded.open = true";
        book.browser.script(unfold, vec![form.as_str().into()]).await;
        Self { book, form }
    }

    fn result(&self) -> String {
        format!("{} .result", self.form)
    }

    /// Presses it for the stage at `address`.
    async fn press(&self, address: &str) {
        let script = "document.querySelector(arguments[0]).value = arguments[1]";
        let field = format!("{} input[type=url]", self.form);
        self.book.browser.script(script, vec![field.into(), address.into()]).await;
        self.book.browser.click(&format!("{} > button", self.form)).await;
    }

    async fn shows(&self, text: &str) -> String {
        self.book.browser.wait_text(&self.result(), text).await
    }
}

/// The captions with a button, and the programs that the page names beside commands that send them.
const PROGRAMS: &str = "const names = [...document.querySelector('main').textContent
        .matchAll(/(?:send\\.sh \\S+|run) book\\/programs\\/([\\w-]+)\\.py/g)].map(found => `book/programs/${found[1]}.py`);
    const captions = [...document.querySelectorAll('p.file[data-stage]')].filter(caption =>
        caption.nextElementSibling?.nextElementSibling?.matches('form.run')).map(caption => caption.textContent);
    return [names, captions]";

pub(crate) async fn every_program_has_a_button(book: &Book) {
    for page in super::pages(book.built.path()) {
        let is_chapter = page.starts_with(|first: char| first.is_ascii_digit());
        if !is_chapter {
            continue;
        }
        book.go(&page).await;
        let found = book.browser.script(PROGRAMS, vec![]).await;
        let (names, captions): (Vec<String>, Vec<String>) = serde_json::from_value(found).unwrap();
        assert!(!captions.is_empty(), "{page} has no button");
        let without: Vec<_> = names.iter().filter(|name| !captions.contains(name)).collect();
        assert!(without.is_empty(), "{page}: {without:?} have no button, only {captions:?}");
    }
}

/// Stage 02 runs programs on this host: those of the book that this test sends are harmless.
pub(crate) async fn the_button_asks_before_it_runs_without_isolation(book: &Book) {
    let button = Button::of(book, "03-monitoring.html", "book/programs/forge.py").await;
    let browser = &book.browser;
    button.press("http://127.0.0.1.evil.example:8003").await;
    button.shows("Give an address of this machine").await;
    let stage_02 = stage("stage-02-queue", None, &[]);
    button.press(stage_02.url()).await;
    button.shows("isolates nothing").await;
    button.press(stage_02.url()).await;
    button.shows("does not allow this page").await;
    let sent = stage_02.client().get("/eval").await.json();
    assert_eq!(sent["items"], json!([]), "nothing was run");
    let address = stage_02.url().to_owned();
    stage_02.stop();
    button.press(&address).await;
    let help = button.shows("No stage answers").await;
    let command = format!("--allow-origin {}", book.origin);
    assert!(
        help.contains("cargo run -p stage-03-monitoring -- ") && help.contains(&command),
        "{help}"
    );
    browser.screenshot("book-run-help").await;
    let stage_02 = stage("stage-02-queue", Some(&book.origin), &[]);
    button.press(stage_02.url()).await;
    button.shows("exited, exit code 1, decided by exit_status").await;
    // What a program prints is text.
    let output = format!("{} pre.output", button.form);
    browser.wait_text(&output, "event: evaluation.completed").await;
    assert_no_violation(book, "run").await;
    // A page of another origin is still refused, flag or not.
    let hostile = stage_02
        .client()
        .request(harness::Method::POST, "/eval")
        .header("origin", "http://evil.example");
    let answer = stage_02.client().send(hostile.json(&json!({ "code": "" }))).await;
    assert_eq!((answer.status, answer.json()["title"].clone()), (403, Value::from("Forbidden")));
}

/// Stages 07 and 08 have sandboxes and no keys.
pub(crate) async fn the_button_runs_on_a_stage_without_accounts(book: &Book) {
    let few = ["--workers", "1", "--warm-sandboxes", "0"];
    for (name, page) in
        [("stage-07-advanced-v2", "07-advanced-v2.html"), ("stage-08-openapi", "08-openapi.html")]
    {
        let button = Button::of(book, page, "book/programs/hello.py").await;
        assert_eq!(book.browser.count(&format!("{} input", button.form)).await, 1, "no key");
        button.press("http://127.0.0.1:9").await;
        let help = button.shows("as root").await;
        assert!(help.contains(&format!("cargo run -p {name} -- ")), "{help}");
        assert!(!help.contains("keys"), "{help}");
        let server = stage(name, Some(&book.origin), &few);
        button.press(server.url()).await;
        button.shows("exited, exit code 0, decided by exit_status").await;
        button.shows("in gvisor/runsc").await;
        button.shows("hello from __main__").await;
    }
    book.browser.screenshot("book-run-08").await;
    // A program that stands in a command only.
    let server = stage("stage-07-advanced-v2", Some(&book.origin), &few);
    let caption = "program 1 of the commands of this page";
    let button = Button::of(book, "07-advanced-v2.html", caption).await;
    button.press(server.url()).await;
    button.shows("42").await;
}

/// Stages 09 and 10 serve this machine without a key until there is one. Then the page has to give it.
pub(crate) async fn the_button_runs_on_a_stage_with_accounts(book: &Book) {
    for (name, page, caption, output) in [
        ("stage-09-frontier", "09-frontier.html", "book/programs/hello.py", "hello from __main__"),
        (
            "stage-09-frontier",
            "09b-frontier-continued.html",
            "program 1 of the commands of this page",
            "exit code 0",
        ),
        (
            "stage-10-frontier-events",
            "10-frontier-events.html",
            "book/programs/hello.py",
            "hello from __main__",
        ),
    ] {
        let data = tempfile::tempdir().unwrap();
        let data_dir = data.path().to_str().unwrap();
        let few = ["--workers", "1", "--warm-sandboxes", "0", "--data-dir", data_dir];
        let button = Button::of(book, page, caption).await;
        button.press("http://127.0.0.1:9").await;
        let help = button.shows("asks for none").await;
        assert!(help.contains(&format!("cargo run -p {name} -- ")), "{help}");
        let server = stage(name, Some(&book.origin), &few);
        button.press(server.url()).await;
        button.shows(output).await;
        server.stop();
        let create = ["keys", "create", "--name", "book", "--scope", "submit", "--scope", "read"];
        let made = Command::new(binary(name))
            .args(create)
            .args(["--data-dir", data_dir])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let server = stage(name, Some(&book.origin), &few);
        with_a_key(&button, server.url(), &key, output).await;
    }
}

async fn with_a_key(button: &Button<'_>, address: &str, key: &str, output: &str) {
    let browser = &button.book.browser;
    button.press(address).await;
    let refused = button.shows("wants one").await;
    assert!(refused.contains("keys create"), "{refused}");
    let field = format!("{} input[type=password]", button.form);
    browser.type_into(&field, "wrong").await;
    button.press(address).await;
    button.shows("does not know this key").await;
    let clear = "document.querySelector(arguments[0]).value = ''";
    browser.script(clear, vec![field.as_str().into()]).await;
    browser.type_into(&field, key).await;
    button.press(address).await;
    button.shows(output).await;
    // In memory only: it is nowhere that outlives the page, and in no address.
    let stored = "return JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])";
    let stored = browser.script(stored, vec![]).await;
    assert!(!stored.as_str().unwrap().contains(key), "{stored}");
    browser.reload().await;
    let value = "return document.querySelector(arguments[0]).value";
    assert_eq!(browser.script(value, vec![field.into()]).await, json!(""));
}
