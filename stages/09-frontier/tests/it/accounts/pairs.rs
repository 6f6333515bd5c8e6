//! Comparisons, verifications and stored submissions over HTTP, for clients with keys.

use std::time::Duration;

use harness::{Client, Method, Response, eventually_some};
use serde_json::{Value, json};

use super::{Site, Tenants};

const SAME: [&str; 2] = ["python", "python"];

async fn post(client: &Client, path: &str, wait: Option<&str>, body: &Value) -> Response {
    let request = client.request(Method::POST, path);
    let request = wait.into_iter().fold(request, |request, wait| request.header("prefer", wait));
    client.send(request.json(body)).await
}

fn id_of(response: &Response) -> String {
    response.json()["id"].as_str().unwrap_or_else(|| panic!("{response:?}")).to_owned()
}

/// A resource, once it has ended.
async fn ended(client: &Client, path: &str) -> Value {
    eventually_some(path, Duration::from_mins(1), async || {
        let found = client.get(path).await.json();
        (found["status"] == "ended").then_some(found)
    })
    .await
}

fn verification(program: &str, verifier: &str) -> Value {
    json!({ "program": { "code": program }, "verifier": { "code": verifier } })
}

#[tokio::test]
async fn what_differs_between_two_runs_is_one_answer() {
    let Tenants { alice, server: _server, site: _site, .. } = Tenants::new();
    // Two runs of it are two processes.
    let code = "import os, sys\nprint('same')\nprint(os.getpid())\nprint('err', file=sys.stderr)\nraise SystemExit(os.getpid() % 2)";
    let body = json!({ "program": { "code": code, "labels": { "a": "b" } }, "environments": SAME });
    let compared = post(&alice, "/compare", Some("wait=60"), &body).await;
    assert_eq!(compared.status, 200, "{compared:?}");
    assert_eq!(compared.headers["preference-applied"], "wait=60");
    let id = id_of(&compared);
    assert_eq!(compared.headers["location"], format!("/compare/{id}").as_str());
    let comparison = compared.json();
    let differences = &comparison["differences"];
    assert_eq!(
        (&differences["same"], &differences["stdout"]["same"]),
        (&json!(false), &json!(false))
    );
    let diff = differences["stdout"]["diff"].as_str().unwrap();
    assert!(diff.starts_with("@@ -1,2 +1,2 @@\n same\n-"), "{diff}");
    assert_eq!(
        differences["stderr"],
        json!({ "same": true, "removed": 0, "added": 0, "diff": "", "truncated": false })
    );
    assert!(differences["usage"]["wall_ms"].is_i64() || differences["usage"]["wall_ms"].is_u64());
    // Both are evaluations like any other.
    for evaluation in comparison["evaluations"].as_array().unwrap() {
        assert_eq!(evaluation["environment"], "python");
        let own = alice.get(&format!("/eval/{}", evaluation["id"].as_str().unwrap())).await.json();
        assert_eq!((&own["outcome"], &own["labels"]["a"]), (&evaluation["outcome"], &json!("b")));
        assert_eq!(own["exit_code"], evaluation["exit_code"]);
    }
    let constant = json!({ "program": { "code": "print(1)" }, "environments": SAME });
    let accepted = post(&alice, "/compare", None, &constant).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let same = ended(&alice, &format!("/compare/{}", id_of(&accepted))).await;
    assert_eq!(same["differences"]["same"], true, "{same}");
}

#[tokio::test]
async fn a_comparison_that_is_wrong_is_refused_as_a_whole() {
    let Tenants { alice, server: _server, site: _site, .. } = Tenants::with(&["--key-queued", "1"]);
    let program = json!({ "code": "pass" });
    for (body, status, pointer) in [
        (json!({}), 400, ""),
        (json!([]), 400, ""),
        (json!({ "program": program }), 400, ""),
        (json!({ "program": program, "environments": "python" }), 400, ""),
        (json!({ "program": program, "environments": ["python"] }), 422, "/environments"),
        (
            json!({ "program": program, "environments": ["python", "python", "python"] }),
            422,
            "/environments",
        ),
        (
            json!({ "program": program, "environments": ["python", "nothing"] }),
            422,
            "/environments/1",
        ),
        (json!({ "program": program, "environments": ["../x", "python"] }), 422, "/environments/0"),
        (json!({ "program": program, "environments": ["/etc", "python"] }), 422, "/environments/0"),
        (json!({ "program": program, "environments": SAME, "engines": SAME }), 400, ""),
        (
            json!({ "program": { "code": "", "environment": "python" }, "environments": SAME }),
            422,
            "/program/environment",
        ),
        (
            json!({ "program": { "code": "", "timeout_seconds": 1e9 }, "environments": SAME }),
            422,
            "/program/timeout_seconds",
        ),
    ] {
        let refused = post(&alice, "/compare", None, &body).await;
        assert_eq!(refused.status, status, "{body} {refused:?}");
        if status == 422 {
            assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{refused:?}");
        }
    }
    let body = json!({ "program": program, "environments": SAME });
    assert_eq!(post(&alice, "/compare", Some("wait=301"), &body).await.status, 400);
    assert_eq!(alice.get("/compare/nothing").await.status, 404);
    // Two evaluations need two places, and a key has one: waiting would not help.
    assert_eq!(post(&alice, "/compare", None, &body).await.status, 422);
    assert_eq!(alice.get("/eval").await.json()["items"], json!([]));
}

#[tokio::test]
async fn a_program_passes_or_fails_by_the_exit_code_of_its_verifier() {
    let Tenants { alice, server: _server, site: _site, .. } = Tenants::new();
    let check = "import json, sys\nend = json.load(open('evaluated/evaluation.json'))\n\
                 assert open('evaluated/artifacts.json').read() == '[]'\n\
                 sys.exit((end['outcome'], open('evaluated/stdout').read()) != ('exited', '42\\n'))";
    for (program, verifier, verdict, error) in [
        ("print(6 * 7)", check, "passed", Value::Null),
        ("print(41)", check, "failed", Value::Null),
        ("print(42); raise SystemExit(1)", "raise SystemExit(3)", "failed", Value::Null),
        (
            "pass",
            "import os; os.kill(os.getpid(), 9)",
            "error",
            json!("the verifier did not run to its end: signaled"),
        ),
    ] {
        let verified =
            post(&alice, "/verify", Some("wait=60"), &verification(program, verifier)).await;
        assert_eq!(verified.status, 200, "{verified:?}");
        let answer = verified.json();
        assert_eq!((&answer["verdict"], &answer["error"]), (&json!(verdict), &error), "{answer}");
        assert_eq!(verified.headers["location"], format!("/verify/{}", id_of(&verified)).as_str());
        for which in ["program", "verifier"] {
            let id = answer[which].as_str().unwrap();
            assert!(
                alice.get(&format!("/eval/{id}")).await.json()["outcome"].is_string(),
                "{answer}"
            );
        }
        assert_eq!(alice.get(&format!("/verify/{}", id_of(&verified))).await.json(), answer);
    }
    // A program that was cancelled was not run: there is nothing to verify, and no verifier.
    let accepted = post(&alice, "/verify", None, &verification("while True: pass", "pass")).await;
    assert_eq!((accepted.status, &accepted.json()["verdict"]), (202, &Value::Null));
    let program = accepted.json()["program"].as_str().unwrap().to_owned();
    alice.delete(&format!("/eval/{program}")).await;
    let cancelled = ended(&alice, &format!("/verify/{}", id_of(&accepted))).await;
    assert_eq!((&cancelled["verdict"], &cancelled["verifier"]), (&json!("error"), &Value::Null));
    assert_eq!(cancelled["error"], "the program did not run to its end: cancelled");
}

#[tokio::test]
async fn a_verification_that_is_wrong_is_refused_as_a_whole() {
    let Tenants { alice, server: _server, site, .. } = Tenants::new();
    let program = json!({ "code": "pass" });
    for (body, status, pointer) in [
        (json!({}), 400, ""),
        (json!({ "program": program }), 400, ""),
        (json!({ "program": program, "verifier": "x" }), 400, ""),
        (json!({ "program": program, "verifier": program, "more": program }), 400, ""),
        (
            json!({ "program": { "code": "", "environment": "nothing" }, "verifier": program }),
            422,
            "/program/environment",
        ),
        (
            json!({ "program": program, "verifier": { "code": "", "environment": "../x" } }),
            422,
            "/verifier/environment",
        ),
        (
            json!({ "program": program, "verifier": { "code": "", "files": { "evaluated/stdout": "" } } }),
            422,
            "/verifier/files/evaluated~1stdout",
        ),
        (
            json!({ "program": program, "verifier": { "code": "", "files": { "evaluated": "" } } }),
            422,
            "/verifier/files/evaluated",
        ),
    ] {
        let refused = post(&alice, "/verify", None, &body).await;
        assert_eq!(refused.status, status, "{body} {refused:?}");
        if status == 422 {
            assert_eq!(refused.json()["errors"][0]["pointer"], pointer, "{refused:?}");
        }
    }
    assert_eq!(alice.get("/eval").await.json()["items"], json!([]));
    drop(site);
    let site = Site::new();
    let server = site.launch().args(["--strict-contract", "--storage", "memory"]).start();
    let refused = post(&server.client(), "/verify", None, &verification("pass", "pass")).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let body = json!({ "program": program, "environments": SAME });
    let compared = post(&server.client(), "/compare", Some("wait=60"), &body).await;
    assert_eq!(compared.json()["differences"]["same"], true, "{compared:?}");
}

#[tokio::test]
async fn another_keys_pair_does_not_exist_and_a_repeated_request_makes_one() {
    let Tenants { alice, mallory, admin, server: _server, site } = Tenants::new();
    let compare = json!({ "program": { "code": "print(1)" }, "environments": SAME });
    for (path, body) in [("/compare", compare), ("/verify", verification("print(1)", "pass"))] {
        let key = format!("\"of {path}\"");
        let with_key = async |client: &Client, path: &str, body: &Value| {
            let request = client.request(Method::POST, path).header("idempotency-key", &key);
            client.send(request.json(body)).await
        };
        let first = with_key(&alice, path, &body).await;
        assert_eq!(first.status, 202, "{first:?}");
        let again = with_key(&alice, path, &body).await;
        assert_eq!((again.status, id_of(&again)), (202, id_of(&first)));
        assert_eq!(with_key(&alice, "/eval", &json!({ "code": "print(1)" })).await.status, 422);
        let one = format!("{path}/{}", id_of(&first));
        assert_eq!(mallory.get(&one).await.status, 404);
        assert_eq!(admin.get(&one).await.status, 200);
        assert_ne!(id_of(&with_key(&mallory, path, &body).await), id_of(&first));
        // A pair is no batch, although it is stored as one.
        for batch in
            [format!("/batches/{}", id_of(&first)), format!("/batches/{}/results", id_of(&first))]
        {
            assert_eq!(alice.get(&batch).await.status, 404, "{batch}");
        }
        ended(&alice, &one).await;
    }
    let evaluations = alice.get("/eval").await.json()["items"].as_array().unwrap().len();
    assert_eq!(evaluations, 4, "two that are compared, a program and its verifier");
    let audit = admin.get("/audit?limit=100").await.json();
    for action in ["comparison.submit", "verification.submit"] {
        let of_it = audit["items"].as_array().unwrap().iter().filter(|row| row["action"] == action);
        assert_eq!(of_it.count(), 2, "{action}: {audit}");
    }
    assert!(site.output(&["audit", "verify"]).contains("none changed"));
}

#[tokio::test]
async fn a_verifier_waits_for_a_place_of_its_key() {
    let Tenants { alice, server: _server, site: _site, .. } =
        Tenants::with(&["--key-queued", "1", "--workers", "1"]);
    let slow = verification("import time; time.sleep(1)", "pass");
    let accepted = post(&alice, "/verify", None, &slow).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let program = accepted.json()["program"].as_str().unwrap().to_owned();
    eventually_some("it runs", Duration::from_mins(1), async || {
        (alice.get(&format!("/eval/{program}")).await.json()["status"] != "queued").then_some(())
    })
    .await;
    // The only place is taken when the program ends.
    let blocker = json!({ "code": "import time; time.sleep(2)" });
    eventually_some("the place is taken", Duration::from_mins(1), async || {
        (alice.post("/eval", &blocker).await.status == 202).then_some(())
    })
    .await;
    let verified = ended(&alice, &format!("/verify/{}", id_of(&accepted))).await;
    assert_eq!(verified["verdict"], "passed", "{verified}");
}

#[tokio::test]
async fn another_keys_submission_does_not_exist_and_ones_own_can_be_sent_again() {
    let Tenants { alice, mallory, admin, server, site } = Tenants::new();
    let submission = json!({
        "code": "import sys\nprint(sys.stdin.read(), open('a/b.txt').read(), len(open('c', 'rb').read()))",
        "environment": "python", "stdin": "in", "files": { "a/b.txt": "é", "c": { "base64": "/w==" } },
        "timeout_seconds": 7.5, "memory_bytes": 134_217_728, "labels": { "k": "v" },
        "priority": "low", "queue_timeout_seconds": 60.0, "max_attempts": 2,
    });
    let id = alice.submit(&submission).await;
    let first = alice.wait(&id).await;
    let path = format!("/eval/{id}/submission");
    let stored = alice.get(&path).await;
    assert_eq!((stored.status, stored.json()), (200, submission.clone()), "{stored:?}");
    let again = alice.submit(&stored.json()).await;
    assert_eq!(alice.wait(&again).await["stdout"], first["stdout"]);
    assert_eq!((mallory.get(&path).await.status, admin.get(&path).await.status), (404, 200));
    assert_eq!(server.client().get(&path).await.status, 401);
    let unknown = path.replace(&id[..8], "00000000");
    assert_eq!(alice.get(&unknown).await.status, 404);
    // What a verifier has found is not what was submitted.
    let pair = post(&alice, "/verify", Some("wait=60"), &verification("print(1)", "pass")).await;
    let verifier = pair.json()["verifier"].as_str().unwrap().to_owned();
    let submitted = alice.get(&format!("/eval/{verifier}/submission")).await.json();
    assert_eq!((&submitted["code"], submitted.get("files")), (&json!("pass"), None));
    drop((server, site));
    let site = Site::new();
    let server = site.launch().args(["--strict-contract", "--storage", "memory"]).start();
    let ended = server.client().run("print(1)").await;
    let path = format!("/eval/{}/submission", ended["id"].as_str().unwrap());
    assert_eq!(server.client().get(&path).await.status, 404);
}
