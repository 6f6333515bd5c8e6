//! The engine and the queue verify themselves; what that does not cover is attacked here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::{
    Engine, Evidence, Job, Limits, Outcome, OutputBuffer, SandboxInfo, Stream, Submission,
    TestCase, TestableComponent, Verdict,
};
use stage_02_queue::{
    Archive, ArchiveLimits, InMemoryArchive, QueueOptions, SubprocessEngine, TaskQueue,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const LIMITS: Limits = Limits {
    timeout_seconds: 10.0,
    cpu_seconds: 10.0,
    memory_bytes: 256 << 20,
    pids: 64,
    output_bytes: 1 << 20,
    disk_bytes: 1 << 20,
    open_files: 64,
};

async fn run(code: &str, limits: Limits) -> (Verdict, String) {
    let engine = SubprocessEngine::new().await.unwrap();
    let job = Job { id: Uuid::now_v7(), submission: Submission::new(code, limits) };
    let buffer = OutputBuffer::new(limits.output_bytes, Box::new(|_, _, _| {}));
    let verdict = engine.evaluate(&job, &buffer, CancellationToken::new()).await;
    (verdict, buffer.output(Stream::Stdout).text)
}

async fn verify(component: &dyn TestableComponent) {
    let mut failed = Vec::new();
    let passed = shared::component::verify(component, |check| {
        if !check.passed {
            failed.push(check);
        }
    });
    assert!(passed.await, "{failed:#?}");
}

#[tokio::test]
async fn the_engine_verifies_itself() {
    verify(&SubprocessEngine::new().await.unwrap()).await;
}

#[tokio::test]
async fn the_queue_verifies_itself() {
    let engine = Arc::new(SubprocessEngine::new().await.unwrap());
    let options = QueueOptions { workers: 2, capacity: 10, limits: LIMITS };
    verify(TaskQueue::start(engine, Arc::new(()), options).as_ref()).await;
}

#[tokio::test]
async fn the_whole_group_is_killed() {
    let code = "import os\nfor _ in range(3):\n  if os.fork() == 0: break\n\
                os.write(1, b'%d\\n' % os.getpid())\nwhile True: pass";
    let (verdict, output) = run(code, Limits { timeout_seconds: 1.0, ..LIMITS }).await;
    assert_eq!(verdict.outcome, Outcome::WallTimeExceeded);
    let pids: Vec<_> = output.lines().collect();
    assert_eq!(pids.len(), 4);
    for pid in pids {
        let started = Instant::now();
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") {
                break;
            }
            assert!(started.elapsed() < Duration::from_secs(5), "{pid} goes on: {stat}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn endless_output_is_bounded() {
    let code = "import sys\nwhile True: sys.stdout.write('x' * 100000)";
    let (verdict, output) = run(code, LIMITS).await;
    assert_eq!(verdict.outcome, Outcome::OutputExceeded);
    assert_eq!(output.len(), 1 << 20);
}

#[tokio::test]
async fn a_child_that_holds_the_output_does_not_hang_us() {
    let code = "import subprocess\n\
                print(subprocess.Popen(['sleep', '30'], start_new_session=True).pid)";
    let started = Instant::now();
    let (verdict, output) = run(code, LIMITS).await;
    let pid = output.trim().parse().unwrap();
    let _gone = rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    );
    assert_eq!((verdict.outcome, verdict.exit_code), (Outcome::Exited, Some(0)));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_program_that_closes_its_output_is_still_watched() {
    let code = "import os, time\nos.close(1); os.close(2); time.sleep(0.5); os._exit(3)";
    let (verdict, _) = run(code, LIMITS).await;
    assert_eq!(verdict.exit_code, Some(3));
    assert!(verdict.usage.unwrap().wall_ms >= 500);
}

#[tokio::test]
async fn large_output_and_input_arrive_whole() {
    let engine = SubprocessEngine::new().await.unwrap();
    let mut submission = Submission::new("print(input()[::-1], end='')", LIMITS);
    submission.stdin = format!("{}b", "a".repeat(499_999)).into_bytes();
    let job = Job { id: Uuid::now_v7(), submission };
    let buffer = OutputBuffer::new(LIMITS.output_bytes, Box::new(|_, _, _| {}));
    let verdict = engine.evaluate(&job, &buffer, CancellationToken::new()).await;
    assert_eq!(verdict.exit_code, Some(0), "{}", buffer.output(Stream::Stderr).text);
    let output = buffer.output(Stream::Stdout).text;
    assert!(output.len() == 500_000 && output.starts_with("ba"));
}

#[tokio::test]
async fn a_dropped_run_leaves_nothing() {
    let marker = Uuid::now_v7();
    let code = format!("import time; time.sleep(60) # {marker}");
    let cut = tokio::time::timeout(Duration::from_millis(500), run(&code, LIMITS)).await;
    assert!(cut.is_err());
    let scratch = std::env::temp_dir();
    let is_ours = |name: &str| name.starts_with("crucible-subprocess-");
    for entry in std::fs::read_dir(scratch).unwrap().flatten() {
        if is_ours(&entry.file_name().to_string_lossy()) {
            for program in std::fs::read_dir(entry.path()).into_iter().flatten().flatten() {
                let main = std::fs::read_to_string(program.path().join("main.py"));
                assert!(!main.unwrap_or_default().contains(&marker.to_string()));
            }
        }
    }
}

/// An engine that breaks the contract: the queue must survive it.
struct Broken;

impl TestableComponent for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }
    fn self_test(&self) -> shared::BoxFuture<'_, shared::component::CheckResult> {
        Box::pin(async { Err("broken".to_owned()) })
    }
    fn test_suite(&self) -> Vec<TestCase<'_>> {
        Vec::new()
    }
}

impl Engine for Broken {
    fn sandbox(&self) -> SandboxInfo {
        SandboxInfo::default()
    }
    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        _capture: &'a OutputBuffer,
        _cancel: CancellationToken,
    ) -> shared::BoxFuture<'a, Verdict> {
        assert!(job.submission.code.is_empty(), "asked to break");
        Box::pin(async { Verdict::new(Outcome::Exited, Evidence::new("nothing")) })
    }
}

#[tokio::test]
async fn an_engine_that_panics_loses_one_evaluation_and_no_worker() {
    use shared::Evaluations as _;
    let options = QueueOptions { workers: 1, capacity: 10, limits: LIMITS };
    let queue = TaskQueue::start(Arc::new(Broken), Arc::new(()), options);
    let mut outcomes = Vec::new();
    for code in ["break", ""] {
        let id = queue.submit(Submission::new(code, LIMITS), None).unwrap().id;
        queue.finished(id).unwrap().cancelled().await;
        outcomes.push(queue.get(id).unwrap().outcome.unwrap());
    }
    assert_eq!(outcomes, [Outcome::WorkerLost, Outcome::Exited]);
}

#[tokio::test]
async fn an_archive_takes_over_what_has_ended_and_the_list_has_both() {
    use shared::Evaluations as _;
    let archive = Arc::new(InMemoryArchive::new(ArchiveLimits { entries: 2, bytes: 1 << 20 }));
    let options = QueueOptions { workers: 1, capacity: 10, limits: LIMITS };
    let engine = Arc::new(SubprocessEngine::new().await.unwrap());
    let queue = TaskQueue::with_archive(engine, Arc::new(()), options, archive.clone());
    let submit = |code: &str| queue.submit(Submission::new(code, LIMITS), None).unwrap().id;
    let ended = ["print(1)", "print(2)", "print(3)"].map(submit);
    for id in ended {
        queue.finished(id).unwrap().cancelled().await;
    }
    assert_eq!(queue.get(ended[0]), None, "two places, and two ended after it");
    assert_eq!(queue.get(ended[2]), archive.get(ended[2]));
    assert!(queue.finished(ended[2]).unwrap().is_cancelled());
    let slow = submit("import time; time.sleep(60)");
    let query = shared::Query { limit: 2, ..shared::Query::default() };
    let first = queue.list(query.clone());
    let ids = |page: &shared::Page| page.items.iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!((ids(&first), first.next_cursor), (vec![slow, ended[2]], Some(ended[2])));
    let last = queue.list(shared::Query { cursor: first.next_cursor, ..query });
    assert_eq!((ids(&last), last.next_cursor), (vec![ended[1]], None));
    assert!(queue.cancel(slow).is_ok());
    queue.finished(slow).unwrap().cancelled().await;
    let again = queue.cancel(slow).unwrap_err();
    assert_eq!(again, shared::NotCancelled::Ended(shared::Status::Cancelled));
}
