//! What a program can show to the person who looks at it, and what a page of another site can do.

use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use harness::{Launch, Server};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::browser::Browser;
use super::corpus::{CHECK, CONTROLS, TEXTS, TRAP};
use super::{Web, id_of, labelled};
use crate::accounts::{BINARY, Site};

/// Fails if the page that is shown has more than texts of a program.
async fn assert_only_text(browser: &Browser) {
    let found = browser.script(CHECK, vec![]).await;
    let harmless = json!({
        "planted": [], "links": [], "pwned": false, "scripts": 1, "polluted": null
    });
    assert_eq!(found, harmless);
}

/// Waits until each of `texts` stands in an element of `selector`, letter for letter unless it is invisible.
async fn wait_for_texts(browser: &Browser, selector: &str, texts: &[&str]) {
    for text in texts {
        let is_visible = |character: char| character.is_ascii() && !character.is_control();
        let part = text.split(|character| !is_visible(character)).max_by_key(|part| part.len());
        browser.wait_text(selector, part.unwrap()).await;
    }
}

fn program(texts: &[&str], wait: bool) -> String {
    let lines: Vec<_> = texts.iter().map(|text| json!(text).to_string()).collect();
    format!(
        "import json, sys, time\nfor line in {}:\n    print(json.loads(line), flush=True)\n    \
         print(json.loads(line), file=sys.stderr, flush=True)\n{}",
        json!(lines),
        if wait { "time.sleep(600)" } else { "" }
    )
}

fn all() -> Vec<&'static str> {
    [TEXTS, CONTROLS].concat()
}

#[tokio::test]
async fn hostile_output_is_text_when_the_program_has_ended() {
    let web = Web::new().await;
    let ended = web.client().run(&program(&all(), false)).await;
    assert_eq!(ended["outcome"], "exited", "{ended}");
    web.open_evaluation(&id_of(&ended)).await;
    web.browser.script(TRAP, vec![]).await;
    wait_for_texts(&web.browser, "pre.output", &all()).await;
    web.browser.wait_text("pre.output", "⟨U+202E⟩").await;
    web.browser.wait_text("pre.output", "⟨U+001B⟩").await;
    assert_only_text(&web.browser).await;
    // As JSON as well.
    web.browser.click("details.raw summary").await;
    web.browser.wait_text("details.raw pre", "decided_by").await;
    assert_only_text(&web.browser).await;
    web.browser.screenshot("hostile-output").await;
    web.browser.finish().await;
}

#[tokio::test]
async fn hostile_output_is_text_while_it_arrives() {
    let web = Web::new().await;
    let id = web.client().submit_code(&program(&all(), true)).await;
    web.open_evaluation(&id).await;
    web.browser.script(TRAP, vec![]).await;
    wait_for_texts(&web.browser, "pre.output", &all()).await;
    assert_only_text(&web.browser).await;
    web.client().delete(&format!("/eval/{id}")).await;
    web.browser.wait_text("main .status", "cancelled").await;
    web.browser.finish().await;
}

#[tokio::test]
async fn hostile_labels_are_text() {
    let web = Web::new().await;
    let mut last = String::new();
    for (number, text) in TEXTS.iter().enumerate() {
        // The name of a label is shorter than its value, and has no colon.
        let is_name = text.len() <= 60 && !text.contains(':');
        let name = if is_name { text } else { "label" };
        let ended = labelled(&format!("print({number})"), name, text);
        last = id_of(&web.client().post("/eval", &ended).await.json());
    }
    web.open("list?limit=100").await;
    web.browser.script(TRAP, vec![]).await;
    wait_for_texts(&web.browser, ".label", TEXTS).await;
    assert_only_text(&web.browser).await;
    web.open_evaluation(&last).await;
    web.browser.wait(".label").await;
    assert_only_text(&web.browser).await;
    web.browser.finish().await;
}

#[tokio::test]
async fn hostile_addresses_are_text() {
    let web = Web::new().await;
    for text in TEXTS {
        let text: String =
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .collect();
        for page in [
            text.clone(),
            format!("list?label={text}"),
            format!("list?status={text}&cursor={text}&batch={text}"),
            format!("compare?a={text}&b={text}"),
            format!("eval/{text}"),
            format!("submit?from={text}"),
        ] {
            web.open(&page).await;
            web.browser.script(TRAP, vec![]).await;
            web.browser
                .wait_until(
                    "the page is loaded",
                    "return !document.body.innerText.includes('Loading')",
                )
                .await;
            assert_only_text(&web.browser).await;
        }
    }
    // The server refuses what is no id, and no filter.
    web.browser.finish_expecting(&["400", "404", "422"]).await;
}

#[tokio::test]
async fn hostile_names_of_keys_are_text() {
    let site = Site::new();
    let admin = site.key("admin", &["admin"]);
    for text in TEXTS {
        site.key(text, &["read"]);
    }
    let server = site.launch().arg("--strict-contract").start();
    let web = Web::on(site, server).await;
    web.use_key(&admin).await;
    web.open("keys").await;
    web.browser.script(TRAP, vec![]).await;
    wait_for_texts(&web.browser, "main td, main th", TEXTS).await;
    assert_only_text(&web.browser).await;
    web.open("audit").await;
    web.browser.wait_text("main td", "key.create").await;
    assert_only_text(&web.browser).await;
    web.browser.finish().await;
}

/// The stage with gVisor, whose programs leave files.
fn with_files(site: &Site) -> Server {
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(site.path(), open).unwrap();
    let data = site.path().join("data");
    let launch = Launch::new(BINARY).args(["--warm-sandboxes", "1", "--workers", "1"]);
    launch.arg("--strict-contract").arg("--data-dir").arg(data).start()
}

#[tokio::test]
async fn files_are_shown_as_pictures_or_as_text_whatever_their_names() {
    let site = Site::new();
    let server = with_files(&site);
    let web = Web::on(site, server).await;
    // Names have no slash and no null byte: the rest of the corpus becomes directories.
    let names: Vec<_> = TEXTS.iter().map(|text| text.trim_matches('/')).collect();
    let code = format!(
        "import base64, json, os, struct, zlib\n\
         def part(kind, data): return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))\n\
         rows = b''.join(b'\\0' + bytes([x * 4, y * 4, 128] * 1)  for y in range(48) for x in [0] for _ in [0]) if False else \
         b''.join(b'\\0' + b''.join(bytes((x * 5, y * 5, 128)) for x in range(48)) for y in range(48))\n\
         png = b'\\x89PNG\\r\\n\\x1a\\n' + part(b'IHDR', struct.pack('>IIBBBBB', 48, 48, 8, 2, 0, 0, 0)) \
         + part(b'IDAT', zlib.compress(rows)) + part(b'IEND', b'')\n\
         open('/output/plot.png', 'wb').write(png)\n\
         open('/output/picture.svg', 'w').write('<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"pwned()\"/>')\n\
         for name in json.loads(base64.b64decode('{}')):\n    \
             path = '/output/' + name\n    \
             os.makedirs(os.path.dirname(path), exist_ok=True)\n    \
             if not os.path.isdir(path): open(path, 'w').write(name)\n",
        base64::engine::general_purpose::STANDARD.encode(json!(names).to_string())
    );
    let ended = web.client().run(&code).await;
    assert_eq!(ended["outcome"], "exited", "{ended}");
    assert_eq!(ended["exit_code"], 0, "{ended}");
    web.open_evaluation(&id_of(&ended)).await;
    web.browser.script(TRAP, vec![]).await;
    web.browser.wait_text(".artifacts bdi", "plot.png").await;
    assert_only_text(&web.browser).await;
    web.browser.click("[aria-label='Show plot.png']").await;
    let is_drawn = "const img = document.querySelector('img.artifact'); return img?.complete && img.naturalWidth === 48";
    web.browser.wait_until("the picture is drawn", is_drawn).await;
    web.browser.screenshot("files").await;
    web.browser.click("[aria-label='Show picture.svg']").await;
    web.browser.wait_text(".artifacts pre", "onload=").await;
    // Every other file is shown as well.
    let shown = "document.querySelectorAll('.artifacts button[aria-label^=Show]').forEach(button => button.click())";
    web.browser.script(shown, vec![]).await;
    let all_shown = "return document.querySelectorAll('.artifacts pre, .artifacts img').length === \
                     document.querySelectorAll('.artifacts li').length";
    web.browser.wait_until("all files are shown", all_shown).await;
    assert_only_text(&web.browser).await;
    web.browser.finish().await;
}

/// A site of its own on another port, with one page.
async fn foreign_site(page: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let page = page.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let Ok(1..) = stream.read(&mut request).await else { return };
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
                let answer = format!("{head}Content-Length: {}\r\n\r\n{page}", page.len());
                stream.write_all(answer.as_bytes()).await.ok(); // the browser may be gone
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_page_of_another_site_cannot_act_or_read() {
    let web = Web::new().await;
    web.client().run("print('secret-of-the-owner')").await;
    let target = web.server.url();
    let page = format!(
        r#"<!doctype html><title>foreign</title><script>
        const results = {{}};
        const attempt = async (name, action) => {{
          try {{ results[name] = await action(); }} catch (error) {{ results[name] = "refused"; }}
        }};
        const body = JSON.stringify({{ code: "print('forged')" }});
        const read = async (path, options) => (await fetch("{target}" + path, options)).text();
        const stream = path => new Promise(done => {{
          const events = new EventSource("{target}" + path);
          events.onopen = () => done("open"); events.onerror = () => {{ events.close(); done("refused"); }};
        }});
        const element = (name, attribute, value) => new Promise(done => {{
          const made = document.createElement(name);
          made.onload = () => done("loaded"); made.onerror = () => done("refused");
          made[attribute] = value; document.head.append(made);
        }});
        Promise.all([
          attempt("list", () => read("/eval")),
          attempt("metrics", () => read("/metrics")),
          attempt("text", () => read("/eval", {{ method: "POST", body, headers: {{ "Content-Type": "text/plain" }} }})),
          attempt("json", () => read("/eval", {{ method: "POST", body, headers: {{ "Content-Type": "application/json" }} }})),
          attempt("blind", () => read("/eval", {{ method: "POST", body, mode: "no-cors" }})),
          attempt("beacon", () => String(navigator.sendBeacon("{target}/eval", new Blob([body])) && "sent")),
          attempt("events", () => stream("/events")),
          attempt("script", () => element("script", "src", "{target}/page.js")),
          attempt("picture", () => element("img", "src", "{target}/eval")),
        ]).then(() => {{ window.results = results; }});
        </script>"#
    );
    let foreign = foreign_site(page).await;
    web.browser.goto(&foreign).await;
    let results = web.browser.wait_until("all attempts are over", "return window.results").await;
    for name in ["list", "metrics", "text", "json", "events", "script", "picture"] {
        assert_eq!(results[name], "refused", "{results}");
    }
    assert!(!results.to_string().contains("secret-of-the-owner"), "{results}");
    let list = web.client().get("/eval").await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list}");
    let expected = ["CORS", "ERR_FAILED", "403", "415", "ERR_BLOCKED", "MIME", "Opaque"];
    web.browser.finish_expecting(&expected).await;
}

#[tokio::test]
async fn the_frontend_cannot_be_framed() {
    let web = Web::new().await;
    let page =
        format!("<!doctype html><iframe id=frame src='{}/#/submit'></iframe>", web.server.url());
    let foreign = foreign_site(page).await;
    web.browser.goto(&foreign).await;
    // A frame that was refused is of an opaque origin, with the browser's own page of the error.
    let is_over = "return document.readyState === 'complete'";
    web.browser.wait_until("the frame is loaded or refused", is_over).await;
    let reports = web.browser.reports().await;
    let is_refusal = |report: &String| {
        report.contains("frame-ancestors") || report.contains("403") || report.contains("refused")
    };
    assert!(reports.iter().any(is_refusal), "{reports:?}");
    web.browser.finish_expecting(&["frame-ancestors", "403"]).await;
}

#[tokio::test]
async fn a_name_that_was_rebound_to_this_machine_gets_nothing() {
    let web = Web::new().await;
    web.client().run("print('secret-of-the-owner')").await;
    let port = web.server.address().rsplit(':').next().unwrap().to_owned();
    for path in ["/", "/eval", "/page.js", "/events"] {
        web.browser.goto(&format!("http://other.test:{port}{path}")).await;
        let text = web.browser.text("body").await.unwrap_or_default();
        assert!(text.contains("421"), "{path}: {text}");
        assert!(!text.contains("secret"), "{path}: {text}");
    }
    let value: Value = web.browser.script("return window.isSecureContext", vec![]).await;
    assert_eq!(value, json!(false));
    web.browser.finish_expecting(&["421"]).await;
}
