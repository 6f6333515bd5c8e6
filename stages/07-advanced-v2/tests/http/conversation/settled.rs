//! An answer without what is new in every run, what a host adds to frame a body, and what the engine
//! says about itself. The rest has to be the same, whoever hosts the API.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value, json};

use super::Answered;

/// Headers that a host writes for the connection and not for the API.
const OF_THE_HOST: [&str; 5] =
    ["connection", "content-length", "date", "keep-alive", "transfer-encoding"];

static ID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").unwrap()
});
/// The number of an event begins with the time of the server's start.
static NUMBER: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\b\d{13,}\b").unwrap());

/// Gives each id a name, in the order in which they appear.
#[derive(Default)]
pub(super) struct Names(Vec<String>);

impl Names {
    pub(super) fn settle(&mut self, text: &str) -> String {
        let text = ID.replace_all(text, |found: &Captures| {
            let id = &found[0];
            let at = self.0.iter().position(|known| known == id).unwrap_or_else(|| {
                self.0.push(id.to_owned());
                self.0.len() - 1
            });
            format!("<id {}>", at + 1)
        });
        NUMBER.replace_all(&text, "<number>").into_owned()
    }
}

/// An answer as text.
pub(super) fn answer(answered: &Answered) -> String {
    let mut headers: Vec<String> = answered
        .headers
        .iter()
        .filter(|(name, _)| !OF_THE_HOST.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
        .collect();
    headers.sort();
    let media = answered.headers.get("content-type").map_or("", |it| it.to_str().unwrap());
    let body = String::from_utf8(answered.body.clone()).unwrap();
    let body = match media.split(';').next().unwrap() {
        _ if body.is_empty() => String::new(),
        "application/json" | "application/problem+json" => document(&body),
        "text/event-stream" => body.lines().filter_map(event_line).collect(),
        // What was counted depends on the engine; what is counted does not.
        "application/openmetrics-text" => keep(&body, |line| line.starts_with("# TYPE ")),
        _ => keep(&body, |line| !line.trim_start().starts_with("<p>runs ")),
    };
    format!("{}\n{}{body}", answered.status.as_u16(), headers.concat())
}

fn keep(text: &str, wanted: impl Fn(&str) -> bool) -> String {
    text.split_inclusive('\n').filter(|line| wanted(line)).collect()
}

/// Without the comments that keep a connection open: how many there are depends on the time.
fn event_line(line: &str) -> Option<String> {
    match line.strip_prefix("data: ") {
        Some(data) => Some(format!("data: {}", document(data))),
        None if line.is_empty() || line.starts_with(':') => None,
        None => Some(format!("{line}\n")),
    }
}

fn document(text: &str) -> String {
    let mut value: Value = serde_json::from_str(text).unwrap();
    settle(&mut value);
    format!("{value}\n")
}

fn settle(value: &mut Value) {
    match value {
        Value::Object(members) => {
            // An engine that ended a program before it began has nothing to say here.
            members.shift_remove("usage");
            for (name, member) in members.iter_mut() {
                settle_member(name, member);
            }
            *members = renamed(std::mem::take(members));
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        _ => {}
    }
}

fn settle_member(name: &str, member: &mut Value) {
    let is_new = name.ends_with("_at") || name.ends_with("_ms") || name.ends_with("_seconds");
    match name {
        _ if member.is_null() => {}
        "timeout_seconds" | "cpu_seconds" => {}
        "time" | "millis" | "bytes" | "tested_at" => *member = json!("<new>"),
        _ if is_new => *member = json!("<new>"),
        "sandbox" | "engine" | "isolation" => *member = json!("<of the engine>"),
        "evidence" => *member = json!({ "decided_by": member["decided_by"] }),
        // What a check saw; that it passed stands beside it.
        "checks" => {
            for check in member.as_array_mut().unwrap() {
                check["detail"] = json!("<seen>");
                if check["component"].as_str().is_some_and(|name| name.ends_with(" engine")) {
                    check["component"] = json!("<engine>");
                }
                settle(check);
            }
        }
        _ => settle(member),
    }
}

/// The component that is called by the engine's name.
fn renamed(members: Map<String, Value>) -> Map<String, Value> {
    let rename =
        |name: String| if name.ends_with(" engine") { "<engine>".to_owned() } else { name };
    let mut named: Vec<_> = members.into_iter().map(|(name, it)| (rename(name), it)).collect();
    if named.iter().any(|(name, _)| name == "<engine>") {
        named.sort_by(|one, other| one.0.cmp(&other.0)); // by its own name it stood elsewhere
    }
    named.into_iter().collect()
}
