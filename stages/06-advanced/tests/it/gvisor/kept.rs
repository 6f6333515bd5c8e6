//! Sandboxes that stay: opened and removed, on both sides of the two processes' socket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use harness::{FakeEngine, TEST_LIMITS};
use sha2::{Digest as _, Sha256};
use shared::profile::PYTHON;
use shared::Profile;
use stage_06_advanced::{
    ApiSocket, EndReason, EngineHost, Environment, EnvironmentUses, KeptSandboxes, OpenError,
    Profiles, ROOTFS_PIN, RemoteEngine, RunscEngine, RunscOptions, SandboxBounds, SandboxEngine,
    SandboxLimits, SandboxOrder,
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
    let kept = KeptSandboxes::within(bounds);
    let options = RunscOptions {
        warm_sandboxes: 0,
        environments: vec![environment(warm)],
        kept: kept.clone(),
        ..RunscOptions::default()
    };
    let engine = RunscEngine::start(&options, TEST_LIMITS).await.unwrap();
    (engine, kept.engine().expect("gVisor keeps sandboxes"))
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
