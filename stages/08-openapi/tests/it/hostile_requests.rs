//! What a wrong request may cost: memory in proportion to its size, whatever is wrong with it.
//!
//! Every error that the contract can name is sent 10,000 times in one request, and 20,000 times. The
//! server has a limit of memory, and what it takes is read from its counters.

use std::path::Path;
use std::time::Duration;

use harness::Server;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Errors in a request; another one has twice as many.
const COUNT: usize = 10_000;
/// What the server may allocate in all, in bytes.
const DATA_LIMIT: u64 = 1 << 30;
/// What one request may take. The largest has two megabytes, and a member of JSON takes some hundred
/// bytes in memory.
const MAX_GROWTH: u64 = 96 << 20;
/// What does not depend on the request.
const NOISE: u64 = 24 << 20;

struct Request {
    head: String,
    body: String,
}

fn get(target: &str) -> Request {
    Request { head: format!("GET {target} HTTP/1.1"), body: String::new() }
}

fn post(body: String) -> Request {
    let head = "POST /eval HTTP/1.1\r\nContent-Type: application/json".to_owned();
    Request { head, body }
}

/// A submission with `member` as the text of one more member.
fn with(member: &str) -> Request {
    post(format!("{{\"code\": \"\", {member}}}"))
}

/// A member that is an object, with `count` members made by `one`.
fn object(name: &str, count: usize, one: impl Fn(usize) -> String) -> String {
    let members: Vec<_> = (0..count).map(one).collect();
    format!("\"{name}\": {{{}}}", members.join(","))
}

type Kind = (&'static str, fn(usize) -> Request);

const KINDS: [Kind; 31] = [
    ("names of files", |n| with(&object("files", n, |at| format!("\"/{at}\": \"\"")))),
    ("names of files beside long texts", |n| {
        let text = "x".repeat(n);
        with(&object("files", 100, |at| format!("\"/{at}\": \"{text}\"")))
    }),
    ("names of files in all", |n| with(&object("files", n, |at| format!("\"a{at}/../b\": \"\"")))),
    ("main.py again", |n| with(&object("files", n, |at| format!("\"main.py/{at}\": \"\"")))),
    ("contents of files", |n| with(&object("files", n, |at| format!("\"a{at}\": {at}")))),
    ("members of contents", |n| {
        with(&object("files", n, |at| format!("\"a{at}\": {{\"base64\": \"\", \"x\": 1}}")))
    }),
    ("base64 of files", |n| {
        with(&object("files", n, |at| format!("\"a{at}\": {{\"base64\": \"=\"}}")))
    }),
    ("too many files", |n| with(&object("files", n, |at| format!("\"a{at}\": \"\"")))),
    ("names of labels", |n| with(&object("labels", n, |at| format!("\"\\n{at}\": \"\"")))),
    ("long names of labels", |n| {
        with(&object("labels", n, |at| format!("\"{}{at}\": \"\"", "x".repeat(70))))
    }),
    ("values of labels", |n| with(&object("labels", n, |at| format!("\"a{at}\": {at}")))),
    ("control characters in labels", |n| {
        with(&object("labels", n, |at| format!("\"a{at}\": \"\\n\"")))
    }),
    ("unknown members", |n| post(object("x", n, |at| format!("\"a{at}\": 1"))[5..].to_owned())),
    ("members of stdin", |n| with(&object("stdin", n, |at| format!("\"a{at}\": \"\"")))),
    ("an array as stdin", |n| with(&format!("\"stdin\": [{}0]", "0,".repeat(n)))),
    ("an array as code", |n| post(format!("{{\"code\": [{}0]}}", "\"\",".repeat(n)))),
    ("an array of submissions", |n| post(format!("[{}0]", "{\"code\": 1},".repeat(n)))),
    ("a member twice", |n| with(&object("files", n, |at| format!("\"a{}\": \"\"", at % (n - 1))))),
    ("the same member always", |n| with(&object("labels", n, |_| "\"a\": \"\"".to_owned()))),
    ("depth", |n| post("[".repeat(n))),
    ("depth of objects", |n| post("{\"a\":".repeat(n))),
    ("a long name", |n| with(&format!("\"{}\": 1", "x".repeat(n * 100)))),
    ("a long path", |n| with(&format!("\"files\": {{\"{}\": \"\"}}", "a/".repeat(n * 50)))),
    ("a long pattern", |n| post(format!("{{\"code\": \"{}\\u0000\"}}", "x".repeat(n * 90)))),
    ("a long number", |n| with(&format!("\"timeout_seconds\": {}", "1".repeat(n)))),
    ("a long base64", |n| {
        with(&format!("\"stdin\": {{\"base64\": \"{}=\"}}", "AAAA".repeat(n * 20)))
    }),
    ("unknown parameters", |n| get(&format!("/eval?{}", "&a".repeat(n)))),
    ("a parameter many times", |n| get(&format!("/queue?{}", "&a=".repeat(n)))),
    ("a long segment", |n| get(&format!("/eval/{}", "x".repeat(n * 2)))),
    ("a long preference", |n| {
        let head = get("/eval").head.replacen("GET", "POST", 1);
        let preferences = "x, ".repeat(n / 2);
        let head =
            format!("{head}\r\nContent-Type: application/json\r\nPrefer: {preferences}wait=x");
        Request { head, body: "{\"code\": \"\"}".to_owned() }
    }),
    ("many headers", |n| {
        let head = get("/nowhere").head;
        Request { head: head + &"\r\nPrefer: wait=x".repeat(n / 200), body: String::new() }
    }),
];

/// Sends a request on a connection of its own, and returns the status.
async fn status(server: &Server, request: &Request) -> u16 {
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    let Request { head, body } = request;
    let length = body.len();
    let head = format!(
        "{head}\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket.write_all(body.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = timeout(Duration::from_mins(2), socket.read_to_end(&mut answer)).await;
    read.expect("an answer").expect("an answer");
    assert!(answer.len() < 64 << 10, "the answer has {} bytes", answer.len());
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).unwrap_or_default().parse().unwrap_or_else(|_| panic!("{answer}"))
}

/// A line of `/proc/PID/status`, in bytes.
fn memory(process: &Path, line: &str) -> u64 {
    let status = std::fs::read_to_string(process.join("status")).expect("the server lives");
    let found = status.lines().find_map(|text| text.strip_prefix(line)).unwrap();
    found.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn every_error_costs_what_its_request_costs() {
    let limit = format!("--data={DATA_LIMIT}");
    let launch = harness::launch!("--engine", "subprocess", "--unsafe", "--single-process");
    // Memory that is free again goes back to the system, so that each request shows what it takes.
    let launch = launch.env("MALLOC_ARENA_MAX", "1").env("MALLOC_TRIM_THRESHOLD_", "65536");
    let server = launch.with_wrapper(["prlimit", &limit].map(Into::into).into()).start();
    let process = Path::new("/proc").join(server.pid().to_string());
    for (kind, make) in KINDS {
        let mut growths = Vec::new();
        for count in [COUNT, 2 * COUNT] {
            let request = make(count);
            let before = memory(&process, "VmRSS:");
            std::fs::write(process.join("clear_refs"), "5").unwrap(); // resets the peak
            let status = status(&server, &request).await;
            assert!((400..500).contains(&status), "{kind}: {status}");
            growths.push(memory(&process, "VmHWM:").saturating_sub(before));
        }
        println!("{kind}: {} and {} KiB", growths[0] >> 10, growths[1] >> 10);
        assert!(growths[1] <= MAX_GROWTH, "{kind}: {growths:?}");
        assert!(growths[1] <= 3 * growths[0] + NOISE, "{kind}: {growths:?} for twice as much");
    }
}
