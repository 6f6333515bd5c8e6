//! The API process's end of the socket: an engine like any other.
//!
//! Task tree: [`RemoteEngine::connect`] spawns one task that reads replies and one that writes
//! requests. Both end with the connection.

use std::sync::Arc;
use std::time::Duration;

use shared::component::SelfTestResult;
use shared::{
    BoxFuture, Engine, Evidence, Job, Outcome, OutputBuffer, SandboxInfo, TestCase,
    TestableComponent, Verdict,
};
use stage_04_docker::ReceivedArtifacts;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::api_socket::ApiSocket;
use super::calls::{Calls, RunReply};
use super::protocol::{
    self, FrameError, MAX_CHECKS, MAX_REPLY_BYTES, MAX_REQUEST_BYTES, Reply, Request, VERSION,
};
use super::remote_sandboxes::RemoteSandboxes;
use super::run::count_excess;
use super::warm::WarmSandboxes;
use crate::sandboxes::SandboxEngine;

/// How long the host may take to respond to the first frame. Its engine has started before that.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the host may take to close the engine.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(45);

/// Why there is no connection to the engine host.
#[derive(Debug, thiserror::Error)]
pub enum RemoteEngineError {
    /// The socket failed, or the other end speaks another protocol.
    #[error("cannot speak to the engine host")]
    Frame(#[from] FrameError),
    /// The first frame was not the one that the protocol begins with.
    #[error("the engine host is gone, or is another version of this program")]
    NotReady,
}

impl shared::Hint for RemoteEngineError {}

/// The engine of another process.
pub struct RemoteEngine {
    /// Leaked once for each connection, of which a process has one: components and checks have
    /// static names.
    name: &'static str,
    checks: Vec<&'static str>,
    sandbox: SandboxInfo,
    /// A permit for each run until the host has reported its end, also if nothing waits for it any
    /// more. So the host never receives more runs than it allows.
    run_permits: Arc<Semaphore>,
    /// The same for checks.
    check_permits: Arc<Semaphore>,
    /// Unbounded, because the permits bound what is in it: a request and a cancellation for each.
    requests: mpsc::UnboundedSender<Vec<u8>>,
    calls: Arc<Calls>,
    kept: Option<Arc<RemoteSandboxes>>,
}

impl RemoteEngine {
    /// The engine at the other end of `socket`.
    ///
    /// # Errors
    ///
    /// [`RemoteEngineError`] when the other end is gone, or speaks another protocol.
    pub async fn connect(socket: impl Into<ApiSocket>) -> Result<Self, RemoteEngineError> {
        let ApiSocket { frames, descriptors } = socket.into();
        let (mut reader, mut writer) = frames.into_split();
        let hello = protocol::encode(&Request::Hello { version: VERSION }, MAX_REQUEST_BYTES)?;
        writer.write_all(&hello).await.map_err(FrameError::from)?;
        let first = protocol::read(&mut reader, MAX_REPLY_BYTES);
        let first = tokio::time::timeout(CONNECT_TIMEOUT, first).await;
        let Ok(Some(Reply::Ready { name, sandbox, checks, max_runs, sandboxes })) =
            first.map_err(|_| RemoteEngineError::NotReady)?
        else {
            return Err(RemoteEngineError::NotReady);
        };
        let (requests, queue) = mpsc::unbounded_channel();
        let calls = Arc::<Calls>::default();
        tokio::spawn(write(writer, queue));
        tokio::spawn(read(reader, Arc::clone(&calls)));
        let kept = sandboxes.zip(descriptors).map(|(support, descriptors)| {
            let calls = Arc::clone(&calls.sandboxes);
            Arc::new(RemoteSandboxes::new(*support, descriptors, requests.clone(), calls))
        });
        Ok(Self {
            name: name.leak(),
            checks: checks.into_iter().map(|check| &*check.leak()).collect(),
            sandbox,
            run_permits: Arc::new(Semaphore::new(max_runs)),
            check_permits: Arc::new(Semaphore::new(MAX_CHECKS)),
            requests,
            calls,
            kept,
        })
    }

    /// Fires when the host is gone although the engine was not closed, and before any run is reported as
    /// lost: what starts runs can stop in time.
    pub fn host_gone(&self) -> CancellationToken {
        self.calls.host_gone.clone()
    }

    /// How many sandboxes wait for a program.
    pub fn warm_sandboxes(&self) -> WarmSandboxes {
        self.calls.warm.clone()
    }

    /// Opens sandboxes that stay. None where the host keeps none.
    pub fn sandboxes(&self) -> Option<Arc<dyn SandboxEngine>> {
        self.kept.clone().map(|kept| kept as Arc<dyn SandboxEngine>)
    }

    // ANCHOR: evaluate
    async fn run(&self, job: &Job, output: &OutputBuffer, cancel: CancellationToken) -> Verdict {
        let request = Request::Evaluate { job: Box::new(job.clone()) };
        let request = match protocol::encode(&request, MAX_REQUEST_BYTES) {
            Ok(request) => request,
            Err(error) => return Verdict::engine_error(error),
        };
        let permit = Arc::clone(&self.run_permits).acquire_owned();
        let Some(Ok(permit)) = cancel.run_until_cancelled(permit).await else {
            return Verdict::new(Outcome::Cancelled, Evidence::new("cancelled"));
        };
        let (sender, mut replies) = mpsc::unbounded_channel();
        {
            let mut state = self.calls.state();
            if state.lost {
                return lost();
            } else if state.runs.contains_key(&job.id) {
                return Verdict::engine_error("the program runs already");
            }
            state.runs.insert(job.id, (sender, permit));
        }
        self.requests.send(request).ok(); // or the connection has ended, as for `send`
        // Also when this future is dropped.
        let cancel_run = CancelOnDrop { engine: self, id: job.id };
        let (mut is_cancelled, mut files) = (false, ReceivedArtifacts::default());
        // No deadline here: the engine has one for all that it waits for, and the queue has one for
        // an engine that misses it.
        loop {
            tokio::select! {
                () = cancel.cancelled(), if !is_cancelled => {
                    is_cancelled = true;
                    self.send(&Request::Cancel { id: job.id });
                }
                reply = replies.recv() => match reply {
                    // The host has applied the limit already, so that a full buffer is no news.
                    Some(RunReply::Output(stream, bytes)) => drop(output.push(stream, &bytes)),
                    // Within the bounds, which the host has applied too.
                    Some(RunReply::File(path, bytes)) => drop(files.receive(path, &bytes)),
                    Some(RunReply::Ended(verdict, excess_bytes)) => {
                        std::mem::forget(cancel_run);
                        count_excess(output, excess_bytes);
                        return Verdict { artifacts: files.into_artifacts(), ..*verdict };
                    }
                    None => return lost(),
                }
            }
        }
    }
    // ANCHOR_END: evaluate

    async fn check(&self, index: Option<usize>) -> SelfTestResult {
        let gone = || Err("the engine host is gone".to_owned().into());
        let Ok(permit) = Arc::clone(&self.check_permits).acquire_owned().await else {
            return gone();
        };
        let (sender, result) = oneshot::channel();
        let call = {
            let mut state = self.calls.state();
            if state.lost {
                return gone();
            }
            state.last_call += 1;
            let call = state.last_call;
            state.checks.insert(call, (sender, permit));
            call
        };
        self.send(&Request::Check { call, index });
        result.await.unwrap_or_else(|_| gone())
    }

    /// For all requests but jobs, which alone can be too long.
    fn send(&self, request: &Request) {
        if let Ok(frame) = protocol::encode(request, MAX_REQUEST_BYTES) {
            self.requests.send(frame).ok(); // the connection has ended: the reader wakes the call
        }
    }
}

/// Cancels a run whose future is dropped before its end.
struct CancelOnDrop<'a> {
    engine: &'a RemoteEngine,
    id: Uuid,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.engine.send(&Request::Cancel { id: self.id });
    }
}

fn lost() -> Verdict {
    Verdict::worker_lost("engine_host", "the process that ran the program is gone")
}

async fn write(mut socket: OwnedWriteHalf, mut requests: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(frame) = requests.recv().await {
        if let Err(error) = socket.write_all(&frame).await {
            tracing::error!(%error, "the connection to the engine host has ended");
            return; // the reader sees the end of the connection too
        }
    }
}

async fn read(mut socket: OwnedReadHalf, calls: Arc<Calls>) {
    loop {
        match protocol::read(&mut socket, MAX_REPLY_BYTES).await {
            Ok(Some(Reply::Closed {})) => return calls.lose(),
            Ok(Some(reply)) => calls.receive(reply),
            Ok(None) => {
                tracing::error!("the engine host is gone");
                break;
            }
            Err(error) => {
                tracing::error!(%error, "the connection to the engine host failed");
                break;
            }
        }
    }
    calls.host_gone.cancel();
    calls.lose();
}

impl TestableComponent for RemoteEngine {
    fn name(&self) -> &'static str {
        self.name
    }

    fn self_test(&self) -> BoxFuture<'_, SelfTestResult> {
        Box::pin(self.check(None))
    }

    fn test_suite(&self) -> Vec<TestCase<'_>> {
        let checks = self.checks.iter().enumerate();
        let case = |(index, &name)| TestCase { name, run: Box::pin(self.check(Some(index))) };
        checks.map(case).collect()
    }
}

impl Engine for RemoteEngine {
    fn sandbox(&self) -> SandboxInfo {
        self.sandbox.clone()
    }

    fn evaluate<'a>(
        &'a self,
        job: &'a Job,
        output: &'a OutputBuffer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Verdict> {
        Box::pin(self.run(job, output, cancel))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.send(&Request::Close {});
            if tokio::time::timeout(CLOSE_TIMEOUT, self.calls.lost.cancelled()).await.is_err() {
                tracing::error!("the engine host does not close the engine");
            }
        })
    }
}
