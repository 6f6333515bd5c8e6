//! The engine and the queue verify themselves; what that does not cover is attacked here.

use std::sync::Arc;
use std::time::Duration;

use harness::{FakeEngine, Run, TEST_LIMITS, assert_verifies, eventually};
use shared::{
    Evaluation, Evaluations as _, EvaluationsError, Limits, NoopSink, Outcome, RequestContext,
    Status, Submission,
};
use stage_02_queue::{ArchiveLimits, InMemoryArchive, QueueOptions, SubprocessEngine, TaskQueue};
use uuid::Uuid;

async fn run(code: &str, limits: Limits) -> Run {
    harness::run(&SubprocessEngine::new().await.unwrap(), code, limits).await
}

#[tokio::test]
async fn the_engine_verifies_itself() {
    assert_verifies(&SubprocessEngine::new().await.unwrap()).await;
}

#[tokio::test]
async fn the_queue_verifies_itself() {
    let engine = Arc::new(SubprocessEngine::new().await.unwrap());
    let options = QueueOptions { workers: 2, capacity: 10, limits: TEST_LIMITS };
    assert_verifies(TaskQueue::start(engine, Arc::new(NoopSink), options).as_ref()).await;
}

#[tokio::test]
async fn the_whole_group_is_killed() {
    let code = "import os\nfor _ in range(3):\n  if os.fork() == 0: break\n\
                os.write(1, b'%d\\n' % os.getpid())\nwhile True: pass";
    let Run { verdict, stdout: output, .. } =
        run(code, Limits { timeout_seconds: 1.0, ..TEST_LIMITS }).await;
    assert_eq!(verdict.outcome, Outcome::WallTimeExceeded);
    let pids: Vec<_> = output.lines().collect();
    assert_eq!(pids.len(), 4);
    for pid in pids {
        let pid = pid.parse().unwrap();
        eventually("a process of the group ends", Duration::from_mins(1), || has_ended(pid)).await;
    }
}

/// A zombie has ended as well.
fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[tokio::test]
async fn limits_are_for_all_processes() {
    let burn = "import os\nfor _ in range(3):\n    if os.fork() == 0:\n        while True: pass\nos.wait()";
    // A daemon in a session of its own, whose parents are gone.
    let daemon = "import os, time\n\
        if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n    \
        os.write(1, b'%d' % os.getpid())\n    while True: pass\nos.wait(); time.sleep(60)";
    let limits = Limits { cpu_seconds: 1.0, timeout_seconds: 60.0, ..TEST_LIMITS };
    for code in [burn, daemon] {
        let Run { verdict, stdout, .. } = run(code, limits).await;
        assert_eq!(verdict.outcome, Outcome::CpuTimeExceeded, "{verdict:?}");
        let used = verdict.usage.unwrap().cpu_ms.unwrap();
        assert!(used >= 1000, "{used} ms of 1000");
        if let Ok(pid) = stdout.parse::<u32>() {
            eventually("the daemon ends", Duration::from_mins(1), || has_ended(pid)).await;
        }
    }
    let hoard = "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n        \
        x = bytearray(b'x') * (96 << 20); time.sleep(60)\nos.wait()";
    let Run { verdict, .. } = run(hoard, limits).await;
    assert_eq!(verdict.outcome, Outcome::MemoryExceeded, "{verdict:?}");
    assert_eq!(verdict.evidence.decided_by, "smaps_rollup");
}

#[tokio::test]
async fn endless_output_is_bounded() {
    let code = "import sys\nwhile True: sys.stdout.write('x' * 100000)";
    let Run { verdict, stdout: output, .. } = run(code, TEST_LIMITS).await;
    assert_eq!(verdict.outcome, Outcome::OutputExceeded);
    assert_eq!(output.len(), 1 << 20);
}

#[tokio::test]
async fn a_child_that_holds_the_output_does_not_hang_us() {
    let code = "import subprocess\n\
                print(subprocess.Popen(['sleep', '300'], start_new_session=True).pid)";
    let Run { verdict, stdout: output, .. } = run(code, TEST_LIMITS).await;
    let pid = output.trim().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, harness::Signal::KILL).unwrap();
    // Not ended by the time limit, and the child has been alive until now.
    assert_eq!((verdict.outcome, verdict.exit_code), (Outcome::Exited, Some(0)));
}

#[tokio::test]
async fn a_program_that_closes_its_output_is_still_supervised() {
    let code = "import os, time\nos.close(1); os.close(2); time.sleep(0.5); os._exit(3)";
    let Run { verdict, .. } = run(code, TEST_LIMITS).await;
    assert_eq!(verdict.exit_code, Some(3));
    assert!(verdict.usage.unwrap().wall_ms >= 500);
}

#[tokio::test]
async fn large_output_and_input_arrive_whole() {
    let engine = SubprocessEngine::new().await.unwrap();
    let mut submission = Submission::new("print(input()[::-1], end='')", TEST_LIMITS);
    submission.stdin = format!("{}b", "a".repeat(499_999)).into_bytes();
    let run = harness::run_submission(&engine, submission).await;
    assert_eq!(run.verdict.exit_code, Some(0), "{}", run.stderr);
    let output = run.stdout;
    assert!(output.len() == 500_000 && output.starts_with("ba"));
}

#[tokio::test]
async fn a_dropped_run_leaves_nothing() {
    let marker = Uuid::now_v7();
    let code = format!("import time; time.sleep(60) # {marker}");
    let cut = tokio::time::timeout(Duration::from_millis(500), run(&code, TEST_LIMITS)).await;
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

#[tokio::test]
async fn an_engine_that_panics_loses_one_evaluation_and_no_worker() {
    let options = QueueOptions { workers: 1, capacity: 10, limits: TEST_LIMITS };
    let queue = TaskQueue::start(
        Arc::new(FakeEngine::new().panics_on("boom")),
        Arc::new(NoopSink),
        options,
    );
    let mut outcomes = Vec::new();
    for code in ["boom", ""] {
        let id = submit(&queue, code).await;
        outcomes.push(end_of(&queue, id).await.outcome.unwrap());
    }
    assert_eq!(outcomes, [Outcome::WorkerLost, Outcome::Exited]);
}

#[tokio::test]
async fn a_lost_worker_is_replaced_as_often_as_the_submission_allows() {
    let options = QueueOptions { workers: 1, capacity: 10, limits: TEST_LIMITS };
    let engine = Arc::new(FakeEngine::new().panics_on("boom"));
    let queue = TaskQueue::start(engine.clone(), Arc::new(NoopSink), options);
    for (max_attempts, runs) in [(1, 1), (3, 4)] {
        let submission = Submission { max_attempts, ..Submission::new("boom", TEST_LIMITS) };
        let context = RequestContext::internal();
        let id = queue.submit(&context, submission, None).await.unwrap().id;
        let ended = end_of(&queue, id).await;
        assert_eq!((ended.outcome, ended.attempt), (Some(Outcome::WorkerLost), max_attempts));
        assert_eq!(engine.runs(), runs);
    }
    let stats = queue.queue_stats().await.unwrap();
    assert_eq!(stats.depth, 0);
    let id = submit(&queue, "").await;
    assert_eq!(end_of(&queue, id).await.outcome, Some(Outcome::Exited));
}

async fn submit(queue: &TaskQueue, code: &str) -> Uuid {
    let submission = Submission::new(code, TEST_LIMITS);
    queue.submit(&RequestContext::internal(), submission, None).await.unwrap().id
}

async fn end_of(queue: &TaskQueue, id: Uuid) -> Evaluation {
    queue.wait(&RequestContext::internal(), id, Duration::MAX).await.unwrap()
}

#[tokio::test]
async fn an_archive_stores_what_has_ended_and_the_list_has_both() {
    let context = RequestContext::internal();
    let archive = Arc::new(InMemoryArchive::new(ArchiveLimits { entries: 2, bytes: 1 << 20 }));
    let options = QueueOptions { workers: 1, capacity: 10, limits: TEST_LIMITS };
    let engine = Arc::new(SubprocessEngine::new().await.unwrap());
    let queue = TaskQueue::with_archive(engine, Arc::new(NoopSink), options, archive.clone());
    let mut ended = Vec::new();
    for code in ["print(1)", "print(2)", "print(3)"] {
        ended.push(submit(&queue, code).await);
    }
    let last = end_of(&queue, ended[2]).await;
    let first = queue.get(&context, ended[0]).await;
    assert!(matches!(first, Err(EvaluationsError::NotFound)), "two slots, and two ended after it");
    assert_eq!(Some(last), archive.find(ended[2]));
    let slow = submit(&queue, "import time; time.sleep(60)").await;
    let query = shared::Query { limit: 2, ..shared::Query::default() };
    let first = queue.list(&context, query.clone()).await.unwrap();
    let ids = |page: &shared::Page| page.items.iter().map(|one| one.id).collect::<Vec<_>>();
    assert_eq!((ids(&first), first.next_cursor), (vec![slow, ended[2]], Some(ended[2])));
    let rest = shared::Query { cursor: first.next_cursor, ..query };
    let last = queue.list(&context, rest).await.unwrap();
    assert_eq!((ids(&last), last.next_cursor), (vec![ended[1]], None));
    queue.cancel(&context, slow).await.unwrap();
    assert_eq!(end_of(&queue, slow).await.status, Status::Cancelled);
    let again = queue.cancel(&context, slow).await.unwrap_err();
    assert!(matches!(again, EvaluationsError::AlreadyEnded(Status::Cancelled)), "{again}");
}
