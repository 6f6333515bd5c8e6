//! The memory that a monitor takes, measured on the process. Alone in its file, so alone in its
//! process: nothing else moves the number.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in a test, a panic is the report of a failure"
)]

use std::hint::black_box;

use serde_json::json;
use shared::{Event, EventType};
use stage_03_monitoring::{AdvancedMonitor, InMemoryMonitor, MonitorOptions, MonitoringService};
use uuid::Uuid;

/// Resident memory of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// Emits evaluations as the queue does, each with 16 KiB of output in 8 chunks.
fn evaluate(monitor: &dyn MonitoringService, count: usize) {
    let text = "x".repeat(2048);
    for _ in 0..count {
        let id = Uuid::now_v7();
        let emit = |kind, data| monitor.emit(Event::now(kind, Some(id), data));
        emit(EventType::EvaluationQueued, json!({ "depth": 1 }));
        let sandbox = json!({ "engine": "subprocess" });
        let started = json!({ "attempt": 1, "queue_wait_ms": 0, "sandbox": sandbox });
        emit(EventType::EvaluationStarted, started);
        for chunk in 0..8 {
            let offset = chunk * text.len();
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

#[test]
fn memory_stays_flat() {
    let begin = resident();
    let monitor = AdvancedMonitor::new(InMemoryMonitor::new(MonitorOptions::default()));
    evaluate(&monitor, 6_000);
    let full = resident();
    evaluate(&monitor, 10_000);
    let later = resident();
    black_box(&monitor);
    let mib = |bytes: usize| bytes >> 20;
    println!("{} MiB, full {} MiB, later {} MiB", mib(begin), mib(full), mib(later));
    // The bounds are 64 MiB of evaluations and 8 MiB of feed.
    assert!(full - begin > 48 << 20, "{} MiB: the history was never full", mib(full - begin));
    assert!(full - begin < 90 << 20, "{} MiB: the sizes are estimated too low", mib(full - begin));
    assert!(later < full + (4 << 20), "it grew from {} to {} MiB", mib(full), mib(later));
}
