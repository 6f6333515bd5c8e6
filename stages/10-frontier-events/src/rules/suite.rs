//! How the rules verify themselves.

use std::path::Path;

use serde_json::json;
use shared::component::{CheckResult, SelfTestResult};
use shared::{BoxFuture, Event, EventType, TestCase, TestableComponent};
use stage_03_monitoring::SequencedEvent;

use super::{RuleError, Rules};
use crate::webhooks::NetworkPolicy;

/// The name of the file that a check has, and that is not there.
const FILE: &str = "rules.toml";

/// The component `rules`: those of this server.
pub(crate) struct RulesTest(pub(crate) Rules);

impl TestableComponent for RulesTest {
    fn name(&self) -> &'static str {
        "rules"
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        let (webhooks, lines) = (self.0.webhooks.len(), self.0.lines.len());
        Box::pin(async move { Ok(format!("{webhooks} webhooks, {lines} lines of the log")) })
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        vec![
            TestCase::new("a rule matches its events and no others", async { matches() }),
            TestCase::new("a file with an error is refused", async { refuses() }),
        ]
    }
}

fn parse(text: &str) -> Result<Rules, RuleError> {
    Rules::parse(text, Path::new(FILE), &NetworkPolicy::default())
}

fn matches() -> CheckResult {
    let text = "[[rule]]\nname = \"ends\"\nevents = [\"resource.*\", \"evaluation.failed\"]\nlog = \"warn\"";
    let rules = parse(text).map_err(|error| error.to_string())?;
    let [line] = &rules.lines[..] else { return Err(format!("{rules:?}")) };
    for (kind, expected) in [
        (EventType::ResourceLimitExceeded, true),
        (EventType::EvaluationFailed, true),
        (EventType::EvaluationCompleted, false),
        (EventType::SecurityViolation, false),
    ] {
        let event = Event::now(kind.clone(), None, json!({}));
        let event = SequencedEvent { sequence: 1, event: event.into() };
        if line.matches(&event) != expected {
            return Err(format!("{kind}: {}", !expected));
        }
    }
    Ok("by type and by prefix".to_owned())
}

fn refuses() -> CheckResult {
    for (text, why) in [
        ("name = \"x\"", "no TOML of rules"),
        ("[[rule]]\nname = \"x\"\nevents = [\"evaluation.ended\"]\nlog = \"warn\"", "no event"),
        ("[[rule]]\nname = \"x\"\nevents = [\"*\"]", "no action"),
        ("[[rule]]\nname = \"X\"\nevents = [\"*\"]\nlog = \"info\"", "no name"),
    ] {
        if parse(text).is_ok() {
            return Err(format!("rules with an error were accepted: {why}"));
        }
    }
    Ok("four files were refused".to_owned())
}
