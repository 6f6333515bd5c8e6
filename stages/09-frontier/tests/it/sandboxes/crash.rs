//! The server is killed, or stopped, while a sandbox executes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::{Sandbox, launch};

/// The processes below `root` now: the other half of the server, and all of its sandboxes.
fn descendants(root: u32) -> Vec<u32> {
    let parent_of = |pid: u32| -> Option<u32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let all = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let all: Vec<u32> = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let is_below = |pid: &u32| {
        let parents = std::iter::successors(parent_of(*pid), |pid| parent_of(*pid));
        parents.take(20).any(|parent| parent == root)
    };
    all.into_iter().filter(is_below).collect()
}

/// Kills the process among these that speaks HTTP.
fn kill_api_process(pids: &[u32]) {
    let is_api = |pid: &&u32| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim() == "crucible-api"
    };
    let pid = *pids.iter().find(is_api).expect("the server is two processes");
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}

/// How many of these processes are left.
fn left(pids: &[u32]) -> usize {
    let is_left = |pid: &&u32| Path::new(&format!("/proc/{pid}")).exists();
    pids.iter().filter(is_left).count()
}

/// What a server has made outside of its data directory, by the number of its process: directories beside the image's
/// files, cgroups, mounts, and sockets of sandboxes in those directories.
fn made(pid: u32) -> [Vec<String>; 4] {
    let mark = format!(".{pid}.");
    let entries = |dir: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    };
    let is_marked = |text: &String| text.contains(&mark);
    let text = |path: PathBuf| path.display().to_string();
    let pin = std::fs::read_to_string(stage_06_advanced::ROOTFS_PIN).unwrap();
    let images = entries(Path::new(pin.trim()).parent().unwrap());
    let directories: Vec<_> = images.into_iter().map(text).filter(is_marked).collect();
    let hierarchies = ["", "memory", "pids", "cpu,cpuacct", "devices"];
    let parents = hierarchies.map(|name| Path::new("/sys/fs/cgroup").join(name));
    let cgroups = parents.iter().flat_map(|parent| entries(&parent.join("crucible-runsc")));
    let cgroups = cgroups.map(text).filter(is_marked).collect();
    let lines = |path: &str| std::fs::read_to_string(path).unwrap();
    let mounts = lines("/proc/self/mountinfo");
    let mounts = mounts.lines().map(str::to_owned).filter(is_marked).collect();
    // runsc has a socket for each sandbox, by its name.
    let engines = directories.iter().flat_map(|directory| entries(Path::new(directory)));
    let bundles: Vec<_> = engines.flat_map(|engine| entries(&engine)).collect();
    let bundles = bundles.iter().filter(|bundle| bundle.join("config.json").exists());
    let names: Vec<_> = bundles.filter_map(|bundle| bundle.file_name()?.to_str()).collect();
    let sockets = lines("/proc/net/unix");
    let has_name = |line: &&str| names.iter().any(|name| line.contains(name));
    let sockets = sockets.lines().filter(has_name).map(str::to_owned).collect();
    [directories, cgroups, mounts, sockets]
}

#[tokio::test]
async fn after_a_kill_nothing_is_left_and_the_next_server_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let server = launch(directory.path()).start();
    let client = server.client();
    let sandbox = Sandbox::open(&client, json!({ "labels": { "crash": "1" } })).await;
    let output = json!({ "argv": ["sh", "-c", "head -c 1000000 /dev/zero; sleep 300"] });
    sandbox.detach("run", output).await;
    let written = sandbox.get("/execs/run/stdout?offset=999999&wait_seconds=60").await;
    assert_eq!(written.body.len(), 1, "{written:?}");
    let outputs = directory.path().join("data/sandboxes").join(&sandbox.id);
    assert!(outputs.exists(), "a large output is a file");
    let (id, processes) = (sandbox.id.clone(), descendants(server.pid()));
    assert!(processes.len() > 3, "a server, a sandbox and what is in it: {processes:?}");
    let (pid, before) = (server.pid(), made(server.pid()));
    let [directories, cgroups, mounts, sockets] = &before;
    let is_seen = [directories, cgroups, mounts].iter().all(|all| !all.is_empty());
    assert!(is_seen, "otherwise nothing is proven: {before:?}");
    // The process that could still say so, then the one that has the sandboxes.
    kill_api_process(&processes);
    server.kill();
    harness::eventually("nothing is left", Duration::from_mins(1), || left(&processes) == 0).await;
    let open = std::fs::read_to_string("/proc/net/unix").unwrap();
    assert!(sockets.iter().all(|socket| !open.lines().any(|line| line == socket)), "{sockets:?}");

    let server = launch(directory.path()).start();
    let rest = made(pid);
    assert!(rest.iter().all(Vec::is_empty), "the next start removes the rest: {rest:?}");
    let sandbox = Sandbox { client: server.client(), id };
    let found = sandbox.get("").await.json();
    assert_eq!(
        (&found["status"], &found["end_reason"]),
        (&json!("ended"), &json!("server_restarted"))
    );
    assert_eq!(found["labels"], json!({ "crash": "1" }));
    let gone = sandbox.put("/execs/run", &json!({ "argv": ["true"] })).await;
    assert_eq!((gone.status, &gone.json()["end_reason"]), (410, &json!("server_restarted")));
    assert!(!outputs.exists(), "its output is removed");
    // A program inside that ends all it can see ends its own sandbox alone.
    let [first, second] = [
        Sandbox::open(&sandbox.client, json!({})).await,
        Sandbox::open(&sandbox.client, json!({})).await,
    ];
    let kill = json!({ "argv": ["sh", "-c", "kill -KILL 1; kill -TERM 1; sleep 1; kill -KILL -1"], "user": "root", "timeout_seconds": 20 });
    first.exec("kill", &kill).await;
    assert_eq!(second.sh("on", "echo on").await, "on\n");
    let removed = first.client.delete(&first.path("")).await;
    assert_eq!(removed.status, 200, "{removed:?}");

    // A server that is stopped ends its sandboxes first, and stores why.
    second.detach("run", json!({ "argv": ["sleep", "300"] })).await;
    let processes = descendants(server.pid());
    assert_eq!(server.stop(), Some(0));
    // Ended, and reaped by init.
    harness::eventually("nothing is left", Duration::from_mins(1), || left(&processes) == 0).await;
    let server = launch(directory.path()).args(["--sandboxes", "0"]).start();
    let second = Sandbox { client: server.client(), id: second.id };
    let found = second.get("").await.json();
    assert_eq!(
        (&found["status"], &found["end_reason"]),
        (&json!("ended"), &json!("server_stopped")),
        "{found}"
    );
    let metrics = server.client().get("/metrics").await.text();
    assert!(metrics.contains("ended_total{reason=\"server_restarted\"} 0"), "{metrics}");
}
