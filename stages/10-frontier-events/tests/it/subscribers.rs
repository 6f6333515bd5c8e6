//! Each subscriber of the bus is removed in turn, and the others notice nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use harness::{Client, Server, eventually, eventually_some};
use serde_json::{Value, json};

use crate::receiver::Receiver;
use crate::stage;

const TIMEOUT: Duration = Duration::from_mins(1);
/// What is removed, one at a time.
const PARTS: [&str; 6] = ["metrics", "audit", "streams", "retention", "webhooks", "rules"];
/// Events of the scenario that webhooks and rules get.
const WANTED: [&str; 2] = ["evaluation.*", "resource.*"];
const WANTED_COUNT: usize = 11;

/// What each part has to show for the same scenario, in lines without ids.
type Transcripts = BTreeMap<&'static str, Vec<String>>;

/// One server without one of its subscribers.
struct Run {
    without: &'static str,
    server: Server,
    client: Client,
    receiver: Receiver,
    ids: Vec<String>,
}

impl Run {
    async fn start(directory: &Path, without: &'static str) -> Self {
        let (receiver, rules) = (Receiver::start(200).await, directory.join("rules.toml"));
        let text = format!("[[rule]]\nname = \"ends\"\nevents = {WANTED:?}\nlog = \"warn\"\n");
        std::fs::write(&rules, text).unwrap();
        let server = stage::on(&directory.join("data"))
            .args(["--webhook-allow", "127.0.0.1/32", "--storage-entries", "2", "--rules"])
            .arg(&rules)
            .env("FAILPOINTS", format!("bus.without_{without}=return"))
            .start();
        let client = server.client();
        Self { without, server, client, receiver, ids: Vec::new() }
    }

    fn has(&self, part: &str) -> bool {
        self.without != part
    }

    /// An event or row with the place of its evaluation instead of its id.
    fn line(&self, what: &str, id: &str) -> String {
        let place = self.ids.iter().position(|one| one == id);
        format!("{what} {}", place.map_or_else(|| "-".to_owned(), |place| place.to_string()))
    }

    /// Three evaluations one after the other: one that exits, one that a limit ends, one that fails by itself. The
    /// last one makes the first too old.
    async fn scenario(&mut self) {
        let body = json!({ "url": self.receiver.url, "events": WANTED });
        assert_eq!(self.client.post("/webhooks", &body).await.status, 201);
        for (code, seconds) in
            [("print(1)", 20.0), ("while True: pass", 0.5), ("raise SystemExit(3)", 20.0)]
        {
            let body = json!({ "code": code, "timeout_seconds": seconds });
            let ended = self.client.eval(&body).await;
            self.ids.push(ended["id"].as_str().unwrap().to_owned());
        }
    }

    /// What each part shows once it has all of it.
    async fn transcripts(mut self) -> Transcripts {
        let mut stream = match self.has("streams") {
            true => Some(self.client.all_events(None).await),
            false => None,
        };
        self.scenario().await;
        let mut streams = Vec::new();
        while let Some(stream) = &mut stream
            && streams.iter().filter(|line: &&String| line.starts_with("storage.saved")).count() < 3
        {
            let event = stream.next().await.unwrap();
            if let Some(id) = event.envelope["subject"].as_str()
                && event.kind != "storage.deleted"
            {
                streams.push(self.line(&event.kind, id));
            }
        }
        let retention = self.stored().await;
        let (submissions, audit) = self.audit().await;
        let all = [
            ("streams", streams),
            ("retention", retention),
            ("submissions", submissions),
            ("audit", audit),
            ("webhooks", self.webhooks().await),
            ("rules", self.rules().await),
            ("metrics", self.metrics().await),
        ];
        assert_eq!(self.server.stop(), Some(0), "without {}", self.without);
        Transcripts::from(all)
    }

    async fn stored(&self) -> Vec<String> {
        let list = async || {
            let page: Value = self.client.get("/eval").await.json();
            let items = page["items"].as_array().unwrap().iter();
            let kept: Vec<_> =
                items.map(|one| self.line("stored", one["id"].as_str().unwrap())).collect();
            (!self.has("retention") || kept.len() < 3).then_some(kept)
        };
        eventually_some("the first one is deleted", TIMEOUT, list).await
    }

    /// The rows of the journal's transactions, and those of the subscriber.
    async fn audit(&self) -> (Vec<String>, Vec<String>) {
        let read = async || {
            let page: Value = self.client.get("/audit?limit=100").await.json();
            let rows = page["items"].as_array().unwrap().iter().map(|row| {
                let text = |name: &str| row[name].as_str().unwrap().to_owned();
                (text("actor") == "platform", self.line(&text("action"), &text("target")))
            });
            let (mut own, mut others): (Vec<_>, Vec<_>) = rows.partition(|(is_own, _)| *is_own);
            (own.sort_unstable(), others.sort_unstable());
            let lines = |rows: Vec<(bool, String)>| rows.into_iter().map(|(_, line)| line);
            let (own, others): (Vec<_>, Vec<_>) = (lines(own).collect(), lines(others).collect());
            (!self.has("audit") || own.len() >= 2).then_some((others, own))
        };
        eventually_some("the rows of the audit log", TIMEOUT, read).await
    }

    async fn webhooks(&self) -> Vec<String> {
        let expected = if self.has("webhooks") { WANTED_COUNT } else { 0 };
        let receiver = &self.receiver;
        receiver.eventually("the events are sent", |received| received.len() >= expected).await;
        let received = receiver.received();
        let line = |event: &Value| {
            self.line(event["type"].as_str().unwrap(), event["subject"].as_str().unwrap())
        };
        let mut lines: Vec<_> = received.iter().map(|one| line(&one.event)).collect();
        // Several requests are on their way at the same time.
        lines.sort_unstable();
        lines
    }

    async fn rules(&self) -> Vec<String> {
        let lines = || {
            let text = self.server.stderr();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let field = |line: &Value, name: &str| {
                line["fields"][name].as_str().or(line[name].as_str()).map(str::to_owned)
            };
            let own = lines.filter(|line| field(line, "rule").is_some());
            let own = own.map(|line| {
                self.line(&field(&line, "kind").unwrap(), &field(&line, "evaluation").unwrap())
            });
            own.collect::<Vec<_>>()
        };
        let expected = if self.has("rules") { WANTED_COUNT } else { 0 };
        eventually("the events are logged", TIMEOUT, || lines().len() >= expected).await;
        lines()
    }

    /// Without what retention deletes: that is an event as well.
    async fn metrics(&self) -> Vec<String> {
        let text = self.client.get("/metrics").await.text();
        let names = ["crucible_events_total{", "crucible_evaluations_", "crucible_limits_exceeded"];
        let is_counted = |line: &&str| {
            names.iter().any(|name| line.starts_with(name))
                && !line.contains("storage.deleted")
                && !line.contains("running")
        };
        text.lines().filter(is_counted).map(str::to_owned).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_subscriber_can_be_removed_and_the_others_stay_the_same() {
    let whole = ["nothing"].into_iter().chain(PARTS).map(async |without| {
        let directory = tempfile::tempdir().unwrap();
        let run = Run::start(directory.path(), without).await;
        (without, run.transcripts().await)
    });
    let mut all: BTreeMap<_, _> = join_all(whole).await.into_iter().collect();
    let complete = all.remove("nothing").unwrap();
    for part in PARTS {
        assert!(!complete[part].is_empty(), "{part} has nothing to show");
    }
    assert_eq!(complete["submissions"].len(), 4, "{complete:#?}");
    for (without, shown) in all {
        for (part, lines) in shown {
            if part == without {
                assert_ne!(lines, complete[part], "{part} is removed, and works");
            } else {
                assert_eq!(lines, complete[part], "{part} without {without}");
            }
        }
    }
}
