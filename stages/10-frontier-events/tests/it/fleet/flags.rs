//! Flags that do not go together, and bodies that are none.

use std::process::Command;

use harness::Method;
use serde_json::json;

use super::site::Site;
use crate::broker::system::Nats;
use crate::stage::{self, BINARY};

#[test]
fn a_role_says_what_it_needs() {
    let nats = ["--queue", "nats://127.0.0.1:1"];
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    std::fs::write(&key, "crk_x").unwrap();
    let key = key.to_str().unwrap();
    let engine = ["--engine", "subprocess", "--unsafe", "--single-process"];
    let cases: [(&[&str], bool, &str); 12] = [
        (&["--role", "api"], false, "give --queue"),
        (&["--role", "worker", "--api", "http://127.0.0.1:1"], false, "give --queue"),
        (&["--role", "all", "--api", "http://127.0.0.1:1"], true, "add --role worker"),
        (&["--role", "worker"], true, "add --api URL"),
        (&["--role", "api", "--api", "http://127.0.0.1:1"], true, "add --role worker"),
        (
            &["--role", "worker", "--api", "http://127.0.0.1:1", "--listen", "127.0.0.1:0"],
            true,
            "leave --listen out",
        ),
        (&["--role", "worker", "--api", "ftp://127.0.0.1:1"], true, "no address of an API"),
        (&["--role", "worker", "--api", "http://127.0.0.1:1/a/b"], true, "no address of an API"),
        (&["--role", "worker", "--api", "http://127.0.0.1:1/v1%2F"], true, "no address of an API"),
        (
            &["--role", "worker", "--api", "http://me:secret@127.0.0.1:1"],
            true,
            "no address of an API",
        ),
        (
            &["--role", "worker", "--api", "http://192.0.2.1:1", "--api-key-file", key],
            true,
            "unencrypted",
        ),
        (&["--role", "boss"], false, "possible values: all, api, worker"),
    ];
    for (arguments, has_queue, expected) in cases {
        let mut command = Command::new(BINARY);
        command.args(engine).args(arguments);
        command.arg("--data-dir").arg(directory.path().join("data"));
        if has_queue {
            command.args(nats);
        }
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert!(!text.contains("secret"), "{text}");
    }
    for (flag, value) in [
        ("--lease-seconds", "1"),
        ("--lease-seconds", "601"),
        ("--republish-seconds", "0"),
        ("--worker-name", ""),
        ("--worker-name", "a\nb"),
        ("--api", "http://"),
    ] {
        let output = Command::new(BINARY).args([flag, value]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{flag}: {text}");
        assert!(text.contains(flag), "{flag}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_runs_programs_itself_has_no_workers() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::start(directory.path());
    let client = server.client();
    assert_eq!(client.get("/workers").await.parts(), (200, json!({ "items": [] })));
    assert!(client.get("/status").await.json().get("fleet").is_none());
    let path = "/workers/019abcde-f012-7345-8678-9abcdef01234";
    for (method, path) in
        [(Method::DELETE, path.to_owned()), (Method::POST, format!("{path}/drain"))]
    {
        let answer = client.send(client.request(method, &path)).await;
        assert_eq!(answer.status, 409, "{answer:?}");
        assert!(answer.text().contains("--role api"), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_worker_sends_is_refused_by_the_contract() {
    let nats = Nats::start();
    let site = Site::on_nats(&nats, 60);
    let api = site.api();
    let client = api.client();
    let own = "/workers/019abcde-f012-7345-8678-9abcdef01234";
    let token = "0123456789abcdef0123456789abcdef";
    let piece = json!({ "stream": "stdin", "offset": 0, "base64": "" });
    for (path, body) in [
        ("sync", json!({ "sessions": ["short"], "cancelled": [], "draining": false })),
        ("sync", json!({ "sessions": [], "cancelled": [] })),
        ("claim", json!({ "evaluation": "x", "attempt": 1, "claim": "x" })),
        ("claim", json!({})),
        ("output", json!({ "token": token, "pieces": [piece] })),
        (
            "output",
            json!({ "token": token, "pieces": [{ "stream": "stdout", "offset": -1, "base64": "" }] }),
        ),
        (
            "output",
            json!({ "token": token, "pieces": [{ "stream": "stdout", "offset": 0, "base64": "%" }] }),
        ),
        ("files", json!({ "token": token, "number": 0 })),
        (
            "result",
            json!({ "token": token, "pieces": [], "file_parts": 0, "excess_bytes": [0], "verdict": {} }),
        ),
    ] {
        let answer = client.post(&format!("{own}/{path}"), &body).await;
        assert!([400, 422].contains(&answer.status), "{path} {body}: {answer:?}");
    }
    for path in ["sync", "claim", "output", "files", "result"] {
        let request = client.request(Method::POST, &format!("{own}/{path}"));
        let answer =
            client.send(request.header("content-type", "application/json").body("{")).await;
        assert!([400, 422].contains(&answer.status), "{path}: {answer:?}");
        assert_eq!(client.get(&format!("{own}/{path}")).await.status, 405, "{path}");
    }
    assert_eq!(client.post("/workers/nobody/drain", &json!({})).await.status, 404);
    assert_eq!(client.post(&format!("{own}/drain"), &json!({})).await.status, 404);
    assert_eq!(client.delete(own).await.status, 404);
    assert_eq!(client.get("/workers?name=x").await.status, 400);
}

/// A worker by its configuration file alone, which has nothing to reach.
#[test]
fn a_role_and_its_settings_can_be_in_the_configuration_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.toml");
    let key = directory.path().join("key");
    std::fs::write(&key, "crk_x").unwrap();
    let good = format!(
        "role = \"worker\"\nqueue = \"nats://127.0.0.1:1\"\napi = \"http://127.0.0.1:1\"\n\
         api_key_file = \"{}\"\nworker_name = \"rack-7\"\nlease_seconds = 20\n\
         republish_seconds = 50\n",
        key.display()
    );
    std::fs::write(&file, &good).unwrap();
    let run = || {
        let mut command = Command::new(BINARY);
        command.args(["--engine", "subprocess", "--unsafe", "--single-process", "--config"]);
        command.arg(&file).stdin(std::process::Stdio::null());
        command
    };
    let mut worker = run().stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut log = std::io::BufReader::new(worker.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("not joined yet") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut log, &mut line).unwrap() > 0, "it has exited");
    }
    worker.kill().unwrap();
    worker.wait().unwrap();
    for wrong in ["role = \"boss\"", "lease_seconds = 1", "republish_seconds = \"x\"", "apis = 1"] {
        std::fs::write(&file, wrong).unwrap();
        let output = run().output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains("config.toml"), "{wrong}: {text}");
    }
}
