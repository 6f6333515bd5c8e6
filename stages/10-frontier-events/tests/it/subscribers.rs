//! Each subscriber of the bus is removed in turn, and the others notice nothing.
//!
//! The parts are in the process of the test, without HTTP: what is compared is what each of them shows.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clap::Parser;
use futures_util::future::join_all;
use harness::{TEST_LIMITS, eventually_some};
use serde_json::{Value, json};
use shared::cli::Settings;
use shared::{Evaluations as _, Event, EventType, Limits, RequestContext, Submission};
use stage_03_monitoring::{Delivery, Filter};
use stage_09_frontier::Accounts;
use stage_10_frontier_events::{Below, EventsArgs, Parts};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::receiver::Receiver;

const TIMEOUT: Duration = Duration::from_mins(1);
/// What is removed, one at a time.
const PARTS: [&str; 6] = ["metrics", "audit", "streams", "retention", "webhooks", "rules"];
/// Events of the scenario that webhooks and rules get.
const WANTED: [&str; 2] = ["evaluation.*", "resource.*"];
const WANTED_COUNT: usize = 11;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    args: EventsArgs,
}

/// The log of this process, a line for each event.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// What the rules have logged.
    fn rules(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.map(|line| line["fields"].clone()).filter(|line| line["rule"] == "ends").collect()
    }
}

/// What each part has to show for the same scenario, in lines without ids.
type Transcripts = BTreeMap<&'static str, Vec<String>>;

/// The parts of one server without one of its subscribers.
struct Run {
    without: &'static str,
    below: Below,
    parts: Parts,
    _accounts: Accounts,
    receiver: Receiver,
    log: Log,
    ids: Vec<Uuid>,
}

impl Run {
    async fn start(directory: &Path, without: &'static str, log: Log) -> Self {
        let receiver = Receiver::start(200).await;
        let (rules, secret) = (directory.join("rules.toml"), directory.join("secret"));
        std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let text = format!(
            "[[rule]]\nname = \"ends\"\nevents = {WANTED:?}\nlog = \"warn\"\n\n[[rule]]\nname = \
             \"sent\"\nevents = {WANTED:?}\nwebhook = {:?}\nsecret_file = \"{}\"\n",
            receiver.url,
            secret.display()
        );
        std::fs::write(&rules, text).unwrap();
        let (data, rules) = (directory.join("data"), rules.display().to_string());
        let arguments = [
            ["test", "--unsafe"],
            ["--engine", "subprocess"],
            ["--workers", "2"],
            ["--webhook-allow", "127.0.0.1/32"],
            ["--storage-entries", "2"],
            ["--rules", &rules],
            ["--data-dir", data.to_str().unwrap()],
        ];
        let Line { settings, args } = Line::parse_from(arguments.as_flattened());
        let failpoint = format!("bus.without_{without}");
        // Decided while the parts are started.
        fail::cfg(&failpoint, "return").unwrap();
        let frontier = &args.below();
        let mut below = Box::pin(Below::build(&settings, frontier, None)).await.unwrap();
        let accounts = Accounts::start(&settings, &frontier.access, &mut below.frontier).await;
        let mut accounts = accounts.unwrap();
        let parts = Parts::start(&below, &mut accounts, &args.events).await.unwrap();
        fail::remove(&failpoint);
        Self { without, below, parts, _accounts: accounts, receiver, log, ids: Vec::new() }
    }

    fn has(&self, part: &str) -> bool {
        self.without != part
    }

    /// An event or row with the place of its evaluation instead of its id.
    fn line(&self, what: &str, id: &str) -> String {
        let place = self.ids.iter().position(|one| one.to_string() == id);
        format!("{what} {}", place.map_or_else(|| "-".to_owned(), |place| place.to_string()))
    }

    /// Three evaluations one after the other: one that exits, one that a limit ends, one that fails by itself. The
    /// last one makes the first one too many.
    async fn scenario(&mut self) {
        let stage = json!({ "stage": "test" });
        self.parts.bus.publish(Event::now(EventType::PlatformReady, None, stage));
        let tasks = &self.below.frontier.tasks;
        let peer = Some([127, 0, 0, 1].into());
        let context = RequestContext { peer, ..RequestContext::internal() };
        // One byte cannot be read in two pieces, so that its output is one event.
        let printing = "import os; os.write(1, b'1')";
        for (code, timeout_seconds) in
            [(printing, 20.0), ("while True: pass", 0.5), ("raise SystemExit(3)", 20.0)]
        {
            let submission = Submission::new(code, Limits { timeout_seconds, ..TEST_LIMITS });
            let id = tasks.submit(&context, submission, None).await.unwrap().id;
            let is_ended = async || tasks.get(&context, id).await.ok()?.outcome;
            eventually_some("its end", TIMEOUT, is_ended).await;
            self.ids.push(id);
        }
    }

    /// What each part shows once it has all of it.
    async fn transcripts(mut self) -> (&'static str, Transcripts) {
        let monitor = self.below.frontier.components.monitor.clone();
        let mut stream = monitor.subscribe(Filter::Everything, None).await.unwrap();
        self.scenario().await;
        let mut streams = Vec::new();
        while self.has("streams")
            && streams.iter().filter(|line: &&String| line.starts_with("storage.saved")).count() < 3
        {
            let next = tokio::time::timeout(TIMEOUT, stream.next()).await.unwrap();
            let Some(Delivery::Event(event)) = next.unwrap() else { panic!("the stream ends") };
            // What retention deletes is an event as well.
            if let Some(id) = event.event.subject
                && event.event.kind != EventType::StorageDeleted
            {
                streams.push(self.line(event.event.kind.as_str(), &id.to_string()));
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
        self.below.frontier.tasks.shutdown(CancellationToken::new()).await;
        (self.without, Transcripts::from(all))
    }

    /// The lines of a query with two columns.
    async fn query(&self, sql: &'static str) -> Vec<String> {
        let rows = self.below.frontier.store.read(move |db| {
            let mut rows = db.prepare(sql)?;
            let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<Vec<(String, String)>, _>>()?)
        });
        rows.await.unwrap().iter().map(|(what, id)| self.line(what, id)).collect()
    }

    async fn stored(&self) -> Vec<String> {
        let list = async || {
            let sql = "SELECT status, record ->> 'id' FROM evaluations ORDER BY number";
            let stored = self.query(sql).await;
            (!self.has("retention") || stored.len() < 3).then_some(stored)
        };
        eventually_some("the first one is deleted", TIMEOUT, list).await
    }

    /// The rows of the journal's transactions, and those of the subscriber.
    async fn audit(&self) -> (Vec<String>, Vec<String>) {
        let submissions = "SELECT action, target FROM audit WHERE actor <> 'platform'";
        let own = "SELECT action, target FROM audit WHERE actor = 'platform' ORDER BY number";
        let read = async || {
            let rows = self.query(own).await;
            (!self.has("audit") || rows.len() >= 2).then_some(rows)
        };
        let rows = eventually_some("the rows of the audit log", TIMEOUT, read).await;
        (self.query(submissions).await, rows)
    }

    async fn webhooks(&self) -> Vec<String> {
        let expected = if self.has("webhooks") { WANTED_COUNT } else { 0 };
        let sent = &self.receiver;
        sent.eventually("the events are sent", |received| received.len() >= expected).await;
        let line = |event: &Value| {
            self.line(event["type"].as_str().unwrap(), event["subject"].as_str().unwrap())
        };
        let mut lines: Vec<_> = sent.received().iter().map(|one| line(&one.event)).collect();
        // Several requests are on their way at the same time.
        lines.sort_unstable();
        lines
    }

    async fn rules(&self) -> Vec<String> {
        let expected = if self.has("rules") { WANTED_COUNT } else { 0 };
        let own = async || {
            let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
            let lines = self.log.rules();
            let lines = lines.iter().map(|line| (text(line, "kind"), text(line, "evaluation")));
            let own = lines.filter(|(_, id)| self.ids.iter().any(|one| one.to_string() == *id));
            let own: Vec<_> = own.map(|(kind, id)| self.line(&kind, &id)).collect();
            (own.len() >= expected).then_some(own)
        };
        eventually_some("the events are logged", TIMEOUT, own).await
    }

    async fn metrics(&self) -> Vec<String> {
        let monitor = &self.below.frontier.components.monitor;
        monitor.counted().await;
        let queue = self.below.frontier.tasks.queue_stats().await.unwrap();
        let text = monitor.metrics(queue).unwrap();
        let names = [
            "crucible_events_total{",
            "crucible_evaluations_total{",
            "crucible_limits_exceeded_total{",
        ];
        let is_counted = |line: &&str| {
            names.iter().any(|name| line.starts_with(name)) && !line.contains("storage.deleted")
        };
        let mut lines: Vec<_> = text.lines().filter(is_counted).map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_subscriber_can_be_removed_and_the_others_stay_the_same() {
    let (directory, log) = (tempfile::tempdir().unwrap(), Log::default());
    let writer = log.clone();
    let logging = tracing_subscriber::fmt().json().with_writer(move || writer.clone());
    logging.init();
    let mut runs = Vec::new();
    for without in ["nothing"].into_iter().chain(PARTS) {
        let own = directory.path().join(without);
        std::fs::create_dir(&own).unwrap();
        runs.push(Run::start(&own, without, log.clone()).await);
    }
    let all = join_all(runs.into_iter().map(Run::transcripts)).await;
    let mut all: BTreeMap<_, _> = all.into_iter().collect();
    let complete = all.remove("nothing").unwrap();
    for (part, lines) in &complete {
        assert!(!lines.is_empty(), "{part} has nothing to show");
    }
    assert_eq!(complete["submissions"].len(), 3, "{complete:#?}");
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
