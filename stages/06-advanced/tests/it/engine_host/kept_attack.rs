//! A compromised API process against the engine host's sandboxes that stay. The gVisor engine's own bounds are those
//! of its registry, whose tests are beside it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use harness::FakeEngine;
use serde_json::{Value, json};
use shared::profile::PYTHON;
use shared::{BoxFuture, SandboxInfo};
use stage_06_advanced::{
    ApiSocket, EndReason, EngineHost, MemoryOverhead, OpenError, Profiles, SandboxBounds,
    SandboxEngine, SandboxOrder, SandboxSupport,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use uuid::Uuid;

use super::{BOUNDS, RUN_TIMEOUT, Serving, WORKER_COUNT};

/// Sandboxes without anything in them, which end when they are removed.
#[derive(Default)]
struct EmptySandboxes {
    open: Mutex<HashSet<Uuid>>,
    changed: tokio::sync::Notify,
}

const MAX_SANDBOXES: usize = 2;

impl SandboxEngine for EmptySandboxes {
    fn support(&self) -> SandboxSupport {
        let sandbox = SandboxInfo {
            engine: "empty".to_owned(),
            runtime: None,
            runtime_version: None,
            image_digest: None,
        };
        SandboxSupport {
            sandbox,
            max_sandboxes: MAX_SANDBOXES,
            max_lifetime_seconds: 60,
            environments: Vec::new(),
            overhead: MemoryOverhead::default(),
        }
    }

    fn open(&self, order: SandboxOrder) -> BoxFuture<'_, Result<UnixStream, OpenError>> {
        Box::pin(async move {
            self.open.lock().unwrap().insert(order.id);
            Ok(UnixStream::pair().unwrap().0)
        })
    }

    fn remove(&self, id: Uuid) -> BoxFuture<'_, ()> {
        self.open.lock().unwrap().remove(&id);
        self.changed.notify_waiters();
        Box::pin(async {})
    }

    fn ended(&self, id: Uuid) -> BoxFuture<'_, EndReason> {
        Box::pin(async move {
            loop {
                let changed = self.changed.notified();
                if !self.open.lock().unwrap().contains(&id) {
                    return EndReason::Removed;
                }
                changed.await;
            }
        })
    }
}

struct Attacker {
    socket: UnixStream,
    serving: Serving,
    sandboxes: Arc<EmptySandboxes>,
}

impl Attacker {
    /// One that takes no sockets of sandboxes if it does not `receive` them.
    async fn new(receives: bool) -> Self {
        let sandboxes = Arc::<EmptySandboxes>::default();
        let (ours, theirs) = ApiSocket::pair().unwrap();
        let engine = Arc::new(FakeEngine::new());
        let host = EngineHost::new(engine, BOUNDS, Profiles::only(PYTHON), WORKER_COUNT);
        let host = host.keeping(Some(sandboxes.clone()));
        let serving = tokio::spawn(async move { host.serve(ours).await });
        let (socket, descriptors) = theirs.into_parts();
        if receives {
            // They wait in it.
            std::mem::forget(descriptors);
        }
        let mut attacker = Self { socket, serving, sandboxes };
        attacker.send(&json!({ "Hello": { "version": 4 } })).await;
        assert_eq!(attacker.reply().await["Ready"]["sandboxes"]["max_sandboxes"], MAX_SANDBOXES);
        attacker
    }

    async fn send(&mut self, request: &Value) {
        let body = serde_json::to_vec(request).unwrap();
        let length = u32::try_from(body.len()).unwrap();
        let frame = [&length.to_be_bytes(), &body[..]].concat();
        self.socket.write_all(&frame).await.ok(); // the host may have ended the connection
    }

    async fn reply(&mut self) -> Value {
        let reply = async {
            let mut bytes = vec![0; self.socket.read_u32().await.unwrap() as usize];
            self.socket.read_exact(&mut bytes).await.unwrap();
            serde_json::from_slice(&bytes).unwrap()
        };
        tokio::time::timeout(RUN_TIMEOUT, reply).await.expect("a reply in time")
    }
}

fn open(id: Uuid) -> Value {
    let limits = SandboxBounds::default().default;
    json!({ "Open": { "order": SandboxOrder { id, environment: "agent".to_owned(), limits } } })
}

#[tokio::test]
async fn a_compromised_api_process_opens_no_more_than_allowed() {
    let mut attacker = Attacker::new(true).await;
    let ids: Vec<_> = (1..=4).map(Uuid::from_u128).collect();
    for id in &ids {
        attacker.send(&open(*id)).await;
    }
    for id in &ids[MAX_SANDBOXES..] {
        let refused = json!({ "id": id, "error": { "Full": { "max": MAX_SANDBOXES } } });
        assert_eq!(attacker.reply().await["NotOpened"], refused);
    }
    // What it does not have is removed already, and of what it has the end comes once.
    attacker.send(&json!({ "Remove": { "id": ids[3] } })).await;
    let gone = |id: Uuid| json!({ "Gone": { "id": id, "reason": "removed" } });
    assert_eq!(attacker.reply().await, gone(ids[3]));
    for _ in 0..2 {
        attacker.send(&json!({ "Remove": { "id": ids[0] } })).await;
    }
    assert_eq!(attacker.reply().await, gone(ids[0]));
    assert_eq!(*attacker.sandboxes.open.lock().unwrap(), HashSet::from([ids[1]]));
    // With its process all of them end.
    drop(attacker.socket);
    attacker.serving.await.unwrap().unwrap();
    assert!(attacker.sandboxes.open.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_id_of_another_sandbox_ends_the_connection() {
    let mut attacker = Attacker::new(true).await;
    for _ in 0..2 {
        attacker.send(&open(Uuid::from_u128(1))).await;
    }
    let ended = tokio::time::timeout(RUN_TIMEOUT, attacker.serving).await.unwrap().unwrap();
    assert!(ended.unwrap_err().to_string().contains("the id of another"));
    assert!(attacker.sandboxes.open.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_sandbox_whose_socket_is_not_taken_is_removed() {
    let mut attacker = Attacker::new(false).await;
    let id = Uuid::from_u128(1);
    attacker.send(&open(id)).await;
    assert_eq!(attacker.reply().await, json!({ "Gone": { "id": id, "reason": "removed" } }));
    assert!(attacker.sandboxes.open.lock().unwrap().is_empty());
}
