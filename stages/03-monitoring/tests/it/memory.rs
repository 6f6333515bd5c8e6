//! The memory that a monitor takes, measured on a process that runs this test and no other.

use std::hint::black_box;
use std::process::Command;

use serde_json::json;
use shared::{Event, EventType};
use stage_03_monitoring::{
    AdvancedMonitor, EventLogLimits, InMemoryMonitor, MonitorOptions, MonitoringService,
};
use uuid::Uuid;

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Emits evaluations as the queue does, each with its output in 8 chunks of `chunk` bytes.
fn evaluate(monitor: &dyn MonitoringService, count: usize, chunk: usize) {
    let text = "x".repeat(chunk);
    for _ in 0..count {
        let id = Uuid::now_v7();
        let emit = |kind, data| monitor.emit(Event::now(kind, Some(id), data));
        emit(EventType::EvaluationQueued, json!({ "depth": 1 }));
        let sandbox = json!({ "engine": "subprocess" });
        let started = json!({ "attempt": 1, "queue_wait_ms": 0, "sandbox": sandbox });
        emit(EventType::EvaluationStarted, started);
        for number in 0..8 {
            let offset = number * text.len();
            let data =
                json!({ "stream": "stdout", "offset": offset, "text": text, "encoding": "utf8" });
            emit(EventType::EvaluationProgress, data);
        }
        let usage = json!({ "wall_ms": 12, "cpu_ms": 9 });
        let evidence = json!({ "decided_by": "exit_status" });
        let data = json!({ "outcome": "exited", "exit_code": 0, "signal": null, "usage": usage,
                           "evidence": evidence, "error": null, "engine": "subprocess" });
        emit(EventType::EvaluationCompleted, data);
    }
}

/// Set in the process that measures.
const MEASURE_ENV: &str = "CRUCIBLE_TEST_MEASURE_MEMORY";

#[test]
fn memory_stays_flat() {
    if std::env::var_os(MEASURE_ENV).is_some() {
        return measure();
    }
    // With `cargo test`, other tests run in this process.
    let mut alone = Command::new(std::env::current_exe().unwrap());
    alone.args(["--exact", "memory::memory_stays_flat", "--nocapture"]).env(MEASURE_ENV, "1");
    let output = alone.output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("1 passed"), "{stdout}");
}

fn measure() {
    // A quarter of the usual room, which is filled in a quarter of the time.
    let log_limits =
        EventLogLimits { total_bytes: 16 << 20, feed_bytes: 2 << 20, ..EventLogLimits::default() };
    let options = MonitorOptions { log_limits, ..MonitorOptions::default() };
    let begin = resident();
    let monitor = AdvancedMonitor::new(InMemoryMonitor::new(options));
    let mut seen = Vec::new();
    // Small ones, of which the number decides what is kept, then large ones, of which the bytes do.
    for (count, chunk) in [(1_000, 8), (3_000, 8), (3_000, 8), (150, 16 << 10), (100, 16 << 10)] {
        evaluate(&monitor, count, chunk);
        seen.push(resident().saturating_sub(begin) >> 20);
    }
    black_box(&monitor);
    println!("grown by so many MiB: {seen:?}");
    assert!(seen[0] < 10, "a thousand small evaluations take {} MiB", seen[0]);
    assert!(seen[2] <= seen[1] + 2, "it grows with each evaluation: {seen:?}");
    assert!(seen[3] > 12, "the history was never full: {seen:?}");
    assert!(seen[4] < 28, "18 MiB are counted, and much more is taken: {seen:?}");
    assert!(seen[4] <= seen[3] + 4, "it grows with each evaluation: {seen:?}");
}
