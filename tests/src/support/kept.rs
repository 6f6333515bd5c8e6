//! Programs as executions of sandboxes that stay, on a stage that has those: one sandbox for each program.
//!
//! What a program gets there is what an agent gets: a root file system that can be written to, `/tmp` that executes,
//! and, if the client says so, root. A response is that of stage 1: what was printed.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use shared::Outcome;
use tokio::time::{Instant, sleep};

use super::client::{Answer, Client, Plain, Program, QUEUE_TIMEOUT, parse, retry_after, send};

/// The environment that agents use.
const ENVIRONMENT: &str = "agent";
/// The limits of an evaluation, so that the probes try to exceed them here as well.
const MEMORY_BYTES: u64 = 256 << 20;
const PIDS: u64 = 64;
const DISK_BYTES: u64 = 64 << 20;
/// How long a sandbox whose execution was cut may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(20);
const END_INTERVAL: Duration = Duration::from_millis(200);
/// The time limit of a program that names none.
const DEFAULT_TIMEOUT_SECONDS: f64 = 10.0;

#[derive(Deserialize)]
struct Sandbox {
    id: String,
    end_reason: Option<String>,
}

#[derive(Deserialize)]
struct Execution {
    outcome: String,
    stdout: Output,
    stderr: Output,
}

#[derive(Deserialize)]
struct Output {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    base64: Option<String>,
}

impl Output {
    fn into_text(self) -> Result<String> {
        match (self.text, self.base64) {
            (Some(text), _) => Ok(text),
            (None, Some(bytes)) => {
                let bytes = STANDARD.decode(bytes).context("an output is no base64")?;
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            (None, None) => Ok(String::new()),
        }
    }
}

/// Executes `program` as `user` in a sandbox of its own, and removes that.
pub(super) async fn execute(client: &Client, program: &Program, user: &str) -> Result<Answer> {
    let sandbox = open(client, program).await?;
    let executed = execute_in(client, &sandbox, program, user).await;
    let removed = client.request(Method::DELETE, &format!("/sandboxes/{sandbox}")).send().await;
    let removed = removed.context("the server did not respond")?;
    if !removed.status().is_success() {
        bail!("a sandbox was not removed: {}", removed.status());
    }
    executed
}

async fn open(client: &Client, program: &Program) -> Result<String> {
    let memory_bytes = program.memory_bytes.unwrap_or(MEMORY_BYTES);
    let limits = json!({
        "memory_bytes": memory_bytes, "pids": PIDS, "disk_bytes": DISK_BYTES,
    });
    let body = json!({ "environment": ENVIRONMENT, "limits": limits });
    let started = Instant::now();
    loop {
        let response = client.request(Method::POST, "/sandboxes").json(&body).send().await;
        let response = response.context("the server did not respond")?;
        let is_full = response.status() == StatusCode::SERVICE_UNAVAILABLE;
        if !is_full || started.elapsed() > QUEUE_TIMEOUT {
            return Ok(parse::<Sandbox>(response).await?.id);
        }
        sleep(retry_after(&response)).await;
    }
}

async fn execute_in(
    client: &Client,
    sandbox: &str,
    program: &Program,
    user: &str,
) -> Result<Answer> {
    let body = json!({
        "argv": ["/usr/bin/python3", "-c", program.code],
        "user": user,
        "timeout_seconds": program.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS),
    });
    let path = format!("/sandboxes/{sandbox}/execs/probe");
    let ended: Execution = send(client.request(Method::PUT, &path).json(&body)).await?;
    let limit = match ended.outcome.as_str() {
        "timed_out" => Some(Outcome::WallTimeExceeded),
        "sandbox_gone" => limit_of(&end_reason(client, sandbox).await?),
        _ => None,
    };
    let error = format!("{}\n{}", ended.stderr.into_text()?, ended.outcome);
    Ok(Answer::Executed(Plain { output: ended.stdout.into_text()?, error }, limit))
}

/// Why a sandbox has ended. It is removed first, which takes a moment.
async fn end_reason(client: &Client, sandbox: &str) -> Result<String> {
    let started = Instant::now();
    loop {
        let path = format!("/sandboxes/{sandbox}");
        let gone: Sandbox = send(client.request(Method::GET, &path)).await?;
        if let Some(reason) = gone.end_reason {
            return Ok(reason);
        }
        if started.elapsed() > END_TIMEOUT {
            bail!("a sandbox that is gone has not ended");
        }
        sleep(END_INTERVAL).await;
    }
}

/// The limit that a sandbox has ended by.
fn limit_of(end_reason: &str) -> Option<Outcome> {
    match end_reason {
        "memory_exceeded" => Some(Outcome::MemoryExceeded),
        // gVisor's kernel ends where the host refuses it a thread.
        "sandbox_ended" => Some(Outcome::PidsExceeded),
        _ => None,
    }
}
