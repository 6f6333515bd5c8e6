//! A client of the stages' HTTP API, with kept-alive connections.
//!
//! Stage 1 has one request and responds with `{"output", "error"}`; from stage 2 on a response is
//! an evaluation. A [`Client`] is created for a stage's number and hides the difference as far as
//! possible: what stage 1 does not report is `None` here.
//!
//! It returns errors, typed evaluations and retries; tests use [`harness::Client`], which panics.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::{Deserialize, Serialize};
use shared::{Evaluation, Outcome};
use tokio::time::{Instant, sleep};

use super::kept;

/// How long any request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(2);
/// The `Prefer: wait` of a request, in seconds.
const PREFER_WAIT_SECONDS: u64 = 60;
/// How often an evaluation is polled that takes longer than that.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How long a full queue is retried before it counts as a failure.
pub(super) const QUEUE_TIMEOUT: Duration = Duration::from_mins(2);

/// What to evaluate.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Program {
    /// Python source.
    pub code: String,
    /// Wall-clock limit in seconds; the stage's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<f64>,
    /// Memory limit in bytes; the stage's default when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Standard input, as the API takes it: a string, or `{"base64": "..."}`; none when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stdin: Option<serde_json::Value>,
    /// Files beside the program: their paths, and their text.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
}

impl Program {
    /// `code` with the stage's default limits.
    pub fn new(code: impl Into<String>) -> Self {
        Self { code: code.into(), ..Self::default() }
    }
}

/// How a program ended, as far as the stage reports it.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// Of stage 1.
    Plain(Plain),
    /// Of every later stage.
    Evaluation(Box<Evaluation>),
    /// Of an execution in a sandbox that stays, with the limit that has ended it.
    Executed(Plain, Option<Outcome>),
}

/// The response of stage 1.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plain {
    /// What the program printed.
    pub output: String,
    /// The error, or the program's standard error; empty when there is none.
    pub error: String,
}

impl Answer {
    /// What the program printed, as far as it was retained.
    pub fn stdout(&self) -> &str {
        match self {
            Self::Plain(plain) | Self::Executed(plain, _) => &plain.output,
            Self::Evaluation(evaluation) => &evaluation.stdout.text,
        }
    }

    /// How it ended. Stage 1 does not report it.
    pub fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::Plain(_) => None,
            Self::Evaluation(evaluation) => evaluation.outcome,
            Self::Executed(_, outcome) => *outcome,
        }
    }

    /// The program's own exit code. Stage 1 does not report it.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Plain(_) | Self::Executed(..) => None,
            Self::Evaluation(evaluation) => evaluation.exit_code,
        }
    }

    /// One line on how it ended, for a person.
    pub fn summary(&self) -> String {
        let (how, text) = match self {
            Self::Plain(plain) | Self::Executed(plain, _) => (String::new(), plain.error.as_str()),
            Self::Evaluation(evaluation) => {
                let outcome = evaluation.outcome.map_or("not ended", Outcome::as_str);
                let code = evaluation.exit_code.map_or_else(String::new, |code| format!(" {code}"));
                let error = evaluation.error.as_deref().unwrap_or(&evaluation.stderr.text);
                (format!("{outcome}{code}"), error)
            }
        };
        let last = text.trim_end().lines().next_back().unwrap_or_default();
        let last: String = last.chars().filter(|c| !c.is_control()).take(120).collect();
        [how, last].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
    }
}

/// A client of one server.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    stage: u16,
    key: Option<String>,
    environment: Option<String>,
    /// The user of executions in sandboxes that stay. None evaluates.
    kept_user: Option<String>,
}

impl Client {
    /// A client of the server at `base`, which has the API of stage number `stage`.
    ///
    /// # Errors
    ///
    /// When `base` is not a URL that begins with `http://`.
    pub fn new(stage: u16, base: &str) -> Result<Self> {
        let url = reqwest::Url::parse(base).with_context(|| format!("{base:?} is not a URL"))?;
        if url.scheme() != "http" || !url.has_host() {
            bail!("{base:?} is not the address of a stage; give one such as http://127.0.0.1:8005");
        }
        let http = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            // A stage is on this machine: a proxy from the environment must not come in between.
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            .context("cannot make an HTTP client")?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            stage,
            key: None,
            environment: None,
            kept_user: None,
        })
    }

    /// The same client, which shows this key with each request.
    #[must_use]
    pub fn with_key(self, key: Option<String>) -> Self {
        Self { key, ..self }
    }

    /// The same client, whose programs run in this environment of the server.
    #[must_use]
    pub fn in_environment(self, environment: Option<String>) -> Self {
        Self { environment, ..self }
    }

    /// The same client, whose programs are executed by `user` in sandboxes that stay.
    #[must_use]
    pub fn in_kept_sandboxes(self, user: &str) -> Self {
        Self { kept_user: Some(user.to_owned()), ..self }
    }

    /// A request to `path`, for what the other methods do not cover.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key),
            None => request,
        }
    }

    /// Submits `program` and waits until it has ended. A full queue is retried.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached, rejects the program or violates its API. How the
    /// program itself ends is never an error.
    pub async fn evaluate(&self, program: &Program) -> Result<Answer> {
        if self.stage == 1 {
            let request = self.request(Method::POST, "/eval").json(program);
            return Ok(Answer::Plain(send(request).await?));
        }
        if let Some(user) = &self.kept_user {
            return kept::execute(self, program, user).await;
        }
        let evaluation = self.submit(program, PREFER_WAIT_SECONDS).await?;
        Ok(Answer::Evaluation(Box::new(self.finished(evaluation).await?)))
    }

    /// Submits `program` and waits on the server for at most `wait` seconds. A full queue is
    /// retried.
    ///
    /// # Errors
    ///
    /// As for [`Client::evaluate`].
    pub async fn submit(&self, program: &Program, wait: u64) -> Result<Evaluation> {
        let started = Instant::now();
        loop {
            let submission = Submission { program, environment: self.environment.as_deref() };
            let mut request = self.request(Method::POST, "/eval").json(&submission);
            if wait > 0 {
                request = request.header("Prefer", format!("wait={wait}"));
            }
            let response = request.send().await.context("the server did not respond")?;
            if response.status() != StatusCode::SERVICE_UNAVAILABLE
                || started.elapsed() > QUEUE_TIMEOUT
            {
                return parse(response).await;
            }
            sleep(retry_after(&response)).await;
        }
    }

    /// Cancels `evaluation`.
    ///
    /// # Errors
    ///
    /// As for [`Client::evaluate`], and when it has ended already.
    pub async fn cancel(&self, evaluation: &Evaluation) -> Result<Evaluation> {
        send(self.request(Method::DELETE, &format!("/eval/{}", evaluation.id))).await
    }

    /// Waits until `evaluation` has ended.
    ///
    /// # Errors
    ///
    /// As for [`Client::evaluate`].
    pub async fn finished(&self, mut evaluation: Evaluation) -> Result<Evaluation> {
        while !evaluation.status.is_final() {
            sleep(POLL_INTERVAL).await;
            let path = format!("/eval/{}", evaluation.id);
            evaluation = send(self.request(Method::GET, &path)).await?;
        }
        Ok(evaluation)
    }
}

/// A program, with what it runs in.
#[derive(Serialize)]
struct Submission<'a> {
    #[serde(flatten)]
    program: &'a Program,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a str>,
}

pub(super) async fn send<T: for<'de> Deserialize<'de>>(request: RequestBuilder) -> Result<T> {
    parse(request.send().await.context("the server did not respond")?).await
}

pub(super) fn retry_after(response: &Response) -> Duration {
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let seconds = header.and_then(|text| text.parse::<u64>().ok()).unwrap_or(1);
    Duration::from_secs(seconds.clamp(1, 10))
}

pub(super) async fn parse<T: for<'de> Deserialize<'de>>(response: Response) -> Result<T> {
    let (status, url) = (response.status(), response.url().clone());
    let body = response.bytes().await.with_context(|| format!("{url} aborted its response"))?;
    let quoted = || String::from_utf8_lossy(&body).chars().take(500).collect::<String>();
    if !status.is_success() {
        bail!("{url} responded with {status}: {}", quoted());
    }
    serde_json::from_slice(&body).with_context(|| format!("{url} violated its API: {}", quoted()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_is_no_stage_is_refused() {
        for base in ["", "127.0.0.1:8005", "https://127.0.0.1", "file:///etc/passwd"] {
            assert!(Client::new(5, base).is_err(), "{base}");
        }
        assert_eq!(Client::new(5, "http://127.0.0.1:8005/").unwrap().base, "http://127.0.0.1:8005");
    }

    #[test]
    fn absent_limits_are_left_to_the_stage() {
        let wire = serde_json::to_string(&Program::new("print(1)")).unwrap();
        assert_eq!(wire, r#"{"code":"print(1)"}"#);
    }

    #[test]
    fn a_summary_shows_the_last_line_and_no_escape_sequence() {
        let error = "Traceback:\n  x\nAssertionError: \x1b[31mno\n".to_owned();
        let answer = Answer::Plain(Plain { output: String::new(), error });
        assert_eq!(answer.summary(), "AssertionError: [31mno");
    }
}
