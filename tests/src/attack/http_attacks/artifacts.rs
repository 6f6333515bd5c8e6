//! Files that a program leaves with hostile names and links: what a client gets when it downloads them.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::Value;

use super::{HttpProbe, http_probe};
use crate::attack::probe::program::canary;
use crate::attack::testbed::Testbed;
use crate::attack::testbed::tenants::FIRST_WITH_KEYS;
use crate::attack::verdict::{By, Verdict};
use crate::support::client::{Answer, Program};

pub(super) const LIST: &[HttpProbe] = &[http_probe!(
    names,
    "id: platform/artifact-names"
    "class: HostLeak"
    "title: Leave files that climb, link or collide"
    "intent: Leaves links to a file of the host, and files with names that climb, collide or are headers"
    "success: A file of the host is downloaded, one file as another, or a header that the program chose"
    "source: CWE-22; CWE-59; CWE-113; SWE-agent and Inspect, output files"
    "host: safe"
    "contained-from: 9"
)];

/// Leaves files whose content is their name, and links to the host's file.
const PROGRAM: &str = r#"
import os
os.chdir(os.environ.get("LADDER_OUTPUT", "/output"))
def attempt(action, *arguments):
    try:
        action(*arguments)
    except OSError:
        pass
def leave(name):
    with open(name, "wb") as file:
        file.write(name)
attempt(os.mkdir, "dir")
for name in (b"plain", b"..%2f..%2fpasswd", b"a\r\n" + TOKEN + b": 1", b'x"; filename="y.html', b"-rf",
             b"<script>alert(1)<.html", "\u00e9".encode(), "e\u0301".encode(), b"Case", b"case",
             b"dir/plain", b"dir\\plain", b"0", b"\xff"):
    attempt(leave, name)
attempt(os.symlink, HOST_FILE, "link")
attempt(os.symlink, "/", "root")
attempt(os.link, HOST_FILE, "hard")
attempt(os.symlink, os.path.dirname(HOST_FILE), "up")
attempt(os.mkfifo, "fifo")
print("left")
"#;
/// How many of the files of [`PROGRAM`] are at least there: otherwise nothing was tried.
const LEAST_FILES: usize = 10;

// ANCHOR: artifact-names
async fn names(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage < FIRST_WITH_KEYS {
        return Ok(Verdict::NotApplicable("this stage takes no files"));
    }
    let (secret, token) = (canary(), format!("x-{}", canary()));
    let path = testbed.host.dir().join(format!("secret-{}", canary()));
    let outside = testbed.host.outside(&path);
    std::fs::write(&outside, &secret).context("cannot plant a file")?;
    let mut code = String::new();
    writeln!(code, "HOST_FILE = {:?}\nTOKEN = b{token:?}\n{PROGRAM}", path.display().to_string())?;
    let answer = testbed.client.evaluate(&Program::new(code)).await;
    let verdict = judge(testbed, answer?, &secret, &token).await;
    std::fs::remove_file(&outside).ok(); // a program may have removed it
    verdict
}
// ANCHOR_END: artifact-names

async fn judge(testbed: &Testbed, answer: Answer, secret: &str, token: &str) -> Result<Verdict> {
    let Answer::Evaluation(evaluation) = answer else { return Ok(Verdict::Escaped) };
    ensure!(evaluation.stdout.text == "left\n", "the program failed: {}", evaluation.stderr.text);
    let list = format!("/eval/{}/artifacts", evaluation.id);
    let response = testbed.client.request(Method::GET, &list).send().await?.error_for_status()?;
    let listed: Value = response.json().await?;
    let items = listed["items"].as_array().context("a list has items")?;
    ensure!(items.len() >= LEAST_FILES, "there are {} files only", items.len());
    let mut escaped = false;
    for item in items {
        let path = format!("{list}/{}", item["number"]);
        let response = testbed.client.request(Method::GET, &path).send().await?;
        ensure!(response.status().is_success(), "{path} was answered {}", response.status());
        let headers = response.headers().clone();
        let body = response.bytes().await?;
        let header =
            |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        let is_page = !header("content-disposition").starts_with("attachment")
            || header("content-type") != "application/octet-stream"
            || header("x-content-type-options") != "nosniff";
        // Each file has its name as its content; one whose name is no text has one byte.
        let is_other = match item["encoding"].as_str() {
            Some("utf8") => item["path"].as_str().map(str::as_bytes) != Some(&body[..]),
            _ => &body[..] != b"\xff",
        };
        let leaks = String::from_utf8_lossy(&body).contains(secret);
        escaped |= is_page || is_other || leaks || headers.contains_key(token);
    }
    Ok(if escaped { Verdict::Escaped } else { Verdict::Contained(By::OwnFiles) })
}
