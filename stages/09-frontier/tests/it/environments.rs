//! Environments: built once for all tests and kept, used through both processes with gVisor.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use harness::{Client, Server};
use serde_json::{Value, json};

use crate::artifacts::deployed;
use crate::stage;

/// Builds what is missing. `env build` itself waits for another one that builds.
fn built(names: &[&str]) {
    for name in names {
        let mut build = Command::new(stage::BINARY);
        let output = build.args(["env", "build", "--if-missing", name]).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn started(directory: &Path, names: &[&str]) -> Server {
    built(names);
    deployed(directory).args(["--warm-environments", "1"]).start()
}

async fn run_in(client: &Client, environment: &str, code: &str) -> Value {
    let body = json!({ "code": code, "environment": environment, "timeout_seconds": 120 });
    let ended = client.eval(&body).await;
    assert_eq!(ended["outcome"], "exited", "{ended}");
    ended
}

fn stdout(ended: &Value) -> &str {
    ended["stdout"]["text"].as_str().unwrap()
}

/// The command and the route have the same list, with what the operator has described and what is only built.
#[tokio::test]
async fn the_command_and_the_route_list_the_same_environments() {
    let directory = tempfile::tempdir().unwrap();
    let (built, described) = (directory.path().join("built"), directory.path().join("described"));
    for path in [&built, &described] {
        std::fs::create_dir(path).unwrap();
    }
    let own = "description = 'own'\npackages = ['bash']\ncommand = ['/usr/bin/bash']\nfile = 'x'\n";
    std::fs::write(described.join("own.toml"), own).unwrap();
    std::fs::write(described.join("Not-a-name.toml"), own).unwrap();
    let definition = json!({ "description": "left", "packages": ["bash"], "command": ["/usr/bin/bash"], "file": "x" });
    let digest = format!("sha256:{}", "a".repeat(64));
    let record =
        json!({ "name": "left", "digest": digest, "definition": definition, "debian": [] });
    std::fs::write(built.join("left.json"), record.to_string()).unwrap();
    let arguments = [
        "--environments-dir",
        built.to_str().unwrap(),
        "--environment-files",
        described.to_str().unwrap(),
    ];
    let list = Command::new(stage::BINARY).args(["env", "list"]).args(arguments).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let states: Vec<_> =
        list.lines().map(|line| line.split('\t').take(2).collect::<Vec<_>>()).collect();
    let expected = [
        ["agent", "missing"],
        ["javascript", "missing"],
        ["left", "built"],
        ["own", "missing"],
        ["python", "default"],
        ["science", "missing"],
        ["shell", "missing"],
    ];
    assert_eq!(states, expected, "{list}");
    assert!(list.contains(&format!("left\tbuilt\t{digest}\tleft")), "{list}");
    let server = stage::on(directory.path()).args(arguments).start();
    let shown = server.client().get("/environments").await.json();
    let names: Vec<_> = shown["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, expected.map(|[name, _]| name), "{shown}");
}

/// The pools are in the other process, and their numbers in the metrics: none in an environment that was not used.
#[tokio::test]
async fn the_sandboxes_that_wait_are_counted_by_environment() {
    let directory = tempfile::tempdir().unwrap();
    let server = started(directory.path(), &["shell"]);
    let client = server.client();
    let counted = async |environment: &str, count: u64| {
        let line = format!("crucible_warm_sandboxes{{environment=\"{environment}\"}} {count}");
        let holds = async || {
            client.get("/metrics").await.text().lines().any(|found| found == line).then_some(())
        };
        harness::eventually_some(&line, Duration::from_mins(1), holds).await;
    };
    counted("python", 1).await;
    counted("shell", 0).await;
    run_in(&client, "shell", "true").await;
    counted("shell", 1).await;
    let unsandboxed = stage::start(tempfile::tempdir().unwrap().path());
    let metrics = unsandboxed.client().get("/metrics").await.text();
    assert!(!metrics.contains("warm_sandboxes"), "{metrics}");
}

/// A program in each language does what no other environment could, with the files that were built.
#[tokio::test]
async fn each_environment_runs_programs_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let server = started(directory.path(), &["shell", "javascript"]);
    let client = server.client();
    let listed = client.get("/environments").await.json();
    let digest = |name: &str| {
        let items = listed["items"].as_array().unwrap();
        let found = items.iter().find(|item| item["name"] == name).unwrap();
        assert_eq!(found["state"], "ready", "{found}");
        found["digest"].clone()
    };
    let shell = "
        printf '#include <stdio.h>\\nint main(void){puts(\"C\");}' >a.c
        printf 'all:\\n\\tcc -o a a.c\\n' >Makefile
        make --silent && ./a && git init --quiet r && ls -A r && cat; exit 3";
    let body = json!({ "code": shell, "environment": "shell", "stdin": "input" });
    let ended = client.eval(&body).await;
    assert_eq!(stdout(&ended), "C\n.git\ninput", "{ended}");
    assert_eq!(ended["exit_code"], 3);
    assert_eq!(ended["sandbox"]["image_digest"], digest("shell"));
    let code = "console.log([1, 2].map(x => x * 2), process.cwd(), process.argv[1])";
    let ended = run_in(&client, "javascript", code).await;
    assert_eq!(stdout(&ended), "[ 2, 4 ] /tmp /tmp/main.js\n", "{ended}");
    assert_eq!(ended["sandbox"]["image_digest"], digest("javascript"));
    assert_eq!(ended["limits"]["memory_bytes"], 384 << 20);
    let ended = run_in(&client, "python", "print(6 * 7)").await;
    assert_eq!(stdout(&ended), "42\n");
    assert_eq!(ended["sandbox"]["image_digest"], digest("python"));
}

/// What a submission may not name, also in a batch, and with which limits.
#[tokio::test]
async fn what_does_not_exist_is_refused_with_what_does() {
    let directory = tempfile::tempdir().unwrap();
    let server = started(directory.path(), &["shell"]);
    let client = server.client();
    for name in ["nothing", "../x", "/etc", "shell/..", "Shell", ""] {
        let body = json!({ "code": "", "environment": name });
        for (path, body) in
            [("/eval", body.clone()), ("/batches", json!({ "evaluations": [body] }))]
        {
            let refused = client.post(path, &body).await;
            assert_eq!(refused.status, 422, "{path} {name} {refused:?}");
        }
    }
    let refused =
        client.post("/eval", &json!({ "code": "", "environment": "nothing" })).await.json();
    assert_eq!(refused["errors"][0]["pointer"], "/environment");
    assert!(refused["errors"][0]["detail"].as_str().unwrap().contains("python"), "{refused}");
    let main = json!({ "code": "", "environment": "shell", "files": { "main.sh": "" } });
    assert_eq!(client.post("/eval", &main).await.status, 422);
}

/// A picture of matplotlib is an artifact.
#[tokio::test]
async fn a_picture_of_the_science_environment_is_an_artifact() {
    let directory = tempfile::tempdir().unwrap();
    let server = started(directory.path(), &["science"]);
    let client = server.client();
    let code = "
import numpy, pandas, sympy, scipy.linalg, sklearn.linear_model, matplotlib.pyplot as plt
x = numpy.linspace(0, 6)
plt.plot(x, numpy.sin(x))
plt.savefig('/output/sine.png')
model = sklearn.linear_model.LinearRegression().fit(x.reshape(-1, 1), 2 * x)
print(round(float(model.coef_[0]), 6), sympy.integrate('x'), pandas.Series([1, 2]).sum())";
    let ended = run_in(&client, "science", code).await;
    assert_eq!(stdout(&ended), "2.0 x**2/2 3\n", "{ended}");
    let id = ended["id"].as_str().unwrap();
    let picture = client.get(&format!("/eval/{id}/artifacts/0")).await;
    assert!(picture.body.starts_with(b"\x89PNG\r\n"), "{ended}");
}

/// The root of an environment is a mount, which is gone after the end of its server: at once, or if that was killed
/// with the next start. An environment that is removed meanwhile is there for it to the end.
#[tokio::test]
async fn a_mount_ends_with_its_server_or_the_next_one() {
    let directory = tempfile::tempdir().unwrap();
    let environments = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(environments.path(), open).unwrap();
    let description =
        "description = ''\npackages = ['bash']\ncommand = ['/usr/bin/bash']\nfile = 'main.sh'\n";
    std::fs::write(environments.path().join("small.toml"), description).unwrap();
    let at = |words: &[&str]| {
        let mut words: Vec<std::ffi::OsString> = words.iter().map(Into::into).collect();
        words.extend(["--environments-dir".into(), environments.path().into()]);
        words.extend(["--environment-files".into(), environments.path().into()]);
        words
    };
    let env = |words: &[&str]| {
        assert!(Command::new(stage::BINARY).args(at(words)).status().unwrap().success());
    };
    let mounts = || {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mark = environments.path().to_str().unwrap().to_owned();
        table.lines().filter(|line| line.contains("/rootfs-small") && line.contains(&mark)).count()
    };
    env(&["env", "build", "small"]);
    let start = || deployed(directory.path()).args(at(&["--warm-environments", "0"])).start();
    let server = start();
    run_in(&server.client(), "small", "echo 1").await;
    assert_eq!(mounts(), 1);
    env(&["env", "remove", "small"]);
    let ended = run_in(&server.client(), "small", "bash -c 'echo 2'").await;
    assert_eq!(stdout(&ended), "2\n");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(mounts(), 0);
    env(&["env", "build", "small"]);
    let killed = start();
    run_in(&killed.client(), "small", "echo 3").await;
    killed.kill();
    let next = start();
    assert_eq!(mounts(), 0);
    run_in(&next.client(), "small", "echo 4").await;
}

/// Docker's engines have the environments of Python, with the same files, and say that they have no other.
#[tokio::test]
async fn docker_has_the_environments_of_python() {
    let directory = tempfile::tempdir().unwrap();
    built(&["science", "shell"]);
    let server = deployed(directory.path()).args(["--engine", "docker"]).start();
    let client = server.client();
    let listed = client.get("/environments").await.json();
    let named = |name: &str| {
        let items = listed["items"].as_array().unwrap();
        items.iter().find(|item| item["name"] == name).unwrap().clone()
    };
    assert_eq!(named("shell")["state"], "missing", "{listed}");
    let refused = client.post("/eval", &json!({ "code": "", "environment": "shell" })).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    let code =
        "import numpy, pathlib; pathlib.Path('/output/n').write_text(str(numpy.arange(4).sum()))";
    let ended = run_in(&client, "science", code).await;
    assert_eq!(ended["sandbox"]["image_digest"], named("science")["digest"], "{ended}");
    let id = ended["id"].as_str().unwrap();
    let file = client.get(&format!("/eval/{id}/artifacts/0")).await;
    assert_eq!(&file.body[..], b"6", "{ended}");
    let ended =
        run_in(&client, "python", "import importlib.util as u; print(u.find_spec('numpy'))").await;
    assert_eq!(stdout(&ended), "None\n");
}

/// What hostile programs try in an environment without Python, and what they find: nothing of the machine, of the
/// platform or of another evaluation. (The ladder's probes are Python, and run in `science`.)
#[tokio::test]
async fn nothing_escapes_from_an_environment_without_python() {
    let directory = tempfile::tempdir().unwrap();
    let server = started(directory.path(), &["shell", "javascript"]);
    let client = server.client();
    let canary = directory.path().join("canary");
    std::fs::write(&canary, "the canary").unwrap();
    let (canary, port) =
        (canary.display(), server.address().rsplit(':').next().unwrap().to_owned());
    let attack = format!(
        "cat {canary} /proc/1/root{canary} /etc/shadow /usr/lib/crucible/supervisor 2>/dev/null
        for file in /usr/bin/bash /etc/passwd /usr/lib/crucible-loader /left; do
          (echo x >>$file) 2>/dev/null && echo wrote $file
        done
        (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null && echo connected
        kill -9 1 2>/dev/null && echo killed
        find / -xdev -perm /7000 -type f 2>/dev/null
        env | grep -i -E 'crucible|key|token'
        grep -l . /proc/[0-9]*/environ 2>/dev/null | grep -v -E \"/($$|self)/\" | wc -l
        touch /tmp/mark /dev/shm/mark; ls /tmp"
    );
    for _ in 0..2 {
        let ended = run_in(&client, "shell", &attack).await;
        // Nothing but the second evaluation's own two files: not the mark of the first.
        let lines: Vec<_> =
            stdout(&ended).lines().filter(|line| line.parse::<u32>().is_err()).collect();
        assert_eq!(lines, ["main.sh", "mark"], "{ended}");
    }
    let attack = format!(
        "const fs = require('fs'), net = require('net'), seen = [];
        const attempt = (name, act) => {{ try {{ act(); seen.push(name); }} catch {{}} }};
        attempt('canary', () => fs.readFileSync('{canary}'));
        attempt('image', () => fs.appendFileSync('/usr/bin/node', 'x'));
        attempt('kill', () => process.kill(1, 9));
        attempt('setuid', () => process.setuid(0));
        attempt('mark', () => {{ if (!fs.existsSync('/tmp/mark')) throw 0; }});
        fs.writeFileSync('/tmp/mark', '');
        const socket = net.connect({port}, '127.0.0.1', () => seen.push('connected'));
        socket.on('error', () => {{}}).on('close', () => console.log(seen.join()));"
    );
    for _ in 0..2 {
        let ended = run_in(&client, "javascript", &attack).await;
        assert_eq!(stdout(&ended), "\n", "{ended}");
    }
    // What `console.log` cannot write at once, Node keeps in its memory, and ends there.
    let endless = "for (;;) require('fs').writeSync(1, 'x'.repeat(4096))";
    for (environment, code) in [("shell", "yes"), ("javascript", endless)] {
        let ended = client.eval(&json!({ "code": code, "environment": environment })).await;
        assert_eq!(ended["outcome"], "output_exceeded", "{environment}");
    }
    let bomb = json!({ "code": "f() { f | f & }; f; sleep 20", "environment": "shell", "timeout_seconds": 20 });
    let ended = client.eval(&bomb).await;
    assert!(ended["status"] == "failed" || ended["status"] == "completed", "{ended}");
    let memory = json!({ "code": "a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1))", "environment": "javascript" });
    assert_eq!(client.eval(&memory).await["outcome"], "memory_exceeded");
    assert_eq!(stdout(&run_in(&client, "shell", "echo still here").await), "still here\n");
}
