//! Stage 2 from outside: the real binary, real HTTP, real Python.

use std::time::Duration;

use harness::{Method, Signal};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const BINARY: &str = env!("CARGO_BIN_EXE_stage-02-queue");

fn id(evaluation: &Value) -> String {
    evaluation["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_evaluation_from_submission_to_end() {
    let server = harness::server!();
    let client = server.client();
    let body = json!({
        "code": "import sys; print(sys.stdin.read() + open('d/f').read()); sys.exit(3)",
        "stdin": "in ", "files": {"d/f": "file"}, "labels": {"a": "b"},
    });
    let response = client.post("/eval", &body).await;
    assert_eq!(response.status, 202);
    let accepted = response.json();
    let id = id(&accepted);
    assert_eq!(response.header("location"), format!("/eval/{id}"));
    assert_eq!((&accepted["status"], &accepted["outcome"]), (&json!("queued"), &Value::Null));
    let ended = client.wait_for_status(&id, "completed").await;
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
    let server = harness::server!();
    let client = server.client();
    assert_eq!(client.eval(&json!({"code": "print(1)"})).await["stdout"]["text"], "1\n");
    let slow = json!({"code": "import time; time.sleep(30)"});
    let request = client.request(Method::POST, "/eval").header("prefer", "respond-async, wait=1");
    let (status, accepted) = client.send(request.json(&slow)).await.parts();
    assert_eq!((status, &accepted["outcome"]), (202, &Value::Null));
    // Several lines are one list (RFC 7240, section 2).
    let request = client.request(Method::POST, "/eval");
    let lines = request.header("prefer", "respond-async").header("prefer", "wait=20");
    let response = client.send(lines.json(&json!({"code": "print(2)"}))).await;
    assert_eq!((response.status, response.header("preference-applied")), (200, "wait=20"));
    for bad in ["wait=-1", "wait=301", "wait=x", "wait="] {
        let request = client.request(Method::POST, "/eval").header("prefer", bad).json(&slow);
        assert_eq!(client.send(request).await.status, 400, "{bad}");
    }
}

#[tokio::test]
async fn a_full_queue_pushes_back_and_loses_nothing() {
    let server = harness::server!("--workers", "1", "--queue-capacity", "3");
    let client = server.client();
    let first = client.submit(&json!({"code": "import time; time.sleep(1)"})).await;
    client.wait_for_status(&first, "running").await;
    let mut accepted = Vec::new();
    for number in 0..3 {
        accepted.push(client.submit_code(&format!("print({number})")).await);
    }
    let refused = client.post("/eval", &json!({"code": ""})).await;
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    assert_eq!(refused.header("content-type"), "application/problem+json");
    let queue = client.get("/queue").await.json();
    assert_eq!((&queue["depth"], &queue["workers_busy"]), (&json!(3), &json!(1)));
    for (number, id) in accepted.iter().enumerate() {
        let ended = client.wait_for_status(id, "completed").await;
        assert_eq!(ended["stdout"]["text"], format!("{number}\n"));
    }
}

#[tokio::test]
async fn cancelling() {
    let server = harness::server!("--workers", "1");
    let client = server.client();
    let running = client.submit(&json!({"code": "import time; time.sleep(60)"})).await;
    let waiting = client.submit(&json!({"code": "print('never')"})).await;
    client.wait_for_status(&running, "running").await;
    for id in [&waiting, &running] {
        let path = format!("/eval/{id}");
        let (status, ended) = client.delete(&path).await.parts();
        assert_eq!((status, &ended["outcome"]), (200, &json!("cancelled")));
        assert_eq!(client.delete(&path).await.status, 409);
    }
    let unknown = "/eval/01890000-0000-7000-8000-000000000000";
    assert_eq!(client.delete(unknown).await.status, 404);
}

#[tokio::test]
async fn listing_page_by_page() {
    let server = harness::server!();
    let client = server.client();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, id(&client.eval(&json!({"code": ""})).await));
    }
    let (mut seen, mut path) = (Vec::new(), "/eval?limit=2".to_owned());
    loop {
        let page = client.get(&path).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(id));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/eval?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, ids);
    let none = client.get("/eval?status=failed").await.json();
    assert_eq!(none["items"], json!([]));
    for bad in
        ["status=done", "limit=0", "limit=101", "limit=x", "cursor=x", "page=2", "limit=1&limit=2"]
    {
        let (status, problem) = client.get(&format!("/eval?{bad}")).await.parts();
        assert_eq!(status, 400, "{bad}: {problem}");
    }
}

#[tokio::test]
async fn limits_are_named() {
    let server = harness::server!();
    let client = server.client();
    for (code, outcome) in [
        ("while True: pass", "wall_time_exceeded"),
        ("while True: print('x' * 4096)", "output_exceeded"),
        ("import os; os.kill(os.getpid(), 9)", "signaled"),
    ] {
        let ended = client.eval(&json!({"code": code, "timeout_seconds": 1})).await;
        assert_eq!(ended["outcome"], outcome, "{ended}");
    }
    let server = harness::server!("--cpu-seconds", "1");
    let client = server.client();
    let ended = client.eval(&json!({"code": "while True: pass"})).await;
    assert_eq!(ended["outcome"], "cpu_time_exceeded", "{ended}");
}

#[tokio::test]
async fn a_bad_request_gets_a_response_that_says_what_to_change() {
    let server = harness::server!();
    let client = server.client();
    let post = |body: String| {
        client.request(Method::POST, "/eval").header("content-type", "application/json").body(body)
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
        let (answered, problem) = client.send(post(body)).await.parts();
        assert_eq!(answered, status, "{problem}");
        assert!(problem.to_string().contains(says), "{problem}");
        assert!(problem.to_string().len() < 1000);
    }
    let form = client.request(Method::POST, "/eval").body("code=print(1)");
    assert_eq!(client.send(form).await.status, 415);
    assert_eq!(client.get("/eval/..%2f..%2fetc%2fpasswd").await.status, 404);
    assert_eq!(client.get("/eval/x%00").await.status, 404);
}

#[tokio::test]
async fn sigterm_drains_and_leaves_nothing() {
    let mut server = harness::server!("--workers", "1", "--drain-seconds", "60");
    let client = server.client();
    let running =
        client.submit(&json!({"code": "import time; time.sleep(5); print('done')"})).await;
    client.wait_for_status(&running, "running").await;
    let waiting = client.submit(&json!({"code": "print('never')"})).await;
    server.signal(Signal::TERM);
    client.wait_for_status(&waiting, "cancelled").await;
    assert_eq!(client.post("/eval", &json!({"code": ""})).await.status, 503);
    assert_eq!(server.exit_code(Duration::from_mins(2)), Some(0));
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    let mut server = harness::server!("--drain-seconds", "300");
    let client = server.client();
    let running = client.submit(&json!({"code": "import time; time.sleep(300)"})).await;
    client.wait_for_status(&running, "running").await;
    server.signal(Signal::INT);
    // Two signals that come before the first is handled would be one.
    let is_closed = async || {
        let refused = client.post("/eval", &json!({"code": ""})).await.status == 503;
        refused.then_some(())
    };
    harness::eventually_some("the queue is closed", Duration::from_mins(1), is_closed).await;
    server.signal(Signal::INT);
    assert_eq!(server.exit_code(Duration::from_mins(1)), Some(130));
}

#[tokio::test]
async fn the_next_server_removes_what_a_killed_one_left() {
    let server = harness::server!();
    let client = server.client();
    let code = "import os, time; print(os.getpid(), os.getcwd()); time.sleep(60)";
    let running = client.submit(&json!({"code": code})).await;
    let printed = |evaluation: &Value| {
        evaluation["stdout"]["text"].as_str().is_some_and(|text| text.ends_with('\n'))
    };
    let evaluation = client.wait_until(&running, "it prints a line", printed).await;
    let output = evaluation["stdout"]["text"].as_str().unwrap().to_owned();
    let (pid, directory) = output.trim().split_once(' ').unwrap();
    server.kill();
    assert!(std::fs::exists(format!("/proc/{pid}")).unwrap(), "it should have outlived the server");
    let _guard = harness::server!();
    let gone = || !std::fs::exists(format!("/proc/{pid}")).unwrap();
    harness::eventually("the next server kills the program", Duration::from_mins(1), gone).await;
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
    says(&["--listen", "0.0.0.0:0", "--allow-remote"], 1, "nothing isolates");
    for origin in ["*", "null", "http://127.0.0.1:3000/"] {
        says(&["--allow-origin", origin], 2, "give one origin as a browser sends it");
    }
    says(&["doctor"], 0, "python3");
    says(&["test"], 0, "0 failed");
}

/// As a browser does for a page that is not of this server: a preflight, and then the request.
#[tokio::test]
async fn a_page_uses_the_server_where_its_origin_is_allowed() {
    let book = "http://127.0.0.1:3000";
    let open = harness::server!("--allow-origin", "http://localhost:1", "--allow-origin", book);
    let plain = harness::server!();
    for (server, origin, expected) in [
        (&open, book, [200, 202, 200]),
        (&open, "http://evil.example", [405, 403, 200]),
        (&open, "null", [405, 403, 200]),
        (&plain, book, [405, 403, 200]),
    ] {
        let client = server.client();
        let preflight = client.request(Method::OPTIONS, "/eval");
        let preflight = preflight.header("access-control-request-method", "POST");
        let post = client.request(Method::POST, "/eval").json(&json!({"code": "print(1)"}));
        let read = client.request(Method::GET, "/queue");
        for (request, status) in [preflight, post, read].into_iter().zip(expected) {
            let answer = client.send(request.header("origin", origin)).await;
            assert_eq!(answer.status, status, "{origin}");
            let reader = if expected[0] == 200 { origin } else { "" };
            assert_eq!(answer.header("access-control-allow-origin"), reader, "{origin}");
        }
    }
}

/// Attack: connections use all file descriptors up, so that no program can be started → connections have
/// what the engine leaves, and the server reports that they are fewer.
#[tokio::test]
async fn connections_leave_descriptors_to_the_engine() {
    let wrapper = ["prlimit", "--nofile=200:400"].map(Into::into).into();
    let server = harness::launch!("--workers", "2").with_wrapper(wrapper).start();
    let mut open = Vec::new();
    for _ in 0..350 {
        // More than there are places: the rest waits in the kernel.
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        socket.write_all(b"GET /queue HTTP/1.1\r\n").await.unwrap();
        open.push(socket);
    }
    let client = server.client();
    for _ in 0..3 {
        assert_eq!(client.run("print(open('/dev/null'))").await["outcome"], "exited");
    }
    let stderr = server.stderr();
    assert!(stderr.contains("too few file descriptors"), "{stderr}");
    assert!(!stderr.contains("could not accept"), "{stderr}");
}
