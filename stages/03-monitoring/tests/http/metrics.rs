//! `/metrics`, as a scraper reads it.

use std::collections::BTreeMap;

use crate::server::Server;

/// Every series by its name and labels, after a look at the form of each line.
fn parse(text: &str) -> BTreeMap<String, String> {
    assert!(text.ends_with("\n# EOF\n"), "a scraper could not tell it from a cut-off answer");
    let mut families = BTreeMap::new();
    let mut series = BTreeMap::new();
    for line in text.lines() {
        if let Some(description) = line.strip_prefix("# TYPE ") {
            let (name, kind) = description.split_once(' ').unwrap();
            assert!(name.starts_with("crucible_"), "{line}");
            assert_eq!(families.insert(name.to_owned(), kind.to_owned()), None, "{line} twice");
        } else if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(help.ends_with('.') && help.split(' ').count() > 1, "{line}");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let bare = name.split('{').next().unwrap();
            let suffixes = ["", "_total", "_bucket", "_sum", "_count"];
            let family = suffixes.iter().find_map(|it| families.get(bare.strip_suffix(it)?));
            let family = family.unwrap_or_else(|| panic!("{line} has no TYPE"));
            assert_eq!(bare.ends_with("_total"), family == "counter", "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert_eq!(series.insert(name.to_owned(), value.to_owned()), None, "{line} twice");
        }
    }
    series
}

async fn scrape(server: &Server) -> BTreeMap<String, String> {
    let answer = server.get("/metrics").send().await.unwrap();
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.headers()["content-type"], media);
    parse(&answer.text().await.unwrap())
}

#[tokio::test]
async fn what_happened_can_be_scraped() {
    let server = Server::start(&["--workers", "1"]).await;
    let before = scrape(&server).await;
    assert_eq!(before["crucible_workers"], "1");
    assert_eq!(before["crucible_queue_capacity"], "100");
    for code in ["", "", "while True: print('x' * 1000)"] {
        server.submit_and_wait(code).await;
    }
    let running = server.submit("import time; time.sleep(60)").await;
    let waiting = server.submit("").await;
    let mut reader = server.follow(&running, None).await;
    reader.until("evaluation.started").await;
    let series = scrape(&server).await;
    for (name, expected) in [
        (r#"crucible_evaluations_total{outcome="exited",engine="subprocess"}"#, "2"),
        (r#"crucible_evaluations_total{outcome="output_exceeded",engine="subprocess"}"#, "1"),
        (r#"crucible_limits_exceeded_total{outcome="output_exceeded"}"#, "1"),
        (r#"crucible_events_total{type="evaluation.queued"}"#, "5"),
        (r#"crucible_events_total{type="evaluation.started"}"#, "4"),
        ("crucible_queue_wait_seconds_count", "4"),
        ("crucible_queue_depth", "1"),
        ("crucible_workers_busy", "1"),
        ("crucible_evaluations_running", "1"),
        ("crucible_event_streams_open", "1"),
    ] {
        assert_eq!(series.get(name).map(String::as_str), Some(expected), "{name} in {series:#?}");
    }
    let (labels, name) =
        (r#"outcome="exited",engine="subprocess"}"#, "crucible_evaluation_duration_seconds");
    assert_eq!(series[&format!("{name}_count{{{labels}")], "2");
    assert_eq!(series[&format!("{name}_bucket{{le=\"+Inf\",{labels}")], "2");
    let sum: f64 = series[&format!("{name}_sum{{{labels}")].parse().unwrap();
    assert!((0.001..60.0).contains(&sum), "{sum} seconds for two empty programs");
    for id in [waiting, running] {
        server.delete(&format!("/eval/{id}")).send().await.unwrap();
    }
}
