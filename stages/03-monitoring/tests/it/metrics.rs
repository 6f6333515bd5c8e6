//! `/metrics`, as a scraper reads it.

use std::collections::BTreeMap;

use harness::Client;

/// Every series by its name and labels, after a look at the form of each line.
fn parse(text: &str) -> BTreeMap<String, String> {
    assert!(text.ends_with("\n# EOF\n"), "without it a scraper cannot detect a truncated response");
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
            let family =
                suffixes.iter().find_map(|suffix| families.get(bare.strip_suffix(suffix)?));
            let family = family.unwrap_or_else(|| panic!("{line} has no TYPE"));
            assert_eq!(bare.ends_with("_total"), family == "counter", "{line}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert_eq!(series.insert(name.to_owned(), value.to_owned()), None, "{line} twice");
        }
    }
    series
}

async fn scrape(client: &Client) -> BTreeMap<String, String> {
    let answer = client.get("/metrics").await;
    let media = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answer.header("content-type"), media);
    parse(&answer.text())
}

#[tokio::test]
async fn what_happened_can_be_scraped() {
    let server = harness::server!("--workers", "1");
    let client = server.client();
    let before = scrape(&client).await;
    assert_eq!(before["crucible_workers"], "1");
    assert_eq!(before["crucible_queue_capacity"], "100");
    for code in ["", "", "while True: print('x' * 1000)"] {
        client.run(code).await;
    }
    let running = client.submit_code("import time; time.sleep(60)").await;
    let waiting = client.submit_code("").await;
    let mut reader = client.events(&running).await;
    reader.until("evaluation.started").await;
    let series = scrape(&client).await;
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
        client.delete(&format!("/eval/{id}")).await;
    }
}
