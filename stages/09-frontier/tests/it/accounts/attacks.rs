//! One key against the evaluations of another.

use harness::Method;
use serde_json::{Value, json};

use super::Tenants;

/// Requests that another key makes with the id of an evaluation.
const ROUTES: [(Method, &str); 3] =
    [(Method::GET, ""), (Method::GET, "/events"), (Method::DELETE, "")];

#[tokio::test]
async fn another_keys_evaluation_does_not_exist() {
    let Tenants { alice, mallory, admin, server, site } = Tenants::new();
    let secret = "print('the answer is 42')";
    let ended = alice.run(secret).await["id"].as_str().unwrap().to_owned();
    let running = alice.submit_code("import time; time.sleep(60)").await;
    alice.wait_for_status(&running, "running").await;
    let nothing = "0197abcd-f012-7345-8678-9abcdef01234";
    for (method, suffix) in ROUTES {
        let mut answers = Vec::new();
        for id in [ended.as_str(), running.as_str(), nothing] {
            let path = format!("/eval/{id}{suffix}");
            let request = mallory.request(method.clone(), &path).header("x-request-id", "same");
            let response = mallory.send(request).await;
            assert_eq!(response.status, 404, "{method} {path}: {response:?}");
            answers.push(response.json());
        }
        // The answer for another key's id is that for an id which nothing has.
        assert!(answers.iter().all(|answer| *answer == answers[2]), "{answers:#?}");
    }
    for header in [("last-event-id", "1"), ("prefer", "wait=10")] {
        let path = format!("/eval/{ended}/events");
        let request = mallory.request(Method::GET, &path).header(header.0, header.1);
        assert_eq!(mallory.send(request).await.status, 404);
    }
    assert_eq!(alice.evaluation(&running).await["status"], "running", "it was not cancelled");
    // An administrator sees it, and that is in the audit log.
    assert_eq!(admin.evaluation(&ended).await["stdout"]["text"], "the answer is 42\n");
    assert_eq!(admin.delete(&format!("/eval/{running}")).await.status, 200);
    drop(server);
    let database = rusqlite::Connection::open(site.database()).unwrap();
    let count = "SELECT count(*) FROM audit WHERE action = 'admin.access' AND actor = ?1";
    let rows: i64 = database.query_row(count, [site.id_of("admin")], |row| row.get(0)).unwrap();
    assert!(rows >= 2, "{rows}");
}

#[tokio::test]
async fn a_list_has_own_evaluations_only_whatever_the_cursor() {
    let Tenants { alice, mallory, admin, server: _server, site: _site, .. } = Tenants::new();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(alice.run("print(1)").await["id"].as_str().unwrap().to_owned());
    }
    let own = mallory.run("print(2)").await["id"].clone();
    let items = |page: Value| -> Vec<Value> {
        let items = page["items"].as_array().unwrap().iter();
        items.map(|item| item["id"].clone()).collect()
    };
    for query in ["", "?limit=100", "?status=completed", "?outcome=exited"] {
        let page = mallory.get(&format!("/eval{query}")).await.json();
        assert_eq!(items(page), std::slice::from_ref(&own), "{query}");
    }
    // A cursor is a place in the order of all evaluations, and shows none of another key.
    for id in &ids {
        let page = mallory.get(&format!("/eval?cursor={id}")).await.json();
        assert!(items(page).is_empty());
    }
    assert_eq!(mallory.get("/eval?owner=x").await.status, 400, "no parameter chooses the owner");
    assert_eq!(items(alice.get("/eval").await.json()).len(), 3);
    assert!(items(admin.get("/eval").await.json()).len() >= 4);
}

#[tokio::test]
async fn the_stream_of_all_events_has_only_own_ones() {
    let Tenants { alice, mallory, admin, server: _server, site: _site, .. } = Tenants::new();
    let mut everything = admin.all_events(None).await;
    let (mut live, mut replayed) =
        (mallory.all_events(None).await, mallory.all_events(Some(0)).await);
    let foreign = alice.run("print('secret')").await["id"].clone();
    let own = mallory.run("print(2)").await["id"].clone();
    for stream in [&mut live, &mut replayed] {
        loop {
            let event = stream.next().await.expect("the stream goes on");
            assert_ne!(event.envelope["subject"], foreign, "{event:?}");
            assert!(!event.envelope.to_string().contains("secret"));
            if event.kind == "evaluation.completed" {
                assert_eq!(event.envelope["subject"], own);
                break;
            }
        }
    }
    // An administrator sees both.
    let first = everything.until("evaluation.completed").await;
    assert_eq!(first.envelope["subject"], foreign);
    everything.until("evaluation.completed").await;
}

#[tokio::test]
async fn a_body_without_a_key_is_not_read() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let Tenants { server, site: _site, .. } = Tenants::new();
    let mut socket = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    // The head announces a body that never comes.
    let head = "POST /eval HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 1000000\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 401");
}

/// What is wrong in the head is named to those who may make the request, and not to others.
#[tokio::test]
async fn a_wrong_head_without_a_key_is_answered_as_a_right_one() {
    let Tenants { alice, server, site: _site, .. } = Tenants::new();
    let nothing = "0197abcd-f012-7345-8678-9abcdef01234";
    let events = format!("/sandboxes/{nothing}/execs/e/events");
    let archive = format!("/sandboxes/{nothing}/tar?path=a");
    let stranger = server.client();
    for (method, path, header, value, named) in [
        (Method::GET, events.as_str(), "last-event-id", "x", 400),
        (Method::PUT, &archive, "content-type", "text/plain", 415),
        (Method::POST, "/sandboxes", "idempotency-key", "0", 400),
        (Method::GET, "/eval?limit=x", "accept", "*/*", 400),
    ] {
        for (client, status) in [(&stranger, 401), (&alice, named)] {
            let request = client.request(method.clone(), path).header(header, value);
            let response = client.send(request).await;
            assert_eq!(response.status, status, "{method} {path}: {response:?}");
        }
    }
    // What does not exist needs no key to be said.
    assert_eq!(stranger.get("/nothing").await.status, 404);
}

#[tokio::test]
async fn the_audit_log_has_hashes_and_no_programs() {
    let Tenants { alice, server, site, .. } = Tenants::new();
    let code = "print('do not log me')";
    alice.eval(&json!({ "code": code, "stdin": "nor me", "labels": { "a": "nor me" } })).await;
    drop(server);
    let verified = site.output(&["audit", "verify"]);
    assert!(verified.contains("none changed"), "{verified}");
    let head = site.output(&["audit", "head"]);
    let database = rusqlite::Connection::open(site.database()).unwrap();
    let select = "SELECT action, actor, detail FROM audit ORDER BY number";
    let rows: Vec<(String, String, String)> = database
        .prepare(select)
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let text = format!("{rows:?}");
    assert!(!text.contains("log me") && !text.contains("nor me"), "{text}");
    let submitted = rows.iter().find(|row| row.0 == "evaluation.submit").unwrap();
    assert_eq!(submitted.1, site.id_of("alice"));
    assert!(submitted.2.contains("code_sha256"), "{text}");
    assert_eq!(rows.iter().filter(|row| row.0 == "key.create").count(), 3);
    // A change is found, and so is a removed end, with the head from before.
    database.execute("UPDATE audit SET actor = 'x' WHERE number = 2", []).unwrap();
    let output = site.command(&["audit", "verify"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("row 2 was changed"), "{output:?}");
    database
        .execute_batch("DELETE FROM audit; UPDATE counters SET value = 0 WHERE name = 'audit_rows'")
        .unwrap();
    assert!(site.command(&["audit", "verify"]).status.success());
    assert!(!site.command(&["audit", "verify", "--head", &head]).status.success());
}
