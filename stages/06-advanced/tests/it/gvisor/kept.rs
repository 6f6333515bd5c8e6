//! Sandboxes that stay: opened and removed, on both sides of the two processes' socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use harness::{FakeEngine, TEST_LIMITS, eventually};
use sha2::{Digest as _, Sha256};
use shared::Profile;
use shared::profile::PYTHON;
use stage_06_advanced::{
    ApiSocket, ChannelError, EndReason, EngineHost, Environment, EnvironmentUses, ExecutionEvent,
    ExecutionExit, FileTool, KeptSandboxes, OpenError, Profiles, ROOTFS_PIN, RemoteEngine,
    RunscEngine, RunscOptions, SandboxBounds, SandboxChannel, SandboxCommand, SandboxDefaults,
    SandboxEngine, SandboxLimits, SandboxOrder, WarmSandboxes,
};
use uuid::Uuid;

use super::close;

/// The image of Python, as an environment for sandboxes. It has no shell.
pub(super) fn environment(warm_sandboxes: usize) -> Environment {
    let image =
        std::fs::read_to_string(ROOTFS_PIN).expect("run infrastructure/setup/setup.sh first");
    let image = PathBuf::from(image.trim());
    let list = std::fs::read(format!("{}.manifest", image.display())).unwrap();
    Environment {
        profile: Profile { name: "kept".into(), ..PYTHON },
        digest: format!("sha256:{}", HEXLOWER.encode(&Sha256::digest(&list))),
        image,
        docker_image: None,
        variables: Vec::new(),
        is_python: true,
        executes_files: false,
        memory_bytes: 256 << 20,
        max_memory_bytes: 1 << 40,
        pids: 64,
        warm_sandboxes,
        uses: EnvironmentUses { evaluations: false, sandboxes: true },
    }
}

/// An engine that keeps sandboxes within `bounds`.
async fn engine(bounds: SandboxBounds, warm: usize) -> (RunscEngine, Arc<dyn SandboxEngine>) {
    let (engine, kept, _) = counting_engine(bounds, warm).await;
    (engine, kept)
}

async fn counting_engine(
    bounds: SandboxBounds,
    warm: usize,
) -> (RunscEngine, Arc<dyn SandboxEngine>, WarmSandboxes) {
    let kept = KeptSandboxes::within(bounds);
    let options = RunscOptions {
        warm_sandboxes: 0,
        environments: vec![environment(warm)],
        kept: kept.clone(),
        ..RunscOptions::default()
    };
    let engine = RunscEngine::start(&options, TEST_LIMITS).await.unwrap();
    (engine, kept.engine().expect("gVisor keeps sandboxes"), options.warm)
}

fn order(limits: SandboxLimits) -> SandboxOrder {
    SandboxOrder { id: Uuid::new_v4(), environment: "kept".to_owned(), limits }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_that_stays_is_opened_and_leaves_nothing() {
    let (engine, kept) = engine(SandboxBounds::default(), 1).await;
    let described = kept.support().environment("kept").unwrap().clone();
    assert!(described.has_root);
    let first = order(described.default);
    let socket = kept.open(first.clone()).await.unwrap();
    assert_eq!(kept.open(first.clone()).await.unwrap_err(), OpenError::IdInUse {});
    kept.remove(first.id).await;
    assert_eq!(kept.ended(first.id).await, EndReason::Removed);
    drop(socket);
    // Its first process ends with its socket.
    let second = order(described.default);
    drop(kept.open(second.clone()).await.unwrap());
    assert_eq!(kept.ended(second.id).await, EndReason::SandboxEnded);
    let third = order(described.default);
    let socket = kept.open(third.clone()).await.unwrap();
    close(engine).await;
    assert_eq!(kept.ended(third.id).await, EndReason::EngineClosed);
    drop(socket);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_process_gets_the_socket_and_its_end_is_that_of_all_sandboxes() {
    let (engine, kept) = engine(SandboxBounds::default(), 0).await;
    let (ours, theirs) = ApiSocket::pair().unwrap();
    let fake = Arc::new(FakeEngine::new());
    let host = EngineHost::new(fake, super::super::engine_host::BOUNDS, Profiles::only(PYTHON), 1);
    let host = host.keeping(Some(Arc::clone(&kept)));
    let serving = tokio::spawn(async move { host.serve(ours).await });
    let remote = RemoteEngine::connect(theirs).await.unwrap();
    let sandboxes = remote.sandboxes().expect("the host keeps sandboxes");
    let limits = sandboxes.support().environment("kept").unwrap().default;
    let (first, second) = (order(limits), order(limits));
    let open = async |order: &SandboxOrder| sandboxes.open(order.clone()).await.unwrap();
    let sockets = tokio::join!(open(&first), open(&second));
    let peeked = async |socket: &tokio::net::UnixStream| {
        let readable = socket.readable();
        tokio::time::timeout(Duration::from_secs(10), readable).await.unwrap().unwrap();
    };
    peeked(&sockets.0).await;
    sandboxes.remove(first.id).await;
    assert_eq!(sandboxes.ended(first.id).await, EndReason::Removed);
    assert_eq!(kept.ended(first.id).await, EndReason::Removed);
    // The API process ends.
    drop((remote, sandboxes));
    serving.await.unwrap().unwrap();
    assert_eq!(kept.ended(second.id).await, EndReason::Removed);
    drop(sockets);
    close(engine).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_number_and_the_lifetime_are_the_engines() {
    let bounds =
        SandboxBounds { max_sandboxes: 1, max_lifetime_seconds: 1, ..SandboxBounds::default() };
    let (engine, kept) = engine(bounds, 0).await;
    let limits = kept.support().environment("kept").unwrap().default;
    let only = order(limits);
    let socket = kept.open(only.clone()).await.unwrap();
    assert_eq!(kept.open(order(limits)).await.unwrap_err(), OpenError::Full { max: 1 });
    assert_eq!(kept.ended(only.id).await, EndReason::LifetimeExceeded);
    drop((kept.open(order(limits)).await.unwrap(), socket));
    close(engine).await;
}

/// A channel to a sandbox that is open.
pub(crate) fn channel(
    kept: &Arc<dyn SandboxEngine>,
    socket: tokio::net::UnixStream,
) -> SandboxChannel {
    let environment = kept.support().environment("kept").unwrap().clone();
    let defaults = SandboxDefaults {
        user: environment.user,
        workdir: environment.workdir,
        env: environment.variables,
        allows_root: environment.has_root,
    };
    SandboxChannel::new(socket, &defaults)
}

/// Runs a program of Python to its end. What it wrote, and how it ended.
pub(crate) async fn python(
    channel: &SandboxChannel,
    user: Option<&str>,
    code: &str,
) -> Result<(String, ExecutionExit), ChannelError> {
    let command = SandboxCommand::new(["python3", "-c", code]).user(user.map(str::to_owned));
    let mut execution = channel.start(&command).await.unwrap();
    execution.input().close();
    let mut output = Vec::new();
    loop {
        match execution.next().await? {
            Some(ExecutionEvent::Output { bytes, .. }) => output.extend(bytes),
            Some(ExecutionEvent::Ended(exit)) => {
                return Ok((String::from_utf8_lossy(&output).into_owned(), exit));
            }
            Some(_) => {}
            None => panic!("no end of {code}"),
        }
    }
}

/// Root and the user find what they need inside, and nothing of the host.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_inside_is_a_machine_of_its_own() {
    let (engine, kept) = engine(SandboxBounds::default(), 0).await;
    let only = order(kept.support().environment("kept").unwrap().default);
    let channel = channel(&kept, kept.open(only.clone()).await.unwrap());
    for (user, code, expected) in [
        (
            None,
            "import os; print(os.getuid(), os.getcwd(), os.environ['HOME'])",
            "1000 /home/agent /home/agent\n",
        ),
        (None, "open('a', 'w').write('x'); print(open('a').read())", "x\n"),
        (None, EXECUTES, "/tmp 0\n/var/tmp 0\n"),
        (Some("root"), "open('/etc/motd', 'w').write('x'); print(open('/etc/motd').read())", "x\n"),
        (Some("root"), CAPABILITIES, "00000000a80405fb 0 0\n"),
        (None, CAPABILITIES, "0000000000000000 1000 1000\n"),
        (
            Some("root"),
            "import os; os.setgroups([7]); os.setgid(7); os.setuid(7); print(os.getuid())",
            "7\n",
        ),
        // The root of an execution before is that of the next one.
        (None, "print(open('/etc/motd').read(), open('a').read())", "x x\n"),
        (Some("root"), DEVICE, "6\n"),
        (
            Some("root"),
            "import os; print(os.listdir('/sys/class/net') if os.path.exists('/sys/class/net') else ['lo'])",
            "['lo']\n",
        ),
    ] {
        let (output, exit) = python(&channel, user, code).await.unwrap();
        assert_eq!((output.as_str(), exit), (expected, ExecutionExit::Code(0)), "{user:?}: {code}");
    }
    kept.remove(only.id).await;
    close(engine).await;
}

const EXECUTES: &str = "
import os, subprocess
for dir in ['/tmp', '/var/tmp']:
    path = dir + '/program'
    open(path, 'w').write('#!/usr/bin/python3')
    os.chmod(path, 0o755)
    print(dir, subprocess.run([path]).returncode)";
const CAPABILITIES: &str = "
import os
lines = dict(line.split(':\\t') for line in open('/proc/self/status').read().splitlines() if ':\\t' in line)
print(lines['CapEff'], os.getuid(), os.getgid())";
/// A disk of the host: gVisor's kernel has none.
const DEVICE: &str = "
import os, stat
try:
    os.mknod('/root/disk', 0o600 | stat.S_IFBLK, os.makedev(254, 0))
    open('/root/disk', 'rb').read(1)
except OSError as error:
    print(error.errno)";

#[tokio::test(flavor = "multi_thread")]
async fn the_root_file_system_counts_as_memory() {
    let (engine, kept) = engine(SandboxBounds::default(), 0).await;
    let limits = kept.support().environment("kept").unwrap().default;
    let limits = SandboxLimits { memory_bytes: 128 << 20, disk_bytes: 1 << 30, ..limits };
    let only = order(limits);
    let channel = channel(&kept, kept.open(only.clone()).await.unwrap());
    let fill = "
for number in range(20):
    open(f'/opt/{number}', 'wb').write(b'x' * (32 << 20))
print('filled')";
    let ended = python(&channel, Some("root"), fill).await;
    assert!(!matches!(&ended, Ok((output, _)) if output.contains("filled")), "{ended:?}");
    assert_eq!(kept.ended(only.id).await, EndReason::MemoryExceeded);
    close(engine).await;
}

/// What a client waits for: a sandbox, and the output of a program in it that is small.
#[tokio::test(flavor = "multi_thread")]
async fn alone_a_sandbox_that_waits_saves_its_start() {
    let (engine, kept, counts) = counting_engine(SandboxBounds::default(), 2).await;
    let limits = kept.support().environment("kept").unwrap().default;
    let other = SandboxLimits { pids: limits.pids - 1, ..limits };
    let first = async |limits| {
        let order = order(limits);
        let started = Instant::now();
        let channel = channel(&kept, kept.open(order.clone()).await.unwrap());
        let opened = started.elapsed();
        let read = FileTool::Read { path: b"/etc/hosts".to_vec(), max_bytes: 1000 };
        let mut execution = channel.start(&SandboxCommand::file_tool(&read)).await.unwrap();
        while let Some(event) = execution.next().await.unwrap() {
            if matches!(event, ExecutionEvent::Output { .. }) {
                break;
            }
        }
        let took = started.elapsed();
        kept.remove(order.id).await;
        (opened, took)
    };
    first(limits).await;
    let (mut waiting, mut started) = (Vec::new(), Vec::new());
    for round in 0..12 {
        let is_full = || counts.counts()["kept"] == 2;
        eventually("two sandboxes wait", Duration::from_mins(1), is_full).await;
        waiting.push(first(limits).await);
        if round % 3 == 0 {
            started.push(first(other).await);
        }
    }
    close(engine).await;
    let median = |times: &mut Vec<(Duration, Duration)>| {
        times.sort_by_key(|(_, took)| *took);
        times[times.len() / 2]
    };
    let (waiting, started) = (median(&mut waiting), median(&mut started));
    println!("open, first output: from the pool {waiting:?}, started on arrival {started:?}");
    assert!(waiting.1 * 2 < started.1, "{waiting:?}, {started:?}");
}
