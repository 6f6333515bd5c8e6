//! Commands: how they end, what they write and read, and that each runs once.

use std::time::Duration;

use harness::Method;
use serde_json::{Value, json};

use super::{Sandbox, launch};

#[tokio::test]
async fn a_command_runs_once_however_often_it_is_requested() {
    let directory = tempfile::tempdir().unwrap();
    let server = launch(directory.path()).start();
    let client = server.client();
    let sandbox = Sandbox::open(&client, json!({})).await;
    let body = json!({ "argv": ["sh", "-c", "echo ran >> runs; until [ -e go ]; do sleep 0.05; done; cat runs"] });
    // The first connection is cut while the command runs.
    let first = client.request(Method::PUT, &sandbox.path("/execs/once")).json(&body);
    let cut = tokio::time::timeout(Duration::from_millis(700), client.send(first)).await;
    assert!(cut.is_err(), "{cut:?}");
    let repeats = (0..5).map(|_| sandbox.exec("once", &body));
    let all = async {
        let go = sandbox.put_bytes("/file?path=go", "").await;
        assert_eq!(go.status, 200, "{go:?}");
    };
    let (ended, ()) = tokio::join!(futures_util::future::join_all(repeats), all);
    for one in &ended {
        assert_eq!(one["stdout"]["text"], "ran\n", "{one}");
        assert_eq!(one["ended_at"], ended[0]["ended_at"]);
    }
    assert_eq!(sandbox.exec("once", &body).await, ended[0]);
    let other = sandbox.put("/execs/once", &json!({ "argv": ["true"] })).await;
    assert_eq!((other.status, &other.json()["kind"]), (422, &json!("exec_id_in_use")), "{other:?}");

    outcomes(&sandbox).await;
    streams(&sandbox).await;
    background(&sandbox).await;
}

/// Each way to end.
async fn outcomes(sandbox: &Sandbox) {
    let sh = |script: &str| json!({ "argv": ["sh", "-c", script] });
    let timed = json!({ "argv": ["sh", "-c", "echo so far; sleep 100"], "timeout_seconds": 0.7 });
    let user = json!({ "argv": ["id", "-un"], "user": "root" });
    for (id, body, outcome, more) in [
        ("code", sh("exit 7"), "exited", json!({ "exit_code": 7 })),
        ("term", sh("kill -TERM $$"), "signaled", json!({ "exit_code": 143, "signal": "SIGTERM" })),
        ("time", timed, "timed_out", json!({})),
        (
            "noexec",
            json!({ "argv": ["/etc/passwd"] }),
            "spawn_failed",
            json!({ "errno": "EACCES" }),
        ),
        ("missing", json!({ "argv": ["nosuch"] }), "spawn_failed", json!({ "errno": "ENOENT" })),
        (
            "cwd",
            json!({ "argv": ["pwd"], "cwd": "nosuch" }),
            "spawn_failed",
            json!({ "errno": "ENOENT" }),
        ),
        ("root", user, "exited", json!({ "exit_code": 0 })),
        ("user", json!({ "argv": ["id"], "user": "nosuch" }), "user_unknown", json!({})),
    ] {
        let ended = sandbox.exec(id, &body).await;
        assert_eq!(ended["outcome"], outcome, "{ended}");
        for (name, value) in more.as_object().unwrap() {
            assert_eq!(&ended[name], value, "{ended}");
        }
    }
    let timed = sandbox.get("/execs/time").await.json();
    assert_eq!((&timed["stdout"]["text"], timed.get("exit_code")), (&json!("so far\n"), None));
    assert_eq!(sandbox.get("/execs/root").await.json()["stdout"]["text"], "root\n");
    let places =
        json!({ "argv": ["sh", "-c", "pwd; echo $X"], "cwd": "/tmp", "env": { "X": "é" } });
    assert_eq!(sandbox.exec("env", &places).await["stdout"]["text"], "/tmp\né\n");
    let long = "x".repeat(64 << 10);
    let argv: Vec<_> = ["sh", "-c", "echo $#"].into_iter().chain([long.as_str(); 17]).collect();
    let ended = sandbox.exec("long", &json!({ "argv": argv })).await;
    assert_eq!(ended["stdout"]["text"], "16\n", "{}", ended["errno"]);
}

/// Input and output, with their limits.
async fn streams(sandbox: &Sandbox) {
    let both =
        json!({ "argv": ["sh", "-c", "cat; printf 'e\\377' >&2"], "stdin": { "base64": "AAH/" } });
    let ended = sandbox.exec("bytes", &both).await;
    assert_eq!(
        (&ended["stdout"]["text"], &ended["stderr"]["text"]),
        (&json!("AAH/"), &json!("Zf8="))
    );
    for (keep, text) in [("head", "0001"), ("tail", "0999"), ("none", "0999")] {
        let mut body = json!({ "argv": ["sh", "-c", "seq -w 1 1000 | sed s/1000/end/ | head -999"], "max_output_bytes": 5 });
        if keep != "none" {
            body["keep"] = keep.into();
        }
        body["argv"][2] =
            "i=1; while [ $i -lt 1000 ]; do printf '%04d\\n' $i; i=$((i+1)); done".into();
        let ended = sandbox.exec(keep, &body).await;
        let expected = json!({ "text": format!("{text}\n"), "encoding": "utf8", "bytes_total": 4995, "truncated": true });
        assert_eq!(ended["stdout"], expected, "{keep}");
    }
    let large =
        json!({ "argv": ["sh", "-c", "head -c 12000000 /dev/zero"], "max_output_bytes": 10 << 20 });
    let ended = sandbox.exec("large", &large).await;
    assert_eq!(ended["stdout"]["bytes_total"], 12_000_000);
    assert_eq!(ended["stdout"]["text"].as_str().unwrap().len(), 10 << 20);

    // Bytes from an offset on: as they come, and where they end.
    sandbox.detach("live", json!({ "argv": ["cat"], "stdin": "stream" })).await;
    let part = async |offset: u64, wait: u64| {
        let path = format!("/execs/live/stdout?offset={offset}&wait_seconds={wait}");
        let part = sandbox.get(&path).await;
        let next: u64 = part.header("x-next-offset").parse().unwrap();
        (part.text(), next, part.header("x-ended").to_owned())
    };
    assert_eq!(part(0, 0).await, (String::new(), 0, "false".to_owned()));
    let sent = async {
        let part = part(0, 30).await;
        assert_eq!(part, ("one ".to_owned(), 4, "false".to_owned()));
    };
    let (one, ()) = tokio::join!(sandbox.put_bytes("/execs/live/stdin?offset=0", "one "), sent);
    assert_eq!(one.json(), json!({ "received": 4, "closed": false }));
    // A repeat of what was taken, with more: only what is new is written.
    let more = sandbox.put_bytes("/execs/live/stdin?offset=0&eof=true", "one two").await;
    assert_eq!(more.json(), json!({ "received": 7, "closed": true }));
    assert_eq!(sandbox.ended("live").await["stdout"]["text"], "one two");
    assert_eq!(part(4, 30).await, ("two".to_owned(), 7, "true".to_owned()));
    let gap = sandbox.put_bytes("/execs/live/stdin?offset=9", "x").await;
    assert_eq!((gap.status, &gap.json()["received"]), (409, &json!(7)), "{gap:?}");
    let events = sandbox.get("/execs/live/events").await;
    assert_eq!(events.header("content-type"), "text/event-stream");
    let events = events.text();
    assert!(
        events.contains("\"text\":\"one two\"") && events.contains("event: exec.ended\nid: 7-0\n"),
        "{events}"
    );
    let rest = sandbox.get("/execs/live/events?after=4-0").await.text();
    assert!(rest.contains("\"offset\":4,\"text\":\"two\""), "{rest}");
}

/// What runs on, and what is killed with all that it has started.
async fn background(sandbox: &Sandbox) {
    // A daemon holds the pipes: the execution ends with its main process.
    let daemon = "setsid sh -c 'sleep 300' & echo started";
    assert_eq!(sandbox.sh("daemon", daemon).await, "started\n");
    let count = "ps -eo args= | grep -c '^[s]leep 300' || true";
    assert_eq!(sandbox.sh("count", count).await, "1\n");
    sandbox
        .detach("tree", json!({ "argv": ["sh", "-c", "setsid sh -c 'sleep 301' & sleep 301"] }))
        .await;
    let count = "until [ $(ps -eo args= | grep -c '^[s]leep 301') = 2 ]; do sleep 0.1; done";
    sandbox.sh("two", count).await;
    let killed = sandbox.client.delete(&sandbox.path("/execs/tree")).await;
    assert_eq!((killed.status, &killed.json()["outcome"]), (200, &json!("killed")), "{killed:?}");
    let again = sandbox.client.delete(&sandbox.path("/execs/tree")).await;
    assert_eq!((again.status, again.json()), (200, killed.json()));
    sandbox.sh("left", "! ps -eo args= | grep -q '^[s]leep 301'").await;
    let trap = "trap 'echo got; exit 3' USR1; echo ready; while :; do sleep 0.05; done";
    sandbox.detach("trap", json!({ "argv": ["sh", "-c", trap] })).await;
    let ready = sandbox.get("/execs/trap/stdout?wait_seconds=30").await.text();
    assert_eq!(ready, "ready\n");
    let signal = json!({ "signal": "SIGUSR1" });
    let signaled = sandbox.client.post(&sandbox.path("/execs/trap/signal"), &signal).await;
    assert_eq!(signaled.status, 200, "{signaled:?}");
    let ended = sandbox.ended("trap").await;
    assert_eq!(
        (&ended["stdout"]["text"], &ended["exit_code"]),
        (&json!("ready\ngot\n"), &json!(3))
    );
    let list = sandbox.get("/execs").await.json();
    let ids: Vec<_> = list["items"].as_array().unwrap().iter().map(|one| &one["id"]).collect();
    assert_eq!(ids.first(), Some(&&json!("trap")), "{list}");
    assert_eq!(ids.last(), Some(&&json!("once")), "{list}");
    let running: Vec<&Value> =
        list["items"].as_array().unwrap().iter().filter(|one| one["status"] == "running").collect();
    assert!(running.is_empty(), "{running:?}");
}
