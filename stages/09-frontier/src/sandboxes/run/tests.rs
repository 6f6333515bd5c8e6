//! Executions in sandboxes whose exec supervisor is an attacker's.

use serde_json::json;
use stage_06_advanced::SandboxDefaults;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use super::super::executions::{Begin, Executions};
use super::super::lease::Lease;
use super::super::quota::{QuotaLimits, Quotas};
use super::super::state::Record;
use super::super::wire::parse_exec;
use super::*;

const HELLO: &[u8] = &[0, 0, 0, 2, 65, 0, 0, 0, 0, 0, 1];
/// The header of a frame that starts an execution: its number follows.
const START: &[u8] = &[0, 0, 0, 0, 3];

/// What a supervisor answers when the execution with this number is started.
type Answer = fn(&[u8]) -> Vec<u8>;

fn frame(kind: u8, execution: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind], execution, payload].concat()
}

fn started(execution: &[u8]) -> Vec<u8> {
    frame(66, execution, &[0, 0, 0, 7])
}

/// Plays the supervisor at the other end of a sandbox's socket.
async fn supervise(mut socket: UnixStream, answer: Answer) {
    socket.write_all(HELLO).await.unwrap();
    let (mut seen, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let Ok(length @ 1..) = socket.read(&mut chunk).await else { return };
        seen.extend_from_slice(&chunk[..length]);
        while let Some(at) = seen.windows(START.len() + 4).position(|part| part.starts_with(START))
        {
            let execution = seen[at + START.len()..at + START.len() + 4].to_vec();
            seen.drain(..at + START.len() + 4);
            if socket.write_all(&answer(&execution)).await.is_err() {
                return;
            }
        }
    }
}

/// How a command ends in a sandbox with such a supervisor.
async fn outcome(answer: Answer) -> (Outcome, u64) {
    let directory = tempfile::tempdir().unwrap();
    let quotas = Quotas::new(QuotaLimits { of_key: 1, without_key: 1, memory_bytes: 1 << 40 });
    let (own, other) = UnixStream::pair().unwrap();
    tokio::spawn(supervise(other, answer));
    let defaults = SandboxDefaults {
        user: "agent".to_owned(),
        workdir: "/".to_owned(),
        env: Vec::new(),
        allows_root: true,
    };
    let executions =
        Executions::new(directory.path().to_owned(), 1 << 30, (Arc::default(), Arc::default()));
    let lease = Lease::new(&Record::for_test("a", "x"), executions, quotas.take("a", 1).unwrap());
    lease.opened(Arc::new(SandboxChannel::new(own, &defaults)));
    let (usage, channel) = lease.use_it().unwrap();
    let request = parse_exec(json!({ "argv": ["true"], "timeout_seconds": 0.5 })).unwrap();
    let Begin::New(prepared) = lease.executions.begin("e", &request).unwrap() else { panic!() };
    let execution = Arc::clone(&prepared.execution);
    spawn(usage, channel, prepared, request, Counters::new(quotas));
    let end = tokio::time::timeout(Duration::from_secs(30), execution.ended()).await;
    (end.unwrap().unwrap().outcome, execution.stdout.total())
}

#[tokio::test]
async fn a_supervisor_that_lies_makes_no_end_and_reaches_no_other_sandbox() {
    let exited = |execution: &[u8]| frame(71, execution, &[0, 0]);
    let honest = |execution: &[u8]| {
        let output = frame(68, execution, b"hello");
        [started(execution), output, frame(71, execution, &[0, 0])].concat()
    };
    let lies: [(&str, Answer, Outcome); 7] = [
        ("silence", |_| Vec::new(), Outcome::TimedOut),
        ("no end", started, Outcome::TimedOut),
        ("half a frame", |execution| started(execution)[..6].to_vec(), Outcome::TimedOut),
        ("an end before the start", exited, Outcome::SandboxGone),
        ("the end of another one", |_| frame(71, &[0, 0, 1, 0], &[0, 0]), Outcome::SandboxGone),
        ("no frame", |_| b"<html>, and more than that".to_vec(), Outcome::SandboxGone),
        (
            "a gigabyte",
            |execution| frame(68, execution, b"x").replace_length(),
            Outcome::SandboxGone,
        ),
    ];
    let all = lies.map(|(name, answer, expected)| async move {
        assert_eq!(outcome(answer).await.0, expected, "{name}");
    });
    let ((), honest) = tokio::join!(
        async { futures_util::future::join_all(all).await.into_iter().collect() },
        outcome(honest)
    );
    assert_eq!(honest, (Outcome::Exited, 5));
}

trait ReplaceLength {
    /// The same frame, which announces a gigabyte.
    fn replace_length(self) -> Self;
}

impl ReplaceLength for Vec<u8> {
    fn replace_length(mut self) -> Self {
        self[..4].copy_from_slice(&(1_u32 << 30).to_be_bytes());
        self
    }
}
