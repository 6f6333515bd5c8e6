//! What clients with keys can rely on, whatever stores their evaluations. The package of the function has the same.

use harness::{Client, Method, Response};
use serde_json::{Value, json};

/// Requests that another key makes with the id of an evaluation.
const ROUTES: [(Method, &str); 3] =
    [(Method::GET, ""), (Method::GET, "/events"), (Method::DELETE, "")];
/// No evaluation has this id.
const NOTHING: &str = "0197abcd-f012-7345-8678-9abcdef01234";

pub(crate) async fn post_with_key(
    client: &Client,
    path: &str,
    key: &str,
    body: &Value,
) -> Response {
    let request = client.request(Method::POST, path).header("idempotency-key", key).json(body);
    client.send(request).await
}

pub(crate) fn id_of(response: &Response) -> String {
    response.json()["id"].as_str().unwrap_or_else(|| panic!("{response:?}")).to_owned()
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap_or_else(|| panic!("{page}")).iter();
    items.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
}

pub(crate) async fn a_repeated_request_makes_nothing_new(alice: &Client, mallory: &Client) {
    let program = json!({ "code": "print(1)" });
    let first = post_with_key(alice, "/eval", "\"k-1\"", &program).await;
    assert_eq!(first.status, 202, "{first:?}");
    let again = post_with_key(alice, "/eval", "\"k-1\"", &program).await;
    assert_eq!((again.status, id_of(&again)), (202, id_of(&first)));
    assert_eq!(again.headers["location"], first.headers["location"]);
    let other = post_with_key(alice, "/eval", "\"k-1\"", &json!({ "code": "print(2)" })).await;
    assert_eq!(other.status, 422, "{other:?}");
    // The options are a part of the request.
    let mut twice = program.clone();
    twice["max_attempts"] = 2.into();
    assert_eq!(post_with_key(alice, "/eval", "\"k-1\"", &twice).await.status, 422);
    // With a wait the repetition gets the end.
    let request = alice.request(Method::POST, "/eval").header("idempotency-key", "\"k-1\"");
    let ended = alice.send(request.header("prefer", "wait=30").json(&program)).await;
    assert_eq!((ended.status, id_of(&ended)), (200, id_of(&first)));
    assert_eq!(ended.json()["stdout"]["text"], "1\n");
    // Attack: another API key replays the key, to get the evaluation.
    let theirs = post_with_key(mallory, "/eval", "\"k-1\"", &program).await;
    assert_eq!(theirs.status, 202);
    assert_ne!(id_of(&theirs), id_of(&first));
    assert_eq!(ids(&alice.get("/eval").await.json()), [id_of(&first)]);
    for key in ["k-1", "\"\"", "\"a", "'a'", "\"a\", \"b\"", &format!("\"{}\"", "x".repeat(256))] {
        assert_eq!(post_with_key(alice, "/eval", key, &program).await.status, 400, "{key}");
    }
    let twice = alice.request(Method::POST, "/eval").header("idempotency-key", "\"a\"");
    let twice = alice.send(twice.header("idempotency-key", "\"b\"").json(&program)).await;
    assert_eq!(twice.status, 400);
    // What was refused leaves the key unused.
    let invalid = json!({ "code": "print(1)", "timeout_seconds": 1e9 });
    assert_eq!(post_with_key(alice, "/eval", "\"k-2\"", &invalid).await.status, 422);
    assert_eq!(post_with_key(alice, "/eval", "\"k-2\"", &program).await.status, 202);
}

pub(crate) async fn parallel_repetitions_make_one_evaluation(alice: &Client) {
    let before = ids(&alice.get("/eval").await.json());
    let program = json!({ "code": "print(1)" });
    let sent = (0..20).map(|_| post_with_key(alice, "/eval", "\"same\"", &program));
    let responses = futures_util::future::join_all(sent).await;
    let accepted: Vec<_> = responses.iter().filter(|one| one.status == 202).map(id_of).collect();
    assert!(!accepted.is_empty() && accepted.iter().all(|id| *id == accepted[0]), "{accepted:?}");
    let rest = responses.iter().filter(|one| one.status != 202);
    rest.for_each(|one| {
        assert_eq!(one.status, 409, "{one:?}");
        assert_eq!(one.headers["retry-after"], "1");
    });
    assert_eq!(ids(&alice.get("/eval").await.json()).len(), before.len() + 1);
}

pub(crate) async fn another_keys_evaluation_does_not_exist(
    alice: &Client,
    mallory: &Client,
    admin: &Client,
) {
    let secret = "print('the answer is 42')";
    let ended = alice.run(secret).await["id"].as_str().unwrap().to_owned();
    let running = alice.submit_code("import time; time.sleep(60)").await;
    alice.wait_for_status(&running, "running").await;
    for (method, suffix) in ROUTES {
        let mut answers = Vec::new();
        for id in [ended.as_str(), running.as_str(), NOTHING] {
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
    // An administrator sees it.
    assert_eq!(admin.evaluation(&ended).await["stdout"]["text"], "the answer is 42\n");
    let cancelled = admin.delete(&format!("/eval/{running}")).await;
    assert!([200, 202].contains(&cancelled.status), "{cancelled:?}");
    alice.wait_for_status(&running, "cancelled").await;
}

pub(crate) async fn a_list_has_own_evaluations_only(
    alice: &Client,
    mallory: &Client,
    admin: &Client,
) {
    let mut theirs = Vec::new();
    for _ in 0..3 {
        theirs.insert(0, alice.run("print(1)").await["id"].as_str().unwrap().to_owned());
    }
    let own = mallory.run("print(2)").await["id"].as_str().unwrap().to_owned();
    for query in ["", "?limit=100", "?status=completed", "?outcome=exited"] {
        let page = mallory.get(&format!("/eval{query}")).await.json();
        assert_eq!(ids(&page), std::slice::from_ref(&own), "{query}");
    }
    // A cursor is a place in the order of all evaluations, and shows none of another key.
    for id in &theirs {
        let page = mallory.get(&format!("/eval?cursor={id}")).await.json();
        assert!(ids(&page).is_empty());
    }
    assert_eq!(mallory.get("/eval?owner=x").await.status, 400, "no parameter chooses the owner");
    assert_eq!(ids(&alice.get("/eval").await.json()), theirs);
    assert!(ids(&admin.get("/eval").await.json()).len() >= 4);
}

/// What is wrong in the head is named to those who may make the request, and not to others.
pub(crate) async fn a_wrong_head_is_named_to_those_with_a_key(alice: &Client, stranger: &Client) {
    let events = format!("/sandboxes/{NOTHING}/execs/e/events");
    let archive = format!("/sandboxes/{NOTHING}/tar?path=a");
    for (method, path, header, value, named) in [
        (Method::GET, events.as_str(), "last-event-id", "x", 400),
        (Method::PUT, &archive, "content-type", "text/plain", 415),
        (Method::POST, "/sandboxes", "idempotency-key", "0", 400),
        (Method::GET, "/eval?limit=x", "accept", "*/*", 400),
    ] {
        for (client, status) in [(stranger, 401), (alice, named)] {
            let request = client.request(method.clone(), path).header(header, value);
            let response = client.send(request).await;
            assert_eq!(response.status, status, "{method} {path}: {response:?}");
        }
    }
    // What does not exist needs no key to be said.
    assert_eq!(stranger.get("/nothing").await.status, 404);
}
