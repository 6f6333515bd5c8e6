//! More than a key allows: no key, a wrong one, one for less, and more than its share of the disk.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{HttpProbe, http_probe, wire};
use crate::attack::probe::program::canary;
use crate::attack::testbed::Testbed;
use crate::attack::testbed::tenants::{FIRST_WITH_KEYS, Tenants};
use crate::attack::verdict::{By, Verdict};
use crate::support::client::Client;
use crate::support::stages;

pub(super) const LIST: &[HttpProbe] = &[
    http_probe!(
        no_key,
        "id: tenants/no-key"
        "class: Escape"
        "title: Submit without a key, or with a wrong one"
        "intent: Submits with no key, half of one, one that was changed, and one where none belongs"
        "success: The server takes a program"
        "source: OWASP API2:2023; RFC 6750, 5"
        "host: safe"
        "contained-from: 9"
    ),
    http_probe!(
        downgrade,
        "id: tenants/scope-downgrade"
        "class: Escape"
        "title: Submit with a key that may only read"
        "intent: Submits with a key for reading and reads with one for submitting, by other paths and methods"
        "success: The server takes a program, or shows an output"
        "source: OWASP API5:2023; CWE-863"
        "host: safe"
        "contained-from: 9"
    ),
    http_probe!(
        fill_disk,
        "id: tenants/fill-disk"
        "class: HostDoS"
        "title: Fill the disk by submissions and outputs"
        "intent: Submits programs of 1 MB that print 1 MB, for as long as the server takes them"
        "success: The data directory becomes several times as large as its limits"
        "source: OWASP API4:2023; CWE-770"
        "host: safe"
        "alone: yes"
        "contained-from: 9"
    ),
];

fn judge(escaped: bool) -> Verdict {
    if escaped { Verdict::Escaped } else { Verdict::Contained(By::Authorization) }
}

/// A raw request with these header lines, so that nothing corrects its path.
async fn status(tenants: &Tenants, line: &str, headers: &str, body: &str) -> Result<u16> {
    let address = tenants.address;
    let request = format!(
        "{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Ok(wire::send_to(address, request.as_bytes()).await?.status)
}

/// The same key with another last character.
fn changed(key: &str) -> String {
    let (rest, last) = key.split_at(key.len().saturating_sub(1));
    format!("{rest}{}", if last == "a" { "b" } else { "a" })
}

// ANCHOR: no-key
async fn no_key(testbed: &Testbed) -> Result<Verdict> {
    let Some(tenants) = testbed.tenants().await? else {
        return Ok(Verdict::NotApplicable("the keys of this server are not known"));
    };
    let key =
        tenants.keys.as_ref().map_or_else(|| "crk_none".to_owned(), |keys| keys.owner.clone());
    let (half, wrong) = (&key[..key.len() / 2], changed(&key));
    let body = r#"{"code": "print(1)"}"#;
    let mut taken = false;
    for (path, headers) in [
        ("/eval", String::new()),
        ("/eval", format!("Authorization: Bearer {half}\r\n")),
        ("/eval", format!("Authorization: Bearer {wrong}\r\n")),
        ("/eval", format!("Authorization: Basic {key}\r\n")),
        ("/eval", format!("Authorization: {key}\r\n")),
        ("/eval", format!("X-Api-Key: {key}\r\nCookie: key={key}\r\n")),
        ("/eval", format!("Authorization: Bearer {wrong}\r\nAuthorization: Bearer {wrong}\r\n")),
        (&format!("/eval?access_token={key}"), String::new()),
        ("/eval", "X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n".to_owned()),
    ] {
        let status = status(&tenants, &format!("POST {path}"), &headers, body).await?;
        taken |= (200..300).contains(&status);
    }
    tenants.close().await?;
    Ok(judge(taken))
}
// ANCHOR_END: no-key

// ANCHOR: scope-downgrade
async fn downgrade(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage == 1 {
        return Ok(Verdict::NotApplicable("this stage has nothing to read"));
    }
    let Some(tenants) = testbed.tenants().await? else {
        return Ok(Verdict::NotApplicable("the keys of this server are not known"));
    };
    let bearer = |key: Option<&String>| {
        key.map_or_else(String::new, |key| format!("Authorization: Bearer {key}\r\n"))
    };
    let keys = tenants.keys.as_ref();
    let reader = bearer(keys.map(|keys| &keys.reader));
    let submitter = bearer(keys.map(|keys| &keys.submitter));
    let body = r#"{"code": "print(1)"}"#;
    let mut taken = false;
    for (line, headers) in [
        ("POST /eval", ""),
        ("POST /eval/", ""),
        ("POST //eval", ""),
        ("POST /./eval", ""),
        ("POST /EVAL", ""),
        ("POST /eval%3f", ""),
        ("GET /eval", "X-HTTP-Method-Override: POST\r\nX-Method-Override: POST\r\n"),
        ("PUT /eval", ""),
        ("POST /batches", ""),
        ("POST /self-test", ""),
    ] {
        let body =
            if line == "POST /batches" { r#"{"evaluations": [{"code": ""}]}"# } else { body };
        let status = status(&tenants, line, &format!("{headers}{reader}"), body).await?;
        // Reading is allowed, so a GET is judged by what it has made: see below.
        taken |= (200..300).contains(&status) && !line.starts_with("GET");
    }
    let made = tenants.reader.request(Method::GET, "/eval?limit=100").send().await?;
    taken |= made.text().await?.contains("\"items\":[{");
    for line in ["GET /eval", "GET /events", "GET /queue", "GET /metrics", "GET /status"] {
        taken |= (200..300).contains(&status(&tenants, line, &submitter, "").await?);
    }
    tenants.close().await?;
    Ok(judge(taken))
}
// ANCHOR_END: scope-downgrade

/// The limits that the server of [`fill_disk`] gets: 8 MB of evaluations, 2 MB of events, and 30 that wait.
const DISK_LIMITS: [&str; 8] = [
    "--storage-bytes",
    "8000000",
    "--event-bytes",
    "2000000",
    "--key-queued",
    "30",
    "--workers",
    "8",
];
/// Several times what the limits of [`DISK_LIMITS`] come to, with programs of 1 MB that wait, and
/// the free pages of the database and its write-ahead log.
const MAX_DATA_BYTES: u64 = 130_000_000;
/// How many programs are submitted at most: 400 MB together.
const DISK_SUBMISSIONS: usize = 200;
/// How long that may take.
const DISK_TIMEOUT: Duration = Duration::from_secs(75);

// ANCHOR: fill-disk
async fn fill_disk(testbed: &Testbed) -> Result<Verdict> {
    if testbed.stage < FIRST_WITH_KEYS {
        return Ok(Verdict::NotApplicable("this stage stores nothing on disk"));
    }
    if testbed.secrets.is_none() {
        return Ok(Verdict::NotApplicable("the ladder did not start this server"));
    }
    fills(&Tenants::start(&stages::find(testbed.stage)?, &DISK_LIMITS).await?).await
}
// ANCHOR_END: fill-disk

/// Whether one client makes the data directory of a server larger than [`MAX_DATA_BYTES`].
///
/// # Errors
///
/// When the server does not respond, or its data directory cannot be read.
pub async fn fills(tenants: &Tenants) -> Result<Verdict> {
    let directory = tenants.data_dir().context("the server has a data directory")?;
    let (started, mut largest, mut accepted) = (Instant::now(), 0, 0);
    while accepted < DISK_SUBMISSIONS && started.elapsed() < DISK_TIMEOUT {
        if submit_large(&tenants.stranger).await? {
            accepted += 1;
        } else {
            sleep(Duration::from_millis(100)).await;
        }
        largest = largest.max(size_of(&directory)?);
        if largest > MAX_DATA_BYTES {
            return Ok(Verdict::Escaped);
        }
    }
    if accepted < 40 {
        return Ok(Verdict::Error(format!("only {accepted} programs were accepted in time")));
    }
    Ok(Verdict::Contained(By::DiskLimit))
}

/// Submits a program of 1 MB that prints 1 MB. False when the server has no room for it.
async fn submit_large(client: &Client) -> Result<bool> {
    let padding = canary().repeat(1_000_000 / 32);
    let code = format!("print('{}' * 31000)\n#{padding}", canary());
    let request = client.request(Method::POST, "/eval").json(&json!({ "code": code }));
    let response = request.send().await.context("the server did not respond")?;
    match response.status() {
        StatusCode::ACCEPTED => Ok(true),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Ok(false),
        status => anyhow::bail!("a submission was answered {status}: {}", response.text().await?),
    }
}

/// How much the files below `directory` take.
fn size_of(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(directory).context("cannot list the data directory")? {
        let path = entry?.path();
        // A file may have been removed meanwhile.
        let Ok(metadata) = path.symlink_metadata() else { continue };
        bytes += if metadata.is_dir() { size_of(&path).unwrap_or(0) } else { metadata.len() };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_key_is_another_one() {
        assert_eq!(changed("crk_xa"), "crk_xb");
        assert_eq!(changed("crk_xb"), "crk_xa");
    }

    #[test]
    fn the_size_of_a_directory_is_that_of_its_files() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("a")).unwrap();
        std::fs::write(directory.path().join("a/b"), [0; 10]).unwrap();
        std::fs::write(directory.path().join("c"), [0; 5]).unwrap();
        assert_eq!(size_of(directory.path()).unwrap(), 15);
    }
}
