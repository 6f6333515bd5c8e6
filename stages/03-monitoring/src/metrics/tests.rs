//! What a scraper reads after which events.

use serde_json::{Value, json};

use super::*;

const IDLE: QueueStats =
    QueueStats { depth: 0, capacity: 10, workers: 2, workers_busy: 0, oldest_wait_ms: 1500 };

fn emit(metrics: &Metrics, kind: EventType, id: Uuid, millis: i64, data: Value) {
    let time = Timestamp::from_millisecond(1_700_000_000_000 + millis).unwrap();
    metrics.count(&Event { kind, subject: Some(id), time, data });
}

fn text(metrics: &Metrics) -> String {
    metrics.text(IDLE, LogStats::default(), 0)
}

/// The value of one series.
fn value<'a>(text: &'a str, series: &str) -> &'a str {
    let found = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{series} is not in\n{text}"))
}

#[test]
fn an_evaluation_is_counted_from_its_events() {
    let (metrics, id) = (Metrics::default(), Uuid::now_v7());
    emit(&metrics, EventType::EvaluationQueued, id, 0, json!({}));
    assert_eq!(value(&text(&metrics), "crucible_evaluations_running"), "0");
    emit(&metrics, EventType::EvaluationStarted, id, 40, json!({}));
    assert_eq!(value(&text(&metrics), "crucible_evaluations_running"), "1");
    let data = json!({ "outcome": "memory_exceeded", "engine": "docker" });
    emit(&metrics, EventType::ResourceLimitExceeded, id, 290, data.clone());
    emit(&metrics, EventType::EvaluationFailed, id, 290, data);
    let text = text(&metrics);
    assert_eq!(value(&text, "crucible_evaluations_running"), "0");
    let labels = r#"outcome="memory_exceeded",engine="docker""#;
    assert_eq!(value(&text, &format!("crucible_evaluations_total{{{labels}}}")), "1");
    let duration = "crucible_evaluation_duration_seconds";
    assert_eq!(value(&text, &format!("{duration}_sum{{{labels}}}")), "0.25");
    assert_eq!(value(&text, &format!(r#"{duration}_bucket{{le="0.2",{labels}}}"#)), "0");
    assert_eq!(value(&text, &format!(r#"{duration}_bucket{{le="0.3",{labels}}}"#)), "1");
    assert_eq!(value(&text, "crucible_queue_wait_seconds_sum"), "0.04");
    let limits = r#"crucible_limits_exceeded_total{outcome="memory_exceeded"}"#;
    assert_eq!(value(&text, limits), "1");
}

#[test]
fn what_was_cancelled_while_it_waited_has_no_duration() {
    let (metrics, id) = (Metrics::default(), Uuid::now_v7());
    emit(&metrics, EventType::EvaluationQueued, id, 0, json!({}));
    let data = json!({ "outcome": "cancelled", "engine": "docker" });
    emit(&metrics, EventType::EvaluationCancelled, id, 10, data);
    let text = text(&metrics);
    let labels = r#"{outcome="cancelled",engine="docker"}"#;
    assert_eq!(value(&text, &format!("crucible_evaluations_total{labels}")), "1");
    assert!(!text.contains("duration_seconds_sum"), "{text}");
    assert_eq!(value(&text, "crucible_queue_wait_seconds_count"), "0");
}

#[test]
fn no_submitter_can_make_a_series() {
    let metrics = Metrics::default();
    for number in 0..100 {
        let id = Uuid::now_v7();
        let data = json!({ "outcome": format!("made up {number}"), "engine": "docker" });
        emit(&metrics, EventType::EvaluationCompleted, id, 0, data);
    }
    let text = text(&metrics);
    assert!(!text.contains("made up"), "{text}");
    let completed = r#"crucible_events_total{type="evaluation.completed"}"#;
    assert_eq!(value(&text, completed), "100");
}

#[test]
fn nothing_stays_behind_of_what_has_ended() {
    let metrics = Metrics::default();
    for _ in 0..10_000 {
        let id = Uuid::now_v7();
        emit(&metrics, EventType::EvaluationQueued, id, 0, json!({}));
        emit(&metrics, EventType::EvaluationStarted, id, 0, json!({}));
        emit(&metrics, EventType::EvaluationCompleted, id, 0, json!({ "outcome": "exited" }));
    }
    assert!(metrics.in_flight().is_empty());
}

#[test]
fn the_queue_and_the_history_are_read_when_asked() {
    let metrics = Metrics::default();
    let queue = QueueStats { depth: 7, workers_busy: 2, ..IDLE };
    let held = LogStats { evaluations: 1, events: 5, bytes: 900, evicted: 3, gaps: 2 };
    let text = metrics.text(queue, held, 4);
    for (series, expected) in [
        ("crucible_queue_depth", "7"),
        ("crucible_queue_capacity", "10"),
        ("crucible_queue_oldest_wait_seconds", "1.5"),
        ("crucible_workers", "2"),
        ("crucible_workers_busy", "2"),
        ("crucible_event_streams_open", "4"),
        ("crucible_events_kept", "5"),
        ("crucible_events_kept_bytes", "900"),
        ("crucible_events_evicted_total", "3"),
        ("crucible_event_stream_gaps_total", "2"),
    ] {
        assert_eq!(value(&text, series), expected, "{series}");
    }
    assert!(text.ends_with("# EOF\n"));
}
