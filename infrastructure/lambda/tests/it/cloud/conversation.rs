//! Stage 7's conversation, with the function and with stage 10 on a machine. The answers are the same ones, but for
//! what `differences.toml` lists.

use std::collections::BTreeMap;

use harness::Launch;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::site::{Site, UNSANDBOXED};
use crate::conversation::{Client, ClientRequest, ClientResponse, HttpClient, record};

/// What the page of the book shows.
pub(super) const DIFFERENCES: &str = include_str!("differences.toml");

/// A client with a key.
struct Keyed {
    client: HttpClient,
    key: String,
}

impl Client for Keyed {
    async fn send(&self, request: ClientRequest) -> ClientResponse {
        self.client.send(request.with("authorization", format!("Bearer {}", self.key))).await
    }
}

#[derive(Deserialize)]
struct Differences {
    absent: Vec<Absent>,
    answer: Vec<Difference>,
}

/// A header that no answer of the function has.
#[derive(Deserialize)]
struct Absent {
    header: String,
}

#[derive(Deserialize)]
struct Difference {
    requests: Vec<String>,
    differs: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_that_of_stage_ten_but_for_what_is_listed() {
    let site = Site::start(2).await;
    let _guard = site.worker("worker");
    let (key, _) = site.client_with(&["admin"]);
    let (function, mut machine) = tokio::join!(
        async { record(&Keyed { client: HttpClient::new(site.front.url()), key }).await },
        on_a_machine(&site)
    );
    let listed: Differences = toml::from_str(DIFFERENCES).unwrap();
    for Absent { header } in &listed.absent {
        let header = format!("\n{header}: ");
        assert!(machine.contains(&header) && !function.contains(&header), "{header}");
        let lines = machine.split_inclusive('\n');
        let others = lines.filter(|line| !line.starts_with(header.trim_start()));
        machine = others.collect::<String>();
    }
    let (function, machine) = (entries(&unnumbered(&function)), entries(&unnumbered(&machine)));
    assert!(function.len() > 50, "{} requests", function.len());
    assert_eq!(function.len(), machine.len());
    let mut found = BTreeMap::new();
    for ((request, answer), (same, other)) in function.iter().zip(&machine) {
        assert_eq!(request, same);
        if let Some(difference) = difference(other, answer) {
            found.insert(request.clone(), difference);
        }
    }
    let listed = listed.answer.into_iter().flat_map(|one| {
        one.requests.into_iter().map(move |request| (request, one.differs.clone()))
    });
    assert_eq!(found, listed.collect());
}

/// The same with a server of stage 10 that runs programs itself.
async fn on_a_machine(site: &Site) -> String {
    let (binary, data) = (harness::binary("stage-10-frontier-events"), site.path("data"));
    let mut command = std::process::Command::new(&binary);
    command
        .args(["keys", "create", "--name", "admin", "--scope", "admin", "--data-dir"])
        .arg(&data);
    let output = command.output().unwrap();
    let key = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let launch = Launch::new(binary).args(UNSANDBOXED).args(["--workers", "2"]);
    let server = launch.arg("--strict-contract").arg("--data-dir").arg(data).start();
    record(&Keyed { client: HttpClient::new(server.url()), key }).await
}

/// Without the numbers of ids: what one of them does not serve has none.
fn unnumbered(conversation: &str) -> String {
    let mut parts = conversation.split("<id ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        format!("{text}<id{}", part.trim_start_matches(|c: char| c.is_ascii_digit()))
    })
}

/// The requests and the answers, but for streams of events, which a function does not send.
fn entries(conversation: &str) -> Vec<(String, String)> {
    let entries = conversation.strip_prefix("> ").unwrap().split("\n\n> ");
    let split = |entry: &str| {
        let (mut request, mut answer) = (String::new(), String::new());
        for (number, line) in entry.lines().enumerate() {
            match line.strip_prefix("> ") {
                Some(line) => request = format!("{request} {line}"),
                None if number == 0 => line.clone_into(&mut request),
                None => answer = format!("{answer}{line}\n"),
            }
        }
        (request, answer)
    };
    entries.map(split).filter(|(request, _)| !request.contains("/events")).collect()
}

/// In what the second answer is another one: the status, or else headers and members.
fn difference(one: &str, other: &str) -> Option<String> {
    let status = |answer: &str| answer.lines().next().unwrap_or_default().to_owned();
    if status(one) != status(other) {
        return Some(format!("{} becomes {}", status(one), status(other)));
    }
    let (one, other) = (parts(one), parts(other));
    let names = one.keys().chain(other.keys()).filter(|name| one.get(*name) != other.get(*name));
    let names: std::collections::BTreeSet<_> = names.map(String::as_str).collect();
    (!names.is_empty()).then(|| names.into_iter().collect::<Vec<_>>().join(", "))
}

/// Headers, members of a JSON object, and other lines.
fn parts(answer: &str) -> Map<String, Value> {
    let mut parts = Map::new();
    for line in answer.lines() {
        if let Ok(Value::Object(members)) = serde_json::from_str(line) {
            parts.extend(members);
        } else {
            let (name, value) = line.split_once(": ").unwrap_or((line, ""));
            parts.insert(name.to_owned(), value.into());
        }
    }
    parts
}
