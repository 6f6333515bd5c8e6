//! A compromised API process: it sends any bytes, and reads or does not read. It can ask for
//! evaluations and read their answers, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use harness::{FakeEngine, TEST_LIMITS, eventually};
use serde_json::{Value, json};
use shared::submission::File;
use shared::{Job, Submission};
use stage_06_advanced::{HostError, MAX_EXTRA_RUNS};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use uuid::Uuid;

use super::{BOUNDS, RUN_TIMEOUT, Serving, WORKER_COUNT, host};

/// An API process that an attacker controls.
struct Attacker {
    socket: UnixStream,
    serving: Serving,
    engine: Arc<FakeEngine>,
}

impl Attacker {
    async fn against(engine: FakeEngine) -> Self {
        let engine = Arc::new(engine);
        let (serving, socket) = host(engine.clone());
        let mut attacker = Self { socket, serving, engine };
        attacker.send(&json!({ "Hello": { "version": 4 } })).await;
        assert!(attacker.reply().await["Ready"]["sandbox"].is_object());
        attacker
    }

    /// Against an engine whose programs do not end by themselves.
    async fn endless() -> Self {
        Self::against(FakeEngine::new().delay(Duration::MAX)).await
    }

    async fn send(&mut self, request: &Value) {
        let body = serde_json::to_vec(request).unwrap();
        let length = u32::try_from(body.len()).unwrap();
        self.bytes(&[&length.to_be_bytes(), &body[..]].concat()).await;
    }

    async fn bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.ok(); // the host may have ended the connection
    }

    async fn reply(&mut self) -> Value {
        let reply = async {
            let mut bytes = vec![0; self.socket.read_u32().await.unwrap() as usize];
            self.socket.read_exact(&mut bytes).await.unwrap();
            serde_json::from_slice(&bytes).unwrap()
        };
        tokio::time::timeout(RUN_TIMEOUT, reply).await.expect("a reply in time")
    }

    /// The violation that the connection was ended for.
    async fn violation(self) -> HostError {
        let ended = tokio::time::timeout(RUN_TIMEOUT, self.serving).await;
        ended.expect("the connection ends").unwrap().unwrap_err()
    }
}

fn evaluate(job: &Job) -> Value {
    json!({ "Evaluate": { "job": job } })
}

fn job() -> Job {
    Job::first(Submission::new("print(1)", TEST_LIMITS))
}

#[tokio::test]
async fn an_illegal_frame_ends_the_connection_and_all_runs() {
    let framed = |text: &str| {
        let length = u32::try_from(text.len()).unwrap();
        [&length.to_be_bytes(), text.as_bytes()].concat()
    };
    let job_text = serde_json::to_string(&job()).unwrap();
    for bytes in [
        u32::MAX.to_be_bytes().to_vec(),
        ((16_u32 << 20) + 1).to_be_bytes().to_vec(),
        framed(""),
        framed("\0\u{1}\u{2}"),
        framed("null"),
        framed("{}"),
        framed(r#""Close""#),
        framed(r#"{"Read":{"path":"/etc/shadow"}}"#),
        framed(r#"{"Exec":{"argv":["sh"]}}"#),
        framed(r#"{"Closed":{}}"#),
        framed(r#"{"Hello":{"version":-1}}"#),
        framed(r#"{"Check":{"call":-1,"index":null}}"#),
        framed(r#"{"Check":{"call":1,"index":null,"path":"/"}}"#),
        framed(r#"{"Cancel":{"id":"../../state"}}"#),
        framed(&format!(r#"{{"Evaluate":{{"job":{job_text},"user":0}}}}"#)),
        framed(&"[".repeat(1 << 20)),
    ] {
        let mut attacker = Attacker::endless().await;
        attacker.send(&evaluate(&self::job())).await;
        attacker.bytes(&bytes).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        let error = attacker.violation().await;
        assert!(matches!(error, HostError::Frame(_)), "{shown}: {error:?}");
    }
}

#[tokio::test]
async fn half_a_frame_is_no_frame() {
    let mut attacker = Attacker::endless().await;
    attacker.bytes(&100_u32.to_be_bytes()).await;
    attacker.bytes(b"{\"Evaluate\":").await;
    drop(attacker.socket);
    tokio::time::timeout(RUN_TIMEOUT, attacker.serving).await.unwrap().unwrap().unwrap();
    assert_eq!(attacker.engine.runs(), 0);
}

#[tokio::test]
async fn a_submission_is_checked_again() {
    let changed = |change: &dyn Fn(&mut Submission)| {
        let mut job = job();
        change(&mut job.submission);
        evaluate(&job)
    };
    let file = |path: &str| {
        let path = path.to_owned();
        changed(&|submission| {
            submission.files = vec![File { path: path.clone(), bytes: b"x".to_vec() }];
        })
    };
    let twice = changed(&|submission| {
        submission.files = vec![File { path: "a".to_owned(), bytes: Vec::new() }; 2];
    });
    for request in [
        changed(&|submission| submission.limits.timeout_seconds = 61.0),
        changed(&|submission| submission.limits.timeout_seconds = -1.0),
        changed(&|submission| submission.limits.cpu_seconds = 21.0),
        changed(&|submission| submission.limits.cpu_seconds = 0.0),
        changed(&|submission| submission.limits.memory_bytes = BOUNDS.max_memory_bytes + 1),
        changed(&|submission| submission.limits.pids += 1),
        changed(&|submission| submission.limits.pids = 0),
        changed(&|submission| submission.limits.output_bytes = u64::MAX),
        changed(&|submission| submission.limits.disk_bytes += 1),
        changed(&|submission| submission.limits.open_files += 1),
        changed(&|submission| submission.profile = "bash".to_owned()),
        changed(&|submission| submission.code = "\0".to_owned()),
        file("/etc/cron.d/x"),
        file("../../../etc/cron.d/x"),
        file("a/../../x"),
        file("main.py"),
        file(""),
        twice,
    ] {
        let mut attacker = Attacker::endless().await;
        attacker.send(&request).await;
        let engine = attacker.engine.clone();
        let error = attacker.violation().await;
        assert!(matches!(error, HostError::Violation(_)), "{request}: {error:?}");
        assert_eq!(engine.runs(), 0, "{request}");
    }
}

#[tokio::test]
async fn a_submission_within_the_bounds_is_run_as_it_is() {
    let mut attacker = Attacker::against(FakeEngine::new().output("out")).await;
    let mut job = job();
    job.submission.stdin = b"\xff\0".to_vec();
    job.submission.files = vec![File { path: "a/b.bin".to_owned(), bytes: b"\xfe".to_vec() }];
    job.submission.limits.timeout_seconds = BOUNDS.max_timeout_seconds;
    job.submission.limits.memory_bytes = BOUNDS.max_memory_bytes;
    attacker.send(&evaluate(&job)).await;
    let id = job.id.to_string();
    let output = attacker.reply().await;
    assert_eq!(output, json!({ "Output": { "id": id, "stream": "stdout", "bytes": "b3V0" } }));
    let ended = attacker.reply().await;
    assert_eq!(ended["Ended"]["id"], id);
    assert_eq!(ended["Ended"]["verdict"]["outcome"], "exited");
}

#[tokio::test]
async fn there_are_as_many_runs_as_workers_and_a_few() {
    let mut attacker = Attacker::endless().await;
    let most = WORKER_COUNT + MAX_EXTRA_RUNS;
    for _ in 0..most {
        attacker.send(&evaluate(&job())).await;
    }
    let engine = attacker.engine.clone();
    eventually("all of them run", RUN_TIMEOUT, || engine.runs() == most).await;
    assert!(!attacker.serving.is_finished());
    attacker.send(&evaluate(&job())).await;
    let error = attacker.violation().await.to_string();
    assert!(error.contains("more runs"), "{error}");
    assert_eq!(engine.runs(), most);

    let mut attacker = Attacker::endless().await;
    let job = job();
    attacker.send(&evaluate(&job)).await;
    attacker.send(&evaluate(&job)).await;
    let error = attacker.violation().await.to_string();
    assert!(error.contains("the id of another"), "{error}");
}

#[tokio::test]
async fn what_is_not_running_cannot_be_cancelled() {
    let mut attacker = Attacker::endless().await;
    let job = job();
    attacker.send(&evaluate(&job)).await;
    attacker.send(&json!({ "Cancel": { "id": Uuid::now_v7() } })).await;
    attacker.send(&json!({ "Check": { "call": 7, "index": null } })).await;
    // The first reply is that of the check: the run goes on.
    assert_eq!(
        attacker.reply().await["Checked"],
        json!({ "call": 7, "result": { "Ok": "healthy" } })
    );
    attacker.send(&json!({ "Check": { "call": 8, "index": 99 } })).await;
    assert!(attacker.reply().await["Checked"]["result"]["Err"]["Broken"].is_string());
    attacker.send(&json!({ "Cancel": { "id": job.id } })).await;
    assert_eq!(attacker.reply().await["Ended"]["verdict"]["outcome"], "cancelled");
}

#[tokio::test]
async fn output_that_is_not_read_stays_within_its_limit() {
    let output = "x".repeat(8 << 20);
    let mut attacker = Attacker::against(FakeEngine::new().output(output)).await;
    for _ in 0..WORKER_COUNT {
        attacker.send(&evaluate(&job())).await;
    }
    let engine = attacker.engine.clone();
    eventually("both run", RUN_TIMEOUT, || engine.runs() == WORKER_COUNT).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    // Nothing was read so far. Each has sent its limit, in turns, and no more.
    let (mut ended, mut sent, mut turns, mut last) = (0, 0, 0, Value::Null);
    while ended < WORKER_COUNT {
        let reply = attacker.reply().await;
        if let Some(output) = reply.get("Output") {
            sent += output["bytes"].as_str().unwrap().len() / 4 * 3;
            turns += usize::from(output["id"] != last);
            last = output["id"].clone();
        } else {
            assert_eq!(reply["Ended"]["excess_bytes"], json!([7 << 20, 0]));
            ended += 1;
        }
    }
    let limit = usize::try_from(TEST_LIMITS.output_bytes).unwrap();
    assert!((limit * WORKER_COUNT..limit * WORKER_COUNT + 1000).contains(&sent), "{sent}");
    assert!(turns > WORKER_COUNT, "one run had to wait for the other");
    drop(attacker.socket);
    attacker.serving.await.unwrap().unwrap();
}
