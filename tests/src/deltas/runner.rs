//! Runs the scenario on a stage's real binary, over plain HTTP.
//!
//! Task tree: one task for each request, which outlives its step only when the step times out
//! before the response, and never outlives its group.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::redact::{self, Names};
use super::render::Answer;
use super::scenario::{Scenario, ScenarioGroup, Step, names_in};
use super::transcript::{StepRecord, Transcript};
use crate::support::client::Client;
use crate::support::server::{Launch, Server, ServerData};
use crate::support::stages::Stage;

/// How many groups run at the same time, over all stages. Each has its own server.
const MAX_CONCURRENT: usize = 4;
/// How often a step with `until` repeats its request.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long a server has to notice closed connections before it is stopped.
const CLOSE_GRACE: Duration = Duration::from_millis(200);

/// Runs all groups of `scenario` on each of `stages`: one transcript for each stage.
///
/// # Errors
///
/// When a stage does not build, start, respond or stop.
pub(super) async fn run(scenario: &Scenario, stages: &[Stage]) -> Result<Vec<Transcript>> {
    for stage in stages {
        // Once, before several groups build the same binary.
        let stage = stage.clone();
        tokio::task::spawn_blocking(move || stage.binary().map(drop)).await??;
    }
    let pairs =
        stages.iter().flat_map(|stage| scenario.groups.iter().map(move |group| (stage, group)));
    let groups: Vec<Vec<StepRecord>> = stream::iter(pairs)
        .map(|(stage, group)| async move {
            let records = run_group(stage, group).await;
            records.with_context(|| format!("{} on {}", group.title, stage.name))
        })
        .buffered(MAX_CONCURRENT)
        .try_collect()
        .await?;
    let each = groups.chunks(scenario.groups.len().max(1));
    Ok(each.map(|groups| Transcript { steps: groups.concat() }).collect())
}

async fn run_group(stage: &Stage, group: &ScenarioGroup) -> Result<Vec<StepRecord>> {
    let data = ServerData::new()?;
    let mut session = Session::open(stage, group, &data).await?;
    let mut records = Vec::new();
    for step in &group.steps {
        let answer = if step.restart {
            session.close().await?;
            session = Session { names: session.names, ..Session::open(stage, group, &data).await? };
            vec!["(it stopped in order, and listens again)".to_owned()]
        } else {
            session.ask(step).await.with_context(|| step.title.clone())?
        };
        let request = requested(step, &session.names);
        let (group, title) = (group.title.clone(), step.title.clone());
        records.push(StepRecord { group, title, request, answer });
    }
    session.close().await?;
    Ok(records)
}

/// The request as lines, with its `{names}`: the same on every stage.
fn requested(step: &Step, names: &Names) -> Vec<String> {
    let line = step.send.clone().unwrap_or_else(|| "(restart)".to_owned());
    let headers = step.headers.iter().map(|(name, value)| format!("{name}: {value}"));
    let lines = std::iter::once(line).chain(headers).chain(step.body.clone());
    lines.map(|line| redact::text(&line, names)).collect()
}

/// A running server, and the names that the group has saved.
struct Session {
    server: Option<Server>,
    client: Option<Client>,
    names: Names,
    /// The requests without a response.
    open: Vec<AbortOnDropHandle<Result<Answer>>>,
}

impl Session {
    async fn open(stage: &Stage, group: &ScenarioGroup, data: &ServerData) -> Result<Self> {
        // Stage 1 has no options but `--listen`.
        let flags = if stage.number == 1 { &[][..] } else { &group.flags[..] };
        let launch = Launch::new(stage).on_data(data);
        let server = flags.iter().fold(launch, Launch::arg).start().await?;
        let client = Client::new(stage.number, server.url())?;
        let names = Names::new();
        Ok(Self { server: Some(server), client: Some(client), names, open: Vec::new() })
    }

    /// Closes the connections, and stops the server.
    async fn close(&mut self) -> Result<()> {
        self.open.clear();
        self.client = None;
        sleep(CLOSE_GRACE).await;
        match self.server.take() {
            Some(server) => server.stop().await,
            None => Ok(()),
        }
    }

    /// Sends one request.
    async fn ask(&mut self, step: &Step) -> Result<Vec<String>> {
        let (method, path) = step.request()?;
        if let Some(name) = names_in(&path).find(|name| !self.knows(name)) {
            return Ok(vec![format!("(not sent: nothing gave a {{{name}}})")]);
        }
        let started = Instant::now();
        loop {
            let request = self.request(step, method.clone(), &path)?;
            let mut task = AbortOnDropHandle::new(tokio::spawn(answered(request)));
            let Ok(ended) = timeout(step.timeout(), &mut task).await else {
                self.open.push(task);
                let seconds = step.timeout().as_secs();
                return Ok(vec![format!("(no answer within {seconds} s)")]);
            };
            let answer = ended??;
            if !waits(step, &answer) || started.elapsed() > step.timeout() {
                self.save(step, &answer);
                return Ok(answer.lines(&self.names));
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    fn request(&self, step: &Step, method: Method, path: &str) -> Result<RequestBuilder> {
        let mut path = path.to_owned();
        for (name, value) in &self.names {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        let client = self.client.as_ref().context("the group is over")?;
        let mut request = client.request(method, &path);
        if let Some(body) = &step.body {
            if !step.headers.contains_key("Content-Type") {
                request = request.header("Content-Type", "application/json");
            }
            request = request.body(body.clone());
        }
        for (name, value) in &step.headers {
            request = request.header(name, value);
        }
        Ok(request)
    }

    fn knows(&self, name: &str) -> bool {
        self.names.iter().any(|(known, _)| known == name)
    }

    fn save(&mut self, step: &Step, answer: &Answer) {
        let Some(json) = answer.json() else { return };
        for (name, pointer) in &step.save {
            if let Some(Value::String(value)) = json.pointer(pointer) {
                self.names.push((name.clone(), value.clone()));
            }
        }
    }
}

async fn answered(request: RequestBuilder) -> Result<Answer> {
    let response = request.send().await.context("the server did not respond")?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.bytes().await.context("the server aborted its response")?.to_vec();
    Ok(Answer { status, headers, body })
}

/// Whether the step has to repeat its request: the evaluation does not have the status yet.
fn waits(step: &Step, answer: &Answer) -> bool {
    let Some(until) = &step.until else { return false };
    let json = answer.json().unwrap_or_default();
    match json["status"].as_str() {
        Some(now) => now != until && ["queued", "running"].contains(&now),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_again_until_the_status_is_there_or_cannot_come() {
        let text = "[[group]]\ntitle = \"a\"\n[[group.step]]\ntitle = \"b\"\nsend = \"GET /eval/x\"\n\
                    until = \"running\"\n";
        let scenario = Scenario::parse(text).unwrap();
        let step = &scenario.groups[0].steps[0];
        let answer = |body: &str| {
            let (status, headers) = Default::default();
            waits(step, &Answer { status, headers, body: body.into() })
        };
        assert!(answer(r#"{"status":"queued"}"#));
        for body in [r#"{"status":"running"}"#, r#"{"status":"failed"}"#, "{}", "no", ""] {
            assert!(!answer(body), "{body}");
        }
    }
}
