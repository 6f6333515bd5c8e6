//! One key against the evaluations of another.

use serde_json::json;

use super::{Tenants, clients};

#[tokio::test]
async fn another_keys_evaluation_does_not_exist() {
    let Tenants { alice, mallory, admin, server, site } = Tenants::new();
    clients::another_keys_evaluation_does_not_exist(&alice, &mallory, &admin).await;
    // What the administrator has done is in the audit log.
    drop(server);
    let database = rusqlite::Connection::open(site.database()).unwrap();
    let count = "SELECT count(*) FROM audit WHERE action = 'admin.access' AND actor = ?1";
    let rows: i64 = database.query_row(count, [site.id_of("admin")], |row| row.get(0)).unwrap();
    assert!(rows >= 2, "{rows}");
}

#[tokio::test]
async fn a_list_has_own_evaluations_only_whatever_the_cursor() {
    let Tenants { alice, mallory, admin, server: _server, site: _site, .. } = Tenants::new();
    clients::a_list_has_own_evaluations_only(&alice, &mallory, &admin).await;
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

#[tokio::test]
async fn a_wrong_head_without_a_key_is_answered_as_a_right_one() {
    let Tenants { alice, server, site: _site, .. } = Tenants::new();
    clients::a_wrong_head_is_named_to_those_with_a_key(&alice, &server.client()).await;
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
