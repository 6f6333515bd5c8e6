//! The frontend of stage 9: a program that attacks the person who looks at what it has left, and pages of strangers that
//! use the frontend's rights. And what a submission may name to run in.
//!
//! The first one needs a browser. It is Debian's Chromium, which renders the page of the evaluation once; a script of
//! the program that has run has written a text into the page that stands nowhere in what the program has left.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{HttpProbe, http_probe, wire};
use crate::attack::probe::program::canary;
use crate::attack::testbed::Testbed;
use crate::attack::testbed::tenants::FIRST_WITH_KEYS;
use crate::attack::verdict::{By, Verdict};

pub(super) const LIST: &[HttpProbe] = &[
    http_probe!(
        hostile_content,
        "id: platform/hostile-content"
        "class: Escape"
        "title: Attack the person who looks"
        "intent: Prints scripts, and has them in names of files and in labels; a browser opens the page"
        "success: One of the scripts has run in the page"
        "source: CWE-79; OWASP XSS Prevention Cheat Sheet"
        "host: safe"
        "contained-from: 9"
    ),
    http_probe!(
        foreign_page,
        "id: platform/foreign-page"
        "class: Lateral"
        "title: Read through the browser of another"
        "intent: Requests what a page of another site can: pictures, scripts, frames, streams, forms"
        "success: The server answers one of them with what it has"
        "source: Fetch Metadata; XS-Leaks; CWE-352"
        "host: safe"
        "contained-from: 9"
    ),
    http_probe!(
        framed,
        "id: platform/framed-page"
        "class: Integrity"
        "title: Frame the page"
        "intent: Looks for a page of the server that another site may show in a frame"
        "success: One of its pages does not forbid it"
        "source: CWE-1021; OWASP Clickjacking Defense Cheat Sheet"
        "host: safe"
        "contained-from: 9"
    ),
    http_probe!(
        rebound,
        "id: platform/rebound-page"
        "class: Lateral"
        "title: Load the frontend under a stranger's name"
        "intent: Requests pages, scripts, lists and streams for a name that was rebound to this machine"
        "success: The server answers one of them"
        "source: CWE-350; DNS rebinding"
        "host: safe"
        "contained-from: 9"
    ),
    http_probe!(
        environments,
        "id: platform/unknown-environment"
        "class: Escape"
        "title: Name an environment that is none"
        "intent: Names paths, images, one that does not exist, and what is no name, alone and in pairs"
        "success: The server takes one of them"
        "source: CWE-22; CWE-610"
        "host: safe"
        "contained-from: 9"
    ),
];

const NO_FRONTEND: Verdict = Verdict::NotApplicable("this stage has no frontend");
/// Of a text that is unlikely to be in a page by chance.
const TOKEN_LENGTH: usize = 8;
/// How long a browser may take for one page, on a machine that is busy.
const BROWSER_TIMEOUT: Duration = Duration::from_mins(3);
/// How long a page may load, by its own clock, which stands still while a response is on its way.
const PAGE_MILLISECONDS: u32 = 20_000;

fn judge(escaped: bool, by: By) -> Verdict {
    if escaped { Verdict::Escaped } else { Verdict::Contained(by) }
}

/// Markup that writes `token` into the page if it is taken for more than text. The token stands there backwards. None
/// is longer than the key of a label may be.
fn scripts(token: &str) -> [String; 3] {
    let reversed: String = token.chars().rev().collect();
    let script = format!("document.body.id=[...'{reversed}'].reverse().join('')");
    [
        format!("<img src onerror={script}>"),
        format!("<svg onload={script}>"),
        format!("<script>{script}</script>"),
    ]
}

// ANCHOR: hostile-content
async fn hostile_content(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage < FIRST_WITH_KEYS {
        return Ok(NO_FRONTEND);
    }
    if testbed.keys.is_some() {
        return Ok(Verdict::NotApplicable("a browser has no key of this server"));
    }
    let token = canary()[..TOKEN_LENGTH].to_owned();
    let shown = ["output", "file", "label"].map(|place| format!("{place}-{}", canary()));
    let [image, drawing, script] = scripts(&token);
    let code = format!(
        "import os\nos.chdir(os.environ.get('LADDER_OUTPUT', '/output'))\n\
         image, drawing, script = {image:?}, {drawing:?}, {script:?}\n\
         open(image + {file:?}, 'w').write(script)\nopen(drawing + '.png', 'w').write(image)\n\
         print(image, drawing, script, '</pre>', image, {output:?})",
        output = shown[0],
        file = shown[1],
    );
    let labels = json!({ "model": format!("{image}{}", shown[2]), drawing: "key" });
    let submission = json!({ "code": code, "labels": labels });
    let request = testbed.client.request(Method::POST, "/eval").header("Prefer", "wait=60");
    let response = request.json(&submission).send().await.context("the server did not respond")?;
    let evaluation: Value = response.error_for_status()?.json().await?;
    ensure!(evaluation["outcome"] == "exited", "the program failed: {evaluation}");
    let id = evaluation["id"].as_str().context("an evaluation has an id")?;
    let url = format!("http://{}/#/eval/{id}", testbed.client_address);
    let Some(page) = rendered(&url).await? else {
        return Ok(Verdict::NotApplicable("there is no browser on this machine"));
    };
    for text in &shown {
        ensure!(page.contains(text), "the page does not show {text}: {page}");
    }
    Ok(judge(page.contains(&token), By::Escaping))
}
// ANCHOR_END: hostile-content

/// The page at `url` after its scripts have run. None without a browser.
async fn rendered(url: &str) -> Result<Option<String>> {
    let home = tempfile::tempdir()?;
    let mut command = Command::new("chromium");
    command
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-component-update"])
        .arg(format!("--user-data-dir={}", home.path().join("profile").display()))
        .arg(format!("--virtual-time-budget={PAGE_MILLISECONDS}"))
        .args(["--dump-dom", url])
        .env("HOME", home.path())
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(BROWSER_TIMEOUT, command.output()).await;
    match output.context("the browser does not end")? {
        Ok(output) => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("cannot start the browser"),
    }
}

/// A request without a key: a page of another site has none. `headers` has line ends.
async fn requested(
    testbed: &Testbed,
    line: &str,
    host: &str,
    headers: &str,
    body: &str,
) -> Result<wire::Reply> {
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    wire::send(testbed, request.as_bytes()).await
}

// ANCHOR: foreign-page
async fn foreign_page(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage < FIRST_WITH_KEYS {
        return Ok(NO_FRONTEND);
    }
    ensure!(wire::works(testbed).await, "the server does not run programs");
    let host = testbed.client_address.to_string();
    for site in ["cross-site", "same-site"] {
        for (mode, destination) in [
            ("no-cors", "image"),
            ("no-cors", "script"),
            ("no-cors", "empty"),
            ("cors", "empty"),
            ("navigate", "iframe"),
            ("navigate", "embed"),
        ] {
            let headers = format!(
                "Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: {mode}\r\nSec-Fetch-Dest: {destination}\r\n"
            );
            for path in ["/eval", "/events", "/environments"] {
                let reply = requested(testbed, &format!("GET {path}"), &host, &headers, "").await?;
                if !reply.refused() {
                    return Ok(Verdict::Escaped);
                }
            }
            let form = format!("{headers}Content-Type: application/json\r\n");
            let body = r#"{"code": "print(1)"}"#;
            if !requested(testbed, "POST /eval", &host, &form, body).await?.refused() {
                return Ok(Verdict::Escaped);
            }
        }
    }
    Ok(Verdict::Contained(By::Validation))
}
// ANCHOR_END: foreign-page

// ANCHOR: framed-page
async fn framed(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage < FIRST_WITH_KEYS {
        return Ok(NO_FRONTEND);
    }
    let host = testbed.client_address.to_string();
    let (mut pages, mut may_be_framed) = (0, false);
    for path in ["/", "/docs"] {
        let reply = requested(testbed, &format!("GET {path}"), &host, "", "").await?;
        let head = reply.head().to_ascii_lowercase();
        if reply.status == 200 && head.contains("content-type: text/html") {
            pages += 1;
            may_be_framed |= !head.contains("frame-ancestors 'none'");
        }
    }
    ensure!(pages > 0, "the server has no page");
    Ok(judge(may_be_framed, By::Validation))
}
// ANCHOR_END: framed-page

// ANCHOR: rebound-page
async fn rebound(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage < FIRST_WITH_KEYS {
        return Ok(NO_FRONTEND);
    }
    ensure!(wire::works(testbed).await, "the server does not run programs");
    for host in ["attacker.example", "127.0.0.1.attacker.example", "attacker.example:8009"] {
        for path in ["/", "/page.js", "/web/lib/api.js", "/eval", "/events", "/openapi.json"] {
            let reply = requested(testbed, &format!("GET {path}"), host, "", "").await?;
            if !reply.refused() {
                return Ok(Verdict::Escaped);
            }
        }
    }
    Ok(Verdict::Contained(By::Validation))
}
// ANCHOR_END: rebound-page

// ANCHOR: unknown-environment
async fn environments(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage < FIRST_WITH_KEYS {
        return Ok(Verdict::NotApplicable("this stage has no environments"));
    }
    for name in names(testbed.host.dir()) {
        let program = json!({ "code": "print(1)", "environment": name });
        let other = json!({ "code": "print(1)" });
        for (path, body) in [
            ("/eval", program.clone()),
            ("/compare", json!({ "program": other, "environments": ["python", name] })),
            ("/verify", json!({ "program": other, "verifier": program })),
        ] {
            let json = "Content-Type: application/json\r\n";
            let line = format!("POST {path}");
            let request = wire::request(testbed, &line, json, &body.to_string());
            if !wire::send(testbed, &request).await?.refused() {
                return Ok(Verdict::Escaped);
            }
        }
    }
    ensure!(wire::works(testbed).await, "the server does not run programs");
    Ok(Verdict::Contained(By::Validation))
}
// ANCHOR_END: unknown-environment

/// What is no environment of any server.
fn names(directory: &Path) -> Vec<Value> {
    let digest = "a".repeat(64);
    let texts = [
        "nothing".to_owned(),
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "../python".to_owned(),
        "python/..".to_owned(),
        "python/".to_owned(),
        "PYTHON".to_owned(),
        "python\0".to_owned(),
        "python\n".to_owned(),
        directory.display().to_string(),
        "/".to_owned(),
        "/var/lib/crucible/environments/shell".to_owned(),
        format!("shell-{digest}"),
        format!("sha256:{digest}"),
        "docker.io/library/python".to_owned(),
        "python.json".to_owned(),
        "a".repeat(1 << 16),
    ];
    let others = [json!(1), json!(true), json!(["python"]), json!({ "name": "python" })];
    texts.into_iter().map(Value::from).chain(others).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_says_its_token_only_when_it_runs() {
        for script in scripts("01234567") {
            assert!(!script.contains("01234567") && script.contains("76543210"), "{script}");
        }
        assert!(scripts("01234567")[1].len() <= 64, "it is the key of a label");
    }
}
