//! Sandboxes that stay, through Docker.

use std::sync::Arc;

use harness::TEST_LIMITS;
use shared::profile::PYTHON;
use shared::{Engine, Profile};
use stage_04_docker::{DEFAULT_IMAGE, DockerArgs};
use stage_06_advanced::{
    EndReason, EngineArgs, EngineKind, Environment, EnvironmentUses, ExecutionExit, KeptSandboxes,
    RunscOptions, SandboxBounds, SandboxEngine, SandboxLimits, SandboxOrder,
};
use uuid::Uuid;

use super::gvisor::kept::{channel, python};

/// The image of Python, as an environment for sandboxes.
fn environment() -> Environment {
    Environment {
        profile: Profile { name: "kept".into(), ..PYTHON },
        image: "/nowhere".into(),
        digest: String::new(),
        docker_image: Some(DEFAULT_IMAGE.to_owned()),
        variables: Vec::new(),
        is_python: true,
        executes_files: false,
        memory_bytes: 256 << 20,
        max_memory_bytes: 1 << 40,
        pids: 64,
        warm_sandboxes: 0,
        uses: EnvironmentUses { evaluations: false, sandboxes: true },
    }
}

async fn engine(kind: EngineKind) -> (Arc<dyn Engine>, Arc<dyn SandboxEngine>) {
    let runsc = RunscOptions {
        environments: vec![environment()],
        kept: KeptSandboxes::within(SandboxBounds::default()),
        ..RunscOptions::default()
    };
    let docker = DockerArgs::default();
    let args = EngineArgs { engine: kind, allow_unsafe: false, docker, runsc };
    let engine = args.start(TEST_LIMITS).await.expect("run infrastructure/setup/setup.sh first");
    (engine, args.runsc.kept.engine().unwrap())
}

async fn keeps(kind: EngineKind, has_root: bool) {
    let (engine, kept) = engine(kind).await;
    let described = kept.support().environment("kept").unwrap().clone();
    assert_eq!((described.has_root, described.has_writable_root), (has_root, false));
    let order =
        |limits| SandboxOrder { id: Uuid::new_v4(), environment: "kept".to_owned(), limits };
    let first = order(described.default);
    let inside = channel(&kept, kept.open(first.clone()).await.unwrap());
    let writes = "
import os, subprocess
for dir in ['/tmp', '/var/tmp', os.getcwd()]:
    path = dir + '/program'
    open(path, 'w').write('#!/usr/bin/python3')
    os.chmod(path, 0o755)
    print(dir, os.environ['HOME'], subprocess.run([path]).returncode)
try:
    open('/etc/x', 'w')
except OSError as error:
    print(type(error).__name__)";
    let (output, exit) = python(&inside, None, writes).await.unwrap();
    let home = "/home/agent";
    let expected = ["/tmp", "/var/tmp", home].map(|dir| format!("{dir} {home} 0\n")).concat();
    let refusals = ["PermissionError\n", "OSError\n"].map(|refusal| format!("{expected}{refusal}"));
    assert!(refusals.contains(&output) && exit == ExecutionExit::Code(0), "{output}: {exit:?}");
    if has_root {
        let (output, _) =
            python(&inside, Some("root"), "import os; print(os.getuid())").await.unwrap();
        assert_eq!(output, "0\n");
    }
    kept.remove(first.id).await;
    assert_eq!(kept.ended(first.id).await, EndReason::Removed);
    // Its first process ends with its socket.
    let second = order(described.default);
    drop(kept.open(second.clone()).await.unwrap());
    assert_eq!(kept.ended(second.id).await, EndReason::SandboxEnded);
    let limits = SandboxLimits { memory_bytes: 128 << 20, ..described.default };
    let third = order(limits);
    let inside = channel(&kept, kept.open(third.clone()).await.unwrap());
    python(&inside, None, "x = bytearray(800 << 20)").await.ok();
    assert_eq!(kept.ended(third.id).await, EndReason::MemoryExceeded);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_stays_on_the_hosts_kernel_and_nothing_in_it_is_root() {
    keeps(EngineKind::Docker, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_stays_on_gvisor_through_docker() {
    keeps(EngineKind::GvisorDocker, true).await;
}
