//! Stage 2 from outside: the real binary, real HTTP, real Python.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const BINARY: &str = env!("CARGO_BIN_EXE_stage-02-queue");

struct Server {
    child: Child,
    url: String,
    client: Client,
}

impl Server {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.trim().strip_prefix("listening on ").expect(&line).to_owned();
        Self { child, url, client: Client::new() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
        let answer = request.send().await.unwrap();
        let status = answer.status();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap())
    }

    async fn submit(&self, body: Value) -> (StatusCode, Value) {
        Self::answer(self.request(Method::POST, "/eval").json(&body)).await
    }

    /// Submits and waits for the end.
    async fn run(&self, body: Value) -> Value {
        let request = self.request(Method::POST, "/eval").header("prefer", "wait=20").json(&body);
        let (status, answer) = Self::answer(request).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        Self::answer(self.request(Method::GET, path)).await
    }

    async fn until(&self, id: &str, status: &str) -> Value {
        let started = Instant::now();
        loop {
            let (_, evaluation) = self.get(&format!("/eval/{id}")).await;
            if evaluation["status"] == status {
                return evaluation;
            }
            assert!(started.elapsed() < Duration::from_secs(20), "never {status}: {evaluation}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// Waits for the process to end by itself.
    fn ended(&mut self, within: Duration) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < within, "the server did not end within {within:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn id(evaluation: &Value) -> String {
    evaluation["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_evaluation_from_submission_to_end() {
    let server = Server::start(&[]);
    let request = server.request(Method::POST, "/eval").json(&json!({
        "code": "import sys; print(sys.stdin.read() + open('d/f').read()); sys.exit(3)",
        "stdin": "in ", "files": {"d/f": "file"}, "labels": {"a": "b"},
    }));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    let accepted: Value = answer.json().await.unwrap();
    assert_eq!(location, format!("/eval/{}", id(&accepted)));
    assert_eq!((&accepted["status"], &accepted["outcome"]), (&json!("queued"), &Value::Null));
    let ended = server.until(&id(&accepted), "completed").await;
    assert_eq!((&ended["outcome"], &ended["exit_code"]), (&json!("exited"), &json!(3)));
    assert_eq!(ended["stdout"]["text"], "in file\n");
    assert_eq!(
        (&ended["sandbox"]["engine"], &ended["labels"]["a"]),
        (&json!("subprocess"), &json!("b"))
    );
    assert_eq!(ended["evidence"]["decided_by"], "exit_status");
}

#[tokio::test]
async fn preferring_to_wait() {
    let server = Server::start(&[]);
    assert_eq!(server.run(json!({"code": "print(1)"})).await["stdout"]["text"], "1\n");
    let slow = json!({"code": "import time; time.sleep(30)"});
    let request = server.request(Method::POST, "/eval").header("prefer", "respond-async, wait=1");
    let (status, answer) = Server::answer(request.json(&slow)).await;
    assert_eq!((status.as_u16(), &answer["outcome"]), (202, &Value::Null));
    for bad in ["wait=-1", "wait=301", "wait=x", "wait="] {
        let request = server.request(Method::POST, "/eval").header("prefer", bad).json(&slow);
        assert_eq!(Server::answer(request).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_full_queue_pushes_back_and_loses_nothing() {
    let server = Server::start(&["--workers", "1", "--queue-capacity", "3"]);
    let (_, first) = server.submit(json!({"code": "import time; time.sleep(1)"})).await;
    server.until(&id(&first), "running").await;
    let mut accepted = Vec::new();
    for number in 0..3 {
        let (status, answer) = server.submit(json!({"code": format!("print({number})")})).await;
        assert_eq!(status, 202);
        accepted.push(id(&answer));
    }
    let request = server.request(Method::POST, "/eval").json(&json!({"code": ""}));
    let refused = request.send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    let (_, queue) = server.get("/queue").await;
    assert_eq!((&queue["depth"], &queue["workers_busy"]), (&json!(3), &json!(1)));
    for (number, id) in accepted.iter().enumerate() {
        let ended = server.until(id, "completed").await;
        assert_eq!(ended["stdout"]["text"], format!("{number}\n"));
    }
}

#[tokio::test]
async fn cancelling() {
    let server = Server::start(&["--workers", "1"]);
    let (_, running) = server.submit(json!({"code": "import time; time.sleep(60)"})).await;
    let (_, waiting) = server.submit(json!({"code": "print('never')"})).await;
    server.until(&id(&running), "running").await;
    for evaluation in [&waiting, &running] {
        let path = format!("/eval/{}", id(evaluation));
        let (status, answer) = Server::answer(server.request(Method::DELETE, &path)).await;
        assert_eq!((status.as_u16(), &answer["outcome"]), (200, &json!("cancelled")));
        let (again, _) = Server::answer(server.request(Method::DELETE, &path)).await;
        assert_eq!(again, 409);
    }
    let nobody = "/eval/01890000-0000-7000-8000-000000000000";
    assert_eq!(Server::answer(server.request(Method::DELETE, nobody)).await.0, 404);
}

#[tokio::test]
async fn listing_page_by_page() {
    let server = Server::start(&[]);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, id(&server.run(json!({"code": ""})).await));
    }
    let (mut seen, mut path) = (Vec::new(), "/eval?limit=2".to_owned());
    loop {
        let (_, page) = server.get(&path).await;
        seen.extend(page["items"].as_array().unwrap().iter().map(id));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/eval?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ids);
    let (_, none) = server.get("/eval?status=failed").await;
    assert_eq!(none["items"], json!([]));
    for bad in
        ["status=done", "limit=0", "limit=101", "limit=x", "cursor=x", "page=2", "limit=1&limit=2"]
    {
        let (status, problem) = server.get(&format!("/eval?{bad}")).await;
        assert_eq!(status, 400, "{bad}: {problem}");
    }
}

#[tokio::test]
async fn limits_are_named() {
    let server = Server::start(&[]);
    for (code, outcome) in [
        ("while True: pass", "wall_time_exceeded"),
        ("while True: print('x' * 4096)", "output_exceeded"),
        ("import os; os.kill(os.getpid(), 9)", "signaled"),
    ] {
        let ended = server.run(json!({"code": code, "timeout_seconds": 1})).await;
        assert_eq!(ended["outcome"], outcome, "{ended}");
    }
    let server = Server::start(&["--cpu-seconds", "1"]);
    let ended = server.run(json!({"code": "while True: pass"})).await;
    assert_eq!(ended["outcome"], "cpu_time_exceeded", "{ended}");
}

#[tokio::test]
async fn bad_requests_are_told_what_to_change() {
    let server = Server::start(&[]);
    let post = |body: String| {
        server.request(Method::POST, "/eval").header("content-type", "application/json").body(body)
    };
    for (body, status, says) in [
        ("{".to_owned(), 400, "EOF"),
        (r#"{"code": 1}"#.to_owned(), 400, "expected a string"),
        (r#"{"code": "", "image": "x"}"#.to_owned(), 400, "unknown field `image`"),
        (r#"{"code": "\u0000"}"#.to_owned(), 422, "/code"),
        (r#"{"code": "", "timeout_seconds": 1e9}"#.to_owned(), 422, "/timeout_seconds"),
        (format!(r#"{{"code": {}"#, "[".repeat(100_000)), 400, ""),
        (format!(r#"{{"code": "{}"}}"#, "x".repeat(3 << 20)), 413, "at most"),
    ] {
        let (answered, problem) = Server::answer(post(body)).await;
        assert_eq!(answered.as_u16(), status, "{problem}");
        assert!(problem.to_string().contains(says), "{problem}");
        assert!(problem.to_string().len() < 1000);
    }
    let form = server.request(Method::POST, "/eval").body("code=print(1)");
    assert_eq!(Server::answer(form).await.0, 415);
    assert_eq!(server.get("/eval/..%2f..%2fetc%2fpasswd").await.0, 404);
    assert_eq!(server.get("/eval/x%00").await.0, 404);
}

#[tokio::test]
async fn sigterm_drains_and_leaves_nothing() {
    let mut server = Server::start(&["--workers", "1"]);
    let (_, running) =
        server.submit(json!({"code": "import time; time.sleep(1); print('done')"})).await;
    server.until(&id(&running), "running").await;
    let (_, waiting) = server.submit(json!({"code": "print('never')"})).await;
    server.signal(Signal::TERM);
    server.until(&id(&waiting), "cancelled").await;
    assert_eq!(server.submit(json!({"code": ""})).await.0, 503);
    assert_eq!(server.ended(Duration::from_secs(10)), Some(0));
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let mut server = Server::start(&[]);
    let (_, running) = server.submit(json!({"code": "import time; time.sleep(60)"})).await;
    server.until(&id(&running), "running").await;
    server.signal(Signal::INT);
    tokio::time::sleep(Duration::from_millis(300)).await;
    server.signal(Signal::INT);
    assert_eq!(server.ended(Duration::from_secs(5)), Some(130));
}

#[tokio::test]
async fn what_a_killed_stage_leaves_the_next_one_takes_away() {
    let server = Server::start(&[]);
    let code = "import os, time; print(os.getpid(), os.getcwd()); time.sleep(60)";
    let (_, running) = server.submit(json!({"code": code})).await;
    let path = format!("/eval/{}", id(&running));
    let mut output = String::new();
    while !output.ends_with('\n') {
        output = server.get(&path).await.1["stdout"]["text"].as_str().unwrap().to_owned();
    }
    let (pid, directory) = output.trim().split_once(' ').unwrap();
    drop(server); // SIGKILL
    assert!(std::fs::exists(format!("/proc/{pid}")).unwrap(), "it should have outlived the server");
    let _next = Server::start(&[]);
    let started = Instant::now();
    while std::fs::exists(format!("/proc/{pid}")).unwrap() {
        assert!(started.elapsed() < Duration::from_secs(5), "process {pid} goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(!std::fs::exists(directory).unwrap(), "{directory} is still there");
}

#[test]
fn run_passes_the_output_and_the_exit_code_on() {
    let run = |code: &str, arguments: &[&str]| {
        let mut command = assert_cmd::Command::new(BINARY);
        command.args(["run", "-"]).args(arguments).write_stdin(code).assert()
    };
    run("import sys; print(1); print(2, file=sys.stderr); sys.exit(7)", &["--quiet"])
        .code(7)
        .stdout("1\n")
        .stderr("2\n");
    run("while True: pass", &["--timeout-seconds", "0.5"]).code(124);
    run("while True: print(1)", &["--json"]).code(137);
    let mut missing = assert_cmd::Command::new(BINARY);
    let missing = missing.args(["run", "/nowhere.py"]).assert().code(2);
    assert!(String::from_utf8_lossy(&missing.get_output().stderr).contains("/nowhere.py"));
}

#[test]
fn the_command_line_explains_itself() {
    let says = |arguments: &[&str], code: i32, text: &str| {
        let ended = assert_cmd::Command::new(BINARY).args(arguments).assert().code(code);
        let output = ended.get_output();
        let all = [&output.stdout[..], &output.stderr[..]].concat();
        assert!(String::from_utf8_lossy(&all).contains(text), "{}", String::from_utf8_lossy(&all));
    };
    says(&["--help"], 0, "--queue-capacity");
    says(&["--workers", "0"], 2, "0 is not in 1..=256");
    says(&["--timeout-seconds", "inf"], 2, "from 0.1 to 86400");
    says(&["--listen", "0.0.0.0:0", "--allow-remote"], 1, "nothing stands between");
    says(&["doctor"], 0, "python3");
    says(&["test"], 0, "0 failed");
}
