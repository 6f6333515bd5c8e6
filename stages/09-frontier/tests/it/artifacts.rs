//! The files that programs leave, from a sandbox of gVisor through both processes to another start.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use harness::{Launch, Server};
use serde_json::{Value, json};

use crate::accounts::Site;
use crate::stage;
use crate::storage::command;

/// The stage as it is deployed: two processes, and gVisor.
pub(crate) fn deployed(directory: &Path) -> Launch {
    // The API process has no rights, and has to reach the directory.
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory, open).unwrap();
    Launch::new(stage::BINARY)
        .args(["--strict-contract", "--warm-sandboxes", "1", "--workers", "2"])
        .arg("--data-dir")
        .arg(directory.join("data"))
}

/// Names that would be harmful if they were more than data, each with itself as content.
const PROGRAM: &str = r"
import os
os.chdir('/output')
os.mkdir('plots')
for name in (b'plots/loss.png', b'..%2f..%2fetc%2fpasswd', b'<script>alert(1)<.html', b'a\r\nSet-Cookie: x=1', b'\xff'):
    open(name, 'wb').write(name)
open('large', 'wb').write(b'x' * (3 << 20))
os.symlink('/etc/passwd', 'link')
";

async fn list(client: &harness::Client, id: &str) -> Vec<Value> {
    let list = client.get(&format!("/eval/{id}/artifacts")).await;
    assert_eq!(list.status, 200, "{list:?}");
    list.json()["items"].as_array().unwrap().clone()
}

fn id_of(evaluation: &Value) -> String {
    evaluation["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn hostile_names_are_data() {
    let directory = tempfile::tempdir().unwrap();
    let server = deployed(directory.path()).start();
    let client = server.client();
    let ended = client.run(PROGRAM).await;
    assert_eq!(ended["outcome"], "exited", "{ended}");
    assert_eq!(ended["evidence"]["output.skipped"], 1, "{ended}");
    let id = id_of(&ended);
    let items = list(&client, &id).await;
    let paths: Vec<_> = items.iter().map(|item| item["path"].as_str().unwrap()).collect();
    let expected = [
        "..%2f..%2fetc%2fpasswd",
        "<script>alert(1)<.html",
        "a\r\nSet-Cookie: x=1",
        "large",
        "plots/loss.png",
        "/w==",
    ];
    assert_eq!(paths, expected);
    let listed = ended["artifacts"].as_array().unwrap();
    assert!(listed.iter().zip(&items).all(|(one, other)| one["path"] == other["path"]), "{ended}");
    assert_eq!(ended, client.evaluation(&id).await);
    for (number, item) in items.iter().enumerate() {
        let file = client.get(&format!("/eval/{id}/artifacts/{number}")).await;
        assert_eq!(file.status, 200, "{item}");
        assert_eq!(file.body.len() as u64, item["bytes"].as_u64().unwrap());
        match item["encoding"].as_str().unwrap() {
            _ if item["path"] == "large" => assert_eq!(file.body.len(), 3 << 20),
            "utf8" => assert_eq!(file.body, item["path"].as_str().unwrap().as_bytes()),
            _ => assert_eq!(&file.body[..], b"\xff"),
        }
        let header = |name: &str| file.headers[name].to_str().unwrap();
        assert_eq!(header("content-type"), "application/octet-stream");
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("content-security-policy"), "default-src 'none'; sandbox");
        assert!(header("content-disposition").starts_with("attachment; filename=\""), "{item}");
        assert!(!file.headers.contains_key("set-cookie"));
    }
    for number in ["6", "-1", "x", "4294967296", "..%2f0", "%00"] {
        let missing = client.get(&format!("/eval/{id}/artifacts/{number}")).await;
        assert!([400, 404].contains(&missing.status), "{number}: {missing:?}");
    }
    let none = format!("/eval/{}/artifacts", "00000000-0000-7000-8000-000000000000");
    assert_eq!(client.get(&none).await.status, 404);
    // Another start has them, and an evaluation that goes takes its files with it.
    server.kill();
    restarted(deployed(directory.path()).args(["--storage-entries", "1"]).start(), &id, &items)
        .await;
    let (code, report) = command(&directory.path().join("data"), &["doctor"]);
    assert!(report.contains("is whole: 1 evaluations") && report.contains("0 files"), "{report}");
    assert_eq!(code, Some(0), "{report}");
}

async fn restarted(server: Server, id: &str, items: &[Value]) {
    let client = server.client();
    assert_eq!(list(&client, id).await.as_slice(), items);
    let running = client.submit_code("import time; time.sleep(1)").await;
    assert!(list(&client, &running).await.is_empty());
    let path = format!("/eval/{id}/artifacts/0");
    harness::eventually_some("it is deleted", Duration::from_secs(20), async || {
        (client.get(&path).await.status == 404).then_some(())
    })
    .await;
    assert_eq!(server.stop(), Some(0));
}

/// The other engines take files as well, and a limit is no reason not to.
#[tokio::test]
async fn every_engine_takes_the_files_of_a_program_at_its_limit() {
    for engine in ["gvisor", "docker", "gvisor-docker"] {
        let directory = tempfile::tempdir().unwrap();
        let server = deployed(directory.path()).args(["--engine", engine]).start();
        let client = server.client();
        let code = "for n in range(64): open(f'/output/{n:02}', 'w').write(f'{n} ' * n)\n\
                    while True: pass";
        let ended = client.eval(&json!({ "code": code, "timeout_seconds": 2 })).await;
        assert_eq!(ended["outcome"], "wall_time_exceeded", "{engine}: {ended}");
        let items = list(&client, &id_of(&ended)).await;
        assert_eq!(items.len(), 64, "{engine}: {ended}");
        for number in [0, 1, 63] {
            let file = client.get(&format!("/eval/{}/artifacts/{number}", id_of(&ended))).await;
            assert_eq!(file.text(), format!("{number} ").repeat(number), "{engine}");
        }
        assert_eq!(server.stop(), Some(0), "{engine}");
        let (code, report) = command(&directory.path().join("data"), &["doctor"]);
        assert!(report.contains("1 files"), "one for all: {report}");
        assert_eq!(code, Some(0), "{report}");
    }
}

#[tokio::test]
async fn another_keys_files_do_not_exist() {
    let site = Site::new();
    let keys = ["alice", "mallory"].map(|name| site.key(name, &["submit", "read"]));
    let admin = site.key("admin", &["admin"]);
    let server = Launch::new(stage::BINARY)
        .args(["--single-process", "--strict-contract", "--warm-sandboxes", "1", "--data-dir"])
        .arg(site.path())
        .start();
    let [alice, mallory] = keys.map(|key| server.client().with_key(&key));
    let ended = alice.run("open('/output/secret', 'w').write('of alice')").await;
    let paths = ["", "/0", "/1"].map(|end| format!("/eval/{}/artifacts{end}", id_of(&ended)));
    let statuses = async |client: &harness::Client| {
        let mut statuses = Vec::new();
        for path in &paths {
            statuses.push(client.get(path).await.status);
        }
        statuses
    };
    assert_eq!(statuses(&alice).await, [200, 200, 404]);
    assert_eq!(statuses(&mallory).await, [404, 404, 404]);
    assert_eq!(statuses(&server.client()).await, [401, 401, 401]);
    assert_eq!(statuses(&server.client().with_key(&admin)).await, [200, 200, 404]);
    assert_eq!(alice.get(&paths[1]).await.text(), "of alice");
}
