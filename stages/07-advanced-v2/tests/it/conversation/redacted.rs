//! A response without what is new in every run, the headers of the connection, and what the engine
//! reports about itself. The rest has to be the same through every adapter.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use serde_json::{Map, Value, json};

use super::ClientResponse;

/// Headers of the connection, which an adapter or its server sets.
const CONNECTION_HEADERS: [&str; 5] =
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
    pub(super) fn redact(&mut self, text: &str) -> String {
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
pub(super) fn answer(response: &ClientResponse) -> String {
    let mut headers: Vec<String> = response
        .headers
        .iter()
        .filter(|(name, _)| !CONNECTION_HEADERS.contains(&name.as_str()))
        .map(|(name, value)| match name.as_str() {
            "x-request-id" => "x-request-id: <request>\n".to_owned(),
            name => format!("{name}: {}\n", value.to_str().unwrap()),
        })
        .collect();
    headers.sort();
    let media = response.headers.get("content-type").map_or("", |value| value.to_str().unwrap());
    let body = String::from_utf8(response.body.clone()).unwrap();
    let body = match media.split(';').next().unwrap() {
        _ if body.is_empty() => String::new(),
        "application/json" | "application/problem+json" => document(&body),
        "text/event-stream" => body.lines().filter_map(event_line).collect(),
        // What was counted depends on the engine; what is counted does not.
        "application/openmetrics-text" => keep(&body, |line| line.starts_with("# TYPE ")),
        _ => keep(&body, |line| !line.trim_start().starts_with("<p>runs ")),
    };
    format!("{}\n{}{body}", response.status.as_u16(), headers.concat())
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
    redact(&mut value);
    format!("{value}\n")
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(members) => {
            // Absent if the engine ended a program before it started.
            members.shift_remove("usage");
            for (name, member) in members.iter_mut() {
                redact_member(name, member);
            }
            *members = renamed(std::mem::take(members));
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

fn redact_member(name: &str, member: &mut Value) {
    let is_new = name.ends_with("_at") || name.ends_with("_ms") || name.ends_with("_seconds");
    match name {
        _ if member.is_null() => {}
        "timeout_seconds" | "cpu_seconds" => {}
        "time" | "millis" | "bytes" | "tested_at" => *member = json!("<new>"),
        _ if is_new => *member = json!("<new>"),
        "request_id" => *member = json!("<request>"),
        "sandbox" | "engine" | "isolation" => *member = json!("<of the engine>"),
        "evidence" => *member = json!({ "decided_by": member["decided_by"] }),
        // What a check found; whether it passed is compared.
        "checks" => {
            for check in member.as_array_mut().unwrap() {
                check["detail"] = json!("<seen>");
                if check["component"].as_str().is_some_and(|name| name.ends_with(" engine")) {
                    check["component"] = json!("<engine>");
                }
                redact(check);
            }
        }
        _ => redact(member),
    }
}

/// The component with the name of the engine.
fn renamed(members: Map<String, Value>) -> Map<String, Value> {
    let rename =
        |name: String| if name.ends_with(" engine") { "<engine>".to_owned() } else { name };
    let mut named: Vec<_> =
        members.into_iter().map(|(name, member)| (rename(name), member)).collect();
    if named.iter().any(|(name, _)| name == "<engine>") {
        named.sort_by(|one, other| one.0.cmp(&other.0)); // by its own name it was elsewhere
    }
    named.into_iter().collect()
}
