//! The registry over an opener of sockets without sandboxes.

use std::sync::atomic::{AtomicUsize, Ordering};

use shared::SandboxInfo;
use tokio::sync::Notify;

use super::*;
use crate::sandboxes::{MemoryOverhead, SandboxBounds, SandboxEnvironment};

const MAX_SANDBOXES: usize = 2;
const MAX_LIFETIME: Duration = Duration::from_secs(100);

/// How many sandboxes exist, and what ends the next one.
#[derive(Default)]
struct Machine {
    existing: AtomicUsize,
    end_one: Notify,
}

struct FakeOpener {
    machine: Arc<Machine>,
    delay: Duration,
}

struct FakeSandbox(Arc<Machine>);

impl Drop for FakeSandbox {
    fn drop(&mut self) {
        self.0.existing.fetch_sub(1, Ordering::SeqCst);
    }
}

impl OpenSandbox for FakeSandbox {
    fn ended(&mut self) -> BoxFuture<'_, EndReason> {
        Box::pin(async {
            self.0.end_one.notified().await;
            EndReason::MemoryExceeded
        })
    }

    fn remove(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            drop(self);
        })
    }
}

impl Opener for FakeOpener {
    fn support(&self) -> SandboxSupport {
        let SandboxBounds { default, max, .. } = SandboxBounds::default();
        SandboxSupport {
            sandbox: SandboxInfo {
                engine: "fake".to_owned(),
                runtime: None,
                runtime_version: None,
                image_digest: None,
            },
            max_sandboxes: MAX_SANDBOXES,
            max_lifetime_seconds: MAX_LIFETIME.as_secs(),
            environments: vec![SandboxEnvironment {
                name: "agent".to_owned(),
                digest: String::new(),
                user: "agent".to_owned(),
                workdir: "/home/agent".to_owned(),
                variables: Vec::new(),
                has_root: true,
                has_writable_root: true,
                default,
                max,
            }],
            overhead: MemoryOverhead::default(),
        }
    }

    fn open<'a>(&'a self, _: &'a SandboxOrder) -> BoxFuture<'a, Result<Opened, OpenError>> {
        Box::pin(async {
            self.machine.existing.fetch_add(1, Ordering::SeqCst);
            let sandbox = FakeSandbox(Arc::clone(&self.machine));
            tokio::time::sleep(self.delay).await;
            let (socket, _) = UnixStream::pair().unwrap();
            Ok(Opened { socket, sandbox: Box::new(sandbox) })
        })
    }
}

fn registry(delay: Duration) -> (Arc<Registry>, Arc<Machine>) {
    let machine = Arc::<Machine>::default();
    (Registry::new(FakeOpener { machine: Arc::clone(&machine), delay }), machine)
}

fn order(number: u128) -> SandboxOrder {
    let limits = SandboxBounds::default().default;
    SandboxOrder { id: Uuid::from_u128(number), environment: "agent".to_owned(), limits }
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_ends_by_each_of_its_reasons() {
    let (registry, machine) = registry(Duration::ZERO);
    let open = async |number| drop(registry.open(order(number)).await.unwrap());
    let ended = async |number| registry.ended(Uuid::from_u128(number)).await;
    open(1).await;
    registry.remove(Uuid::from_u128(1)).await;
    assert_eq!(machine.existing.load(Ordering::SeqCst), 0, "gone when the removal returns");
    registry.remove(Uuid::from_u128(1)).await;
    open(2).await;
    machine.end_one.notify_one();
    assert_eq!(ended(2).await, EndReason::MemoryExceeded);
    open(3).await;
    let started = tokio::time::Instant::now();
    assert_eq!(ended(3).await, EndReason::LifetimeExceeded);
    assert!(started.elapsed() >= MAX_LIFETIME);
    open(4).await;
    registry.close().await;
    assert_eq!(machine.existing.load(Ordering::SeqCst), 0);
    let reasons = [ended(1).await, ended(2).await, ended(4).await, ended(9).await];
    let [removed, memory, closed, never] = reasons;
    assert_eq!((removed, memory), (EndReason::Removed, EndReason::MemoryExceeded));
    assert_eq!((closed, never), (EndReason::EngineClosed, EndReason::Removed));
    assert_eq!(registry.open(order(5)).await.unwrap_err(), OpenError::Closed {});
}

#[tokio::test(start_paused = true)]
async fn an_order_is_checked_and_there_are_as_many_as_allowed() {
    let (registry, _) = registry(Duration::ZERO);
    let refused = async |order| registry.open(order).await.unwrap_err();
    let of = |environment: &str| SandboxOrder { environment: environment.to_owned(), ..order(1) };
    assert!(matches!(refused(of("x")).await, OpenError::UnknownEnvironment { .. }));
    let high = SandboxBounds::default().max;
    for limits in [
        super::super::SandboxLimits { memory_bytes: high.memory_bytes + 1, ..high },
        super::super::SandboxLimits { pids: 0, ..high },
        super::super::SandboxLimits { cpus: u32::MAX, ..high },
        super::super::SandboxLimits { disk_bytes: u64::MAX, ..high },
    ] {
        assert!(matches!(
            refused(SandboxOrder { limits, ..order(1) }).await,
            OpenError::Limit { .. }
        ));
    }
    for number in 0..2 {
        registry.open(order(number)).await.unwrap();
    }
    assert_eq!(refused(order(1)).await, OpenError::IdInUse {});
    assert_eq!(refused(order(3)).await, OpenError::Full { max: MAX_SANDBOXES });
    registry.remove(Uuid::from_u128(1)).await;
    assert_eq!(refused(order(1)).await, OpenError::IdInUse {}, "an id is used once");
    registry.open(order(3)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_being_opened_is_removed_with_its_caller_or_its_id() {
    let (registry, machine) = registry(Duration::from_secs(10));
    let dropped = tokio::time::timeout(Duration::from_secs(1), registry.open(order(1))).await;
    assert!(dropped.is_err() && machine.existing.load(Ordering::SeqCst) == 0);
    let removed = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        registry.remove(Uuid::from_u128(2)).await;
        machine.existing.load(Ordering::SeqCst)
    };
    let (opened, existing) = tokio::join!(registry.open(order(2)), removed);
    assert_eq!((opened.unwrap_err(), existing), (OpenError::Closed {}, 0));
}
