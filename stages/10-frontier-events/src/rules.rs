//! Rules: a file of the operator that turns events into webhooks and lines of the log.
//!
//! ```toml
//! [[rule]]
//! name = "attacks"                          # the end of the id of its webhook
//! events = ["security.violation", "resource.*"]
//! webhook = "https://example.org/alarm"
//! secret_file = "/etc/crucible/alarm.secret"
//!
//! [[rule]]
//! name = "failures"
//! events = ["evaluation.failed"]
//! log = "warn"
//! ```

mod routes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::Hint;
use stage_03_monitoring::{SequencedEvent, SubscribeError};

use crate::bugs::{self, has_bug};
use crate::bus::{BusItem, EventBus, Lag, Subscribe, Topic};
use crate::webhooks::{FIXED_PREFIX, NetworkPolicy, Refused, Secret, SecretError, Webhook};

pub(crate) use routes::rule_routes;
pub(crate) use suite::RulesTest;

/// What the file has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(default)]
    rule: Vec<RawRule>,
}

/// One rule of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    name: String,
    events: Vec<String>,
    webhook: Option<String>,
    secret_file: Option<PathBuf>,
    log: Option<Level>,
}

/// The level of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Info,
    Warn,
    Error,
}

/// The rules of a file.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// Webhooks that no client has made.
    pub webhooks: Vec<Webhook>,
    lines: Vec<Line>,
    /// All of them, in the order of the file.
    summaries: Vec<Summary>,
}

/// A rule, for an administrator.
#[derive(Debug, Clone, Serialize)]
struct Summary {
    name: String,
    events: Vec<String>,
    /// The id of its webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<Level>,
}

/// A rule that logs.
#[derive(Debug, Clone)]
struct Line {
    name: String,
    topics: Vec<Topic>,
    level: Level,
}

/// Why a file has no valid rules.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or has other fields.
    #[error("the rules in {} are not valid", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where, and why.
        source: Box<toml::de::Error>,
    },
    /// A name is the id of a webhook.
    #[error("rule {0:?}: the name has 1 to 32 lower-case letters, digits and hyphens")]
    Name(String),
    /// Two rules have the same name.
    #[error("rule {0:?}: another rule has this name")]
    Twice(String),
    /// A rule that matches nothing.
    #[error("rule {rule:?}: give events, at least one")]
    NoEvents {
        /// The rule.
        rule: String,
    },
    /// An event that does not exist.
    #[error("rule {rule:?}")]
    Event {
        /// The rule.
        rule: String,
        /// Why.
        source: crate::bus::TopicError,
    },
    /// A URL that is not allowed.
    #[error("rule {rule:?}: the webhook {url:?} is refused")]
    Url {
        /// The rule.
        rule: String,
        /// The URL.
        url: String,
        /// Why.
        source: Refused,
    },
    /// Its file has no secret.
    #[error("rule {rule:?}: {} has no secret", path.display())]
    Secret {
        /// The rule.
        rule: String,
        /// The file.
        path: PathBuf,
        /// Why.
        source: SecretError,
    },
    /// It does nothing, or two things.
    #[error("rule {0:?}: give either webhook and secret_file, or log")]
    Action(String),
}

impl Rules {
    // ANCHOR: read
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, by the name of its rule.
    pub fn read(path: &Path, policy: &NetworkPolicy) -> Result<Self, RuleError> {
        Self::parse(&text_of(path)?, path, policy)
    }

    /// The rules in a text, which is that of the file `path`.
    fn parse(text: &str, path: &Path, policy: &NetworkPolicy) -> Result<Self, RuleError> {
        let file: RuleFile = toml::from_str(text).map_err(|error| RuleError::Malformed {
            path: path.to_owned(),
            source: Box::new(error),
        })?;
        let (mut rules, mut names) = (Self::default(), Vec::new());
        for rule in file.rule {
            if names.contains(&rule.name) {
                return Err(RuleError::Twice(rule.name));
            }
            names.push(rule.name.clone());
            rules.add(rule, policy)?;
        }
        Ok(rules)
    }
    // ANCHOR_END: read

    fn add(&mut self, rule: RawRule, policy: &NetworkPolicy) -> Result<(), RuleError> {
        let RawRule { name, events, webhook, secret_file, log } = rule;
        if !is_name(&name) {
            return Err(RuleError::Name(name));
        }
        if events.is_empty() {
            return Err(RuleError::NoEvents { rule: name });
        }
        let topics = events.iter().map(|event| event.parse::<Topic>()).collect::<Result<_, _>>();
        let topics = topics.map_err(|source| RuleError::Event { rule: name.clone(), source })?;
        let webhook_id = webhook.is_some().then(|| fixed_id(&name));
        self.summaries.push(Summary { name: name.clone(), events, webhook: webhook_id, log });
        match (webhook, secret_file, log) {
            (Some(url), Some(path), None) => {
                if let Err(source) = policy.check(&url) {
                    return Err(RuleError::Url { rule: name, url, source });
                }
                let secret = text_of(&path)?.trim().parse::<Secret>();
                let secret = secret.map_err(|source| {
                    let (rule, path) = (name.clone(), path.clone());
                    RuleError::Secret { rule, path, source }
                })?;
                self.webhooks.push(fixed(&name, url, topics, secret));
            }
            (None, None, Some(level)) => self.lines.push(Line { name, topics, level }),
            _ => return Err(RuleError::Action(name)),
        }
        Ok(())
    }

    /// Logs what the rules say, from now on.
    ///
    /// # Errors
    ///
    /// When the event log cannot be read.
    pub async fn attach(&self, bus: &Arc<EventBus>) -> Result<(), SubscribeError> {
        if self.lines.is_empty() || has_bug(bugs::WITHOUT_RULES) {
            return Ok(());
        }
        let lines = self.lines.clone();
        // It reads the log, which has what a slow line left out.
        let how = Subscribe { lag: Lag::Wait, ..Subscribe::to("rules", Topic::Everything) };
        let handler = move |item| {
            if let BusItem::Event(event) = item {
                for line in &lines {
                    line.write(&event);
                }
            }
        };
        bus.attach_blocking(how, handler).await
    }
}

impl Line {
    /// Attack: a program puts escape sequences or line breaks into what is logged → the data of an event
    /// is JSON, and the log escapes it once more; output of programs is never logged.
    /// Test: `a_rule_logs_no_output`.
    fn write(&self, event: &SequencedEvent) {
        if !self.matches(event) {
            return;
        }
        let stored = &event.event;
        let (rule, number, kind) = (&self.name, event.sequence, stored.kind.as_str());
        let evaluation = stored.subject.map(|id| id.to_string()).unwrap_or_default();
        let is_output = stored.kind == shared::EventType::EvaluationProgress;
        let data = if is_output { "" } else { stored.data.get() };
        match self.level {
            Level::Info => tracing::info!(rule, number, kind, evaluation, data, "event"),
            Level::Warn => tracing::warn!(rule, number, kind, evaluation, data, "event"),
            Level::Error => tracing::error!(rule, number, kind, evaluation, data, "event"),
        }
    }
}

impl Line {
    fn matches(&self, event: &SequencedEvent) -> bool {
        self.topics.iter().any(|topic| topic.matches(event))
    }
}

fn fixed_id(name: &str) -> String {
    format!("{FIXED_PREFIX}{name}")
}

fn fixed(name: &str, url: String, topics: Vec<Topic>, secret: Secret) -> Webhook {
    Webhook {
        id: fixed_id(name),
        owner: None,
        sees_all: true,
        url,
        topics,
        secret: Some(secret),
        old_secret: None,
        created_at: Timestamp::now(),
    }
}

fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=32).contains(&name.len()) && name.bytes().all(is_plain)
}

fn text_of(path: &Path) -> Result<String, RuleError> {
    std::fs::read_to_string(path)
        .map_err(|source| RuleError::Unreadable { path: path.to_owned(), source })
}

impl Hint for RuleError {
    fn hint(&self) -> Option<&'static str> {
        Some("the rules are those of --rules; the chapter on stage 10 has an example")
    }
}

mod suite;
#[cfg(test)]
mod tests;
