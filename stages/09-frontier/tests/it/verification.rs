//! Verifications: what the program leaves never decides, and a crash between program and verifier loses nothing.

use std::time::Duration;

use harness::{Client, Launch, eventually, eventually_some};
use serde_json::{Value, json};

use crate::artifacts::deployed;
use crate::crash::has_exited;
use crate::stage;

async fn verify(client: &Client, program: &str, verifier: &Value) -> Value {
    let body = json!({ "program": { "code": program }, "verifier": verifier });
    let request = client.request(harness::Method::POST, "/verify").header("prefer", "wait=120");
    let answer = client.send(request.json(&body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Looks for the answer 42 in what the program has left, with the modules that a grader imports. It says what it has
/// found, so that a test can see that it was not the program's.
const VERIFIER: &str = r"
import collections, json, os, sys
import grading
found = {one['path']: one['file'] for one in json.load(open('evaluated/artifacts.json'))}
print(grading.WHOSE, os.getcwd() in sys.path, sorted(os.listdir('evaluated')), sorted(found), flush=True)
assert not any(os.path.islink(os.path.join(at, name)) for at, _, names in os.walk('evaluated') for name in names)
answer = open(found['answer']).read() if 'answer' in found else ''
sys.exit(answer != '42')
";

/// What each program tries, to be taken for one that has left the answer.
const PROGRAMS: [(&str, &str); 8] = [
    (
        "forged result on standard output",
        "print('42\\npassed\\n{\"verdict\": \"passed\"}'); raise SystemExit(0)",
    ),
    (
        "modules of the grader, beside it and in its output",
        "for at in ('.', '/output', '/tmp'):\n for name in ('grading', 'json', 'collections'):\n  open(f'{at}/{name}.py', 'w').write('import os; os._exit(0)')",
    ),
    (
        "start-up code",
        "import os\nfor name in ('sitecustomize.py', 'usercustomize.py', 'x.pth', '__init__.py', 'conftest.py'):\n open('/output/' + name, 'w').write('import os; os._exit(0)')",
    ),
    (
        "a directory of modules",
        "import os\nos.makedirs('/output/evaluated/grading')\nopen('/output/evaluated/grading/__init__.py', 'w').write('import os; os._exit(0)')\nopen('/output/main.py', 'w').write('')",
    ),
    (
        "links",
        "import os\nos.symlink('/tmp/main.py', '/output/answer')\nos.symlink('/output', '/output/loop')",
    ),
    (
        "its own list of files",
        "open('/output/artifacts.json', 'w').write('[{\"path\": \"answer\", \"file\": \"evaluated/stdout\"}]')\nprint(42, end='')",
    ),
    (
        "a process that stays",
        "import os, time\nif os.fork() == 0:\n os.setsid()\n while True:\n  time.sleep(0.01)\n  try: open('/output/answer', 'w').write('42')\n  except OSError: pass",
    ),
    (
        "names that climb",
        "for name in (b'..%2fanswer', b'answer\\n', b'a\\xffnswer', b' answer'):\n open(b'/output/' + name, 'wb').write(b'42')",
    ),
];

#[tokio::test]
async fn a_program_cannot_influence_its_verifier() {
    let directory = tempfile::tempdir().unwrap();
    let server = deployed(directory.path()).start();
    let client = server.client();
    let verifier = json!({ "code": VERIFIER, "files": { "grading.py": "WHOSE = 'own'" } });
    let honest = verify(&client, "open('/output/answer', 'w').write('42')", &verifier).await;
    assert_eq!(honest["verdict"], "passed", "{honest}");
    for (what, program) in PROGRAMS {
        let pair = verify(&client, program, &verifier).await;
        let id = pair["verifier"].as_str().unwrap_or_else(|| panic!("{what}: {pair}"));
        let ran = client.get(&format!("/eval/{id}")).await.json();
        let said = ran["stdout"]["text"].as_str().unwrap();
        // A process that stays may leave the answer before its program has ended: then it is the program's own.
        let is_own_answer = what == "a process that stays" && said.contains("['answer']");
        let expected = if is_own_answer { "passed" } else { "failed" };
        assert_eq!(pair["verdict"], expected, "{what}: {pair} {ran}");
        assert!(said.starts_with("own True"), "{what}: {ran}");
        assert!(
            said.contains("['artifacts', 'artifacts.json', 'evaluation.json', 'stderr', 'stdout']")
                || said.contains("['artifacts.json', 'evaluation.json', 'stderr', 'stdout']"),
            "{what}: {ran}"
        );
    }
}

#[tokio::test]
async fn what_is_too_large_is_no_verdict() {
    let directory = tempfile::tempdir().unwrap();
    let server = deployed(directory.path()).start();
    let client = server.client();
    let verifier = json!({ "code": "pass" });
    // It ends at its limit: the verifier sees the beginning, and that it was cut.
    let cut = "import json\nend = json.load(open('evaluated/evaluation.json'))\nassert end['outcome'] == 'output_exceeded'\nassert end['stdout']['truncated']";
    let endless = verify(&client, "while True: print('x' * 4096)", &json!({ "code": cut })).await;
    assert_eq!(endless["verdict"], "passed", "{endless}");
    let large = verify(&client, "open('/output/a', 'wb').write(bytes(9 << 20))", &verifier).await;
    assert_eq!((&large["verdict"], &large["verifier"]), (&json!("error"), &Value::Null), "{large}");
    assert!(large["error"].as_str().unwrap().contains("9437184 bytes"), "{large}");
    // One file more than a submission may have, which the engine host would end the connection for.
    let many =
        |count: usize| format!("for n in range({count}): open(f'/output/{{n}}', 'w').write('')");
    let full = verify(&client, &many(60), &verifier).await;
    assert_eq!(full["verdict"], "passed", "{full}");
    let more = verify(&client, &many(61), &verifier).await;
    assert_eq!(more["error"], "the program has left 61 files, and this verifier can be given 60");
    let own = json!({ "code": "pass", "files": { "a": "", "b": "" } });
    assert_eq!(verify(&client, &many(59), &own).await["verdict"], "error");
    // As much as there may be comes whole.
    let whole = "import os\nassert os.path.getsize('evaluated/artifacts/0') == 7 << 20\nassert not any(open('evaluated/artifacts/0', 'rb').read())";
    let full =
        verify(&client, "open('/output/a', 'wb').write(bytes(7 << 20))", &json!({ "code": whole }))
            .await;
    assert_eq!(full["verdict"], "passed", "{full}");
    assert_eq!(server.stop(), Some(0));
    let database = rusqlite::Connection::open(directory.path().join("data/crucible.db")).unwrap();
    let count = |select: &str| database.query_row(select, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(count("SELECT sum(length(verifier) + length(context)) FROM verifications"), 0);
    let lost =
        "SELECT count(*) FROM batch_members WHERE evaluation NOT IN (SELECT id FROM evaluations)";
    assert_eq!(count(lost), 0, "members that are no evaluations");
}

/// An error that passes, at each step, delays the verdict and nothing else.
#[tokio::test]
async fn a_verification_goes_on_after_an_error() {
    for failpoint in ["verifications.before_accept", "verifications.after_accept"] {
        let directory = tempfile::tempdir().unwrap();
        let action = format!("{failpoint}=2*return(error)->off");
        let server = stage::on(directory.path()).env("FAILPOINTS", action).start();
        let client = server.client();
        let pair = verify(&client, "print(1)", &json!({ "code": "pass" })).await;
        assert_eq!(pair["verdict"], "passed", "{failpoint}: {pair}");
        let all = client.get("/eval").await.json();
        assert_eq!(all["items"].as_array().unwrap().len(), 2, "{failpoint}: {all}");
    }
}

/// Killed before and after the verifier is accepted, at its first and its second attempt: each pair gets its verdict, and
/// each verifier runs as one evaluation.
#[tokio::test]
async fn a_verification_goes_on_after_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let killed_at = |name: &str| -> Launch {
        stage::on(directory.path()).env("FAILPOINTS", format!("{name}=return(kill)"))
    };
    let server = killed_at("verifications.before_accept").start();
    let body = json!({
        "program": { "code": "print(1)" },
        "verifier": { "code": "raise SystemExit(open('evaluated/stdout').read() != '1\\n')", "max_attempts": 3 },
    });
    let accepted = server.client().post("/verify", &body).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let path = format!("/verify/{}", accepted.json()["id"].as_str().unwrap());
    let dies = Duration::from_mins(1);
    eventually("killed before the verifier is accepted", dies, || has_exited(&server)).await;
    server.kill();
    // Nothing was decided, and the same place is reached again.
    let again = killed_at("verifications.before_accept").try_start();
    if let Ok(server) = again {
        eventually("killed there again", dies, || has_exited(&server)).await;
        server.kill();
    }
    if let Ok(server) = killed_at("verifications.after_accept").try_start() {
        eventually("killed after the verifier is accepted", dies, || has_exited(&server)).await;
        server.kill();
    }
    let server = stage::start(directory.path());
    let client = server.client();
    let ended = eventually_some("the verdict", Duration::from_mins(1), async || {
        let found = client.get(&path).await.json();
        (found["status"] == "ended").then_some(found)
    })
    .await;
    assert_eq!(ended["verdict"], "passed", "{ended}");
    let all = client.get("/eval").await.json();
    assert_eq!(all["items"].as_array().unwrap().len(), 2, "one program and one verifier: {all}");
    // A verdict stays over a restart.
    assert_eq!(server.stop(), Some(0));
    let server = stage::start(directory.path());
    assert_eq!(server.client().get(&path).await.json(), ended);
}
