//! The engine host's end of the socket.
//!
//! Task tree: [`EngineHost::serve`] reads requests; below it one task writes replies, and one task for
//! each run or check computes one. `serve` returns when all of them have ended and the engine is
//! closed.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use shared::component::{SelfTestError, SelfTestResult};
use shared::{Bounds, Engine, Job, Verdict};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use uuid::Uuid;

use super::api_socket::ApiSocket;
use super::protocol::{
    self, FrameError, MAX_CHECKS, MAX_REPLY_BYTES, MAX_REQUEST_BYTES, Reply, Request, VERSION,
};
use super::run;
use super::sandboxes::ConnectionSandboxes;
use super::warm::WarmSandboxes;
use crate::Profiles;
use crate::sandboxes::SandboxEngine;

/// Runs beyond the number of workers, for the self tests, and for runs that are still ending when
/// their worker has the next one.
pub const MAX_EXTRA_RUNS: usize = 4;
/// How long a check may take.
const CHECK_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the runs have to end after they were cancelled.
const CANCEL_GRACE: Duration = Duration::from_secs(30);
/// How long the last replies may wait for the API process.
const LAST_REPLY_TIMEOUT: Duration = Duration::from_secs(1);
/// The violation of a request for a kept sandbox, where there are none.
const NO_SANDBOXES: &str = "a request for a sandbox, of which this server keeps none";
/// Replies that wait for the socket: few, so that the runs take turns.
const REPLY_CAPACITY: usize = 4;

/// Why a connection was ended.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The API process sent bytes that are no request.
    #[error("the API process sent no request of the protocol")]
    Frame(#[from] FrameError),
    /// The API process sent a request that it may not send.
    #[error("the API process sent {0}")]
    Violation(&'static str),
}

impl shared::Hint for HostError {}

/// Runs the programs of one API process on an engine.
pub struct EngineHost {
    engine: Arc<dyn Engine>,
    bounds: Bounds,
    profiles: Profiles,
    max_runs: usize,
    warm: WarmSandboxes,
    sandboxes: Option<Arc<dyn SandboxEngine>>,
    connected: CancellationToken,
}

impl EngineHost {
    /// A host for programs within `bounds`, as many at one moment as there are workers, and
    /// [`MAX_EXTRA_RUNS`].
    pub fn new(
        engine: Arc<dyn Engine>,
        bounds: Bounds,
        profiles: Profiles,
        workers: usize,
    ) -> Self {
        let (warm, sandboxes, connected) = Default::default();
        let max_runs = workers + MAX_EXTRA_RUNS;
        Self { engine, bounds, profiles, max_runs, warm, sandboxes, connected }
    }

    /// The same host, which sends how many of `warm` there are.
    #[must_use]
    pub fn counting(self, warm: WarmSandboxes) -> Self {
        Self { warm, ..self }
    }

    /// The same host, which opens sandboxes on `engine` as well.
    #[must_use]
    pub fn keeping(self, engine: Option<Arc<dyn SandboxEngine>>) -> Self {
        Self { sandboxes: engine, ..self }
    }

    /// Cancelled when the API process has sent its first frame.
    pub fn connected(&self) -> &CancellationToken {
        &self.connected
    }

    // ANCHOR: serve
    /// Answers the requests of an API process until it closes the engine, exits, or sends a request
    /// that it may not send. Then all runs are cancelled, and the engine is closed.
    ///
    /// # Errors
    ///
    /// [`HostError`], when the API process broke the protocol: its code is not what was started.
    pub async fn serve(&self, socket: impl Into<ApiSocket>) -> Result<(), HostError> {
        let ApiSocket { frames, descriptors } = socket.into();
        let (mut reader, writer) = frames.into_split();
        let (replies, queue) = mpsc::channel(REPLY_CAPACITY);
        let writing = AbortOnDropHandle::new(tokio::spawn(write(writer, queue)));
        let connection = Connection::new(self, replies.clone(), descriptors);
        // Also when this future is dropped.
        let _guard = connection.stop.clone().drop_guard();
        let result = self.receive(&mut reader, &connection).await;
        if !matches!(result, Ok(End::Closed)) {
            // Ends the sending of replies too, for which runs may wait.
            writing.abort();
        }
        connection.end().await;
        self.engine.close().await;
        let last = async {
            replies.send(Reply::Closed {}).await.ok(); // the API process may have exited
            drop((replies, connection));
            writing.await.ok(); // it was aborted, or has written everything
        };
        tokio::time::timeout(LAST_REPLY_TIMEOUT, last).await.ok(); // it may have stopped reading
        result.map(drop)
    }
    // ANCHOR_END: serve

    async fn receive(
        &self,
        reader: &mut OwnedReadHalf,
        connection: &Connection<'_>,
    ) -> Result<End, HostError> {
        let mut is_first = true;
        loop {
            let request = match protocol::read(reader, MAX_REQUEST_BYTES).await {
                Ok(Some(request)) => request,
                // A process that was killed may leave half a frame, or replies that it has not read.
                Ok(None) | Err(FrameError::Socket(_)) => return Ok(End::Exited),
                Err(error) => return Err(error.into()),
            };
            let handled = match request {
                Request::Hello { version: VERSION } if is_first => {
                    self.connected.cancel();
                    // The channel is empty, so that this waits for nothing.
                    connection.replies.send(self.ready()).await.ok();
                    let (replies, stop) = (connection.replies.clone(), connection.stop.clone());
                    connection.tasks.spawn(self.warm.clone().send_changes(replies, stop));
                    Ok(())
                }
                Request::Hello { .. } => Err("a second greeting, or one of another version"),
                _ if is_first => Err("a request before the first one"),
                Request::Close {} => return Ok(End::Closed),
                Request::Evaluate { job } => connection.evaluate(*job),
                Request::Cancel { id } => {
                    connection.cancel(id);
                    Ok(())
                }
                Request::Check { call, index } => connection.check(call, index),
                Request::Open { order } => match &connection.sandboxes {
                    Some(sandboxes) => sandboxes.open(order).await,
                    None => Err(NO_SANDBOXES),
                },
                Request::Remove { id } => match &connection.sandboxes {
                    Some(sandboxes) => {
                        sandboxes.remove(id).await;
                        Ok(())
                    }
                    None => Err(NO_SANDBOXES),
                },
            };
            handled.map_err(HostError::Violation)?;
            is_first = false;
        }
    }

    fn ready(&self) -> Reply {
        let checks = self.engine.test_suite().iter().map(|case| case.name.to_owned()).collect();
        let name = self.engine.name().to_owned();
        let (sandbox, max_runs) = (self.engine.sandbox(), self.max_runs);
        let sandboxes = self.sandboxes.as_ref().map(|engine| Box::new(engine.support()));
        Reply::Ready { name, sandbox, checks, max_runs, sandboxes }
    }
}

/// How a connection ended that broke no rule.
enum End {
    /// The API process closed the engine.
    Closed,
    /// It exited before that.
    Exited,
}

async fn write(mut socket: OwnedWriteHalf, mut replies: mpsc::Receiver<Reply>) {
    while let Some(reply) = replies.recv().await {
        let written = match protocol::encode(&reply, MAX_REPLY_BYTES) {
            Ok(bytes) => socket.write_all(&bytes).await,
            Err(error) => {
                tracing::error!(%error, "a reply was dropped");
                continue;
            }
        };
        if written.is_err() {
            // The API process has exited, and the reading half sees that too. Without the channel's
            // end here, no run waits for a place in it.
            return;
        }
    }
}

/// The runs and checks of one connection.
struct Connection<'a> {
    host: &'a EngineHost,
    replies: mpsc::Sender<Reply>,
    /// The runs that have not ended, by their ids. An entry is removed before the run's last frame
    /// is sent, so that the API process may then use the id, and the place, again.
    runs: Arc<Mutex<HashMap<Uuid, CancellationToken>>>,
    /// A permit for each check, returned before its reply is sent.
    check_permits: Arc<Semaphore>,
    /// None where none are kept.
    sandboxes: Option<ConnectionSandboxes>,
    tasks: TaskTracker,
    /// Ends all of it.
    stop: CancellationToken,
}

impl<'a> Connection<'a> {
    fn new(
        host: &'a EngineHost,
        replies: mpsc::Sender<Reply>,
        descriptors: Option<UnixStream>,
    ) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let sandboxes = ConnectionSandboxes::new(
            host.sandboxes.clone(),
            descriptors,
            replies.clone(),
            tasks.clone(),
            stop.clone(),
        );
        let check_permits = Arc::new(Semaphore::new(MAX_CHECKS));
        Self { host, replies, runs: Arc::default(), check_permits, sandboxes, tasks, stop }
    }

    fn cancel(&self, id: Uuid) {
        if let Some(cancel) = lock(&self.runs).get(&id) {
            cancel.cancel();
        }
    }

    fn evaluate(&self, job: Job) -> Result<(), &'static str> {
        let job = run::check(job, &self.host.bounds, &self.host.profiles)?;
        let (id, cancel) = (job.id, self.stop.child_token());
        let mut runs = lock(&self.runs);
        if runs.len() >= self.host.max_runs {
            return Err("more runs than there may be at one moment");
        }
        if runs.insert(id, cancel.clone()).is_some() {
            return Err("a run with the id of another");
        }
        drop(runs);
        let (engine, replies) = (Arc::clone(&self.host.engine), self.replies.clone());
        let runs = Arc::clone(&self.runs);
        self.tasks.spawn(async move {
            let run = run::run(engine.as_ref(), &job, &replies, cancel);
            let ended = AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|_| {
                let verdict = Verdict::engine_error("the engine panicked");
                Reply::Ended { id, verdict: Box::new(verdict), excess_bytes: [0, 0] }
            });
            // With a place in the channel first: while the API process does not read, runs that have
            // ended count, so that their number stays bounded.
            if let Ok(place) = replies.reserve().await {
                lock(&runs).remove(&id);
                place.send(ended);
            }
        });
        Ok(())
    }

    fn check(&self, call: u64, index: Option<usize>) -> Result<(), &'static str> {
        let Ok(permit) = Arc::clone(&self.check_permits).try_acquire_owned() else {
            return Err("more checks than there may be at one moment");
        };
        let (engine, replies) = (Arc::clone(&self.host.engine), self.replies.clone());
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let checked = AssertUnwindSafe(check(engine.as_ref(), index)).catch_unwind();
            let checked = tokio::time::timeout(CHECK_TIMEOUT, checked);
            let Some(checked) = stop.run_until_cancelled(checked).await else { return };
            let result = match checked {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err("the check panicked".to_owned().into()),
                Err(_) => Err(SelfTestError::TimedOut("the check had no end".to_owned())),
            };
            if let Ok(place) = replies.reserve().await {
                drop(permit);
                place.send(Reply::Checked { call, result });
            }
        });
        Ok(())
    }

    /// Cancels everything, and waits for it.
    async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(CANCEL_GRACE, self.tasks.wait()).await.is_err() {
            tracing::error!("a run does not end; the engine is closed without waiting for it");
        }
    }
}

async fn check(engine: &dyn Engine, index: Option<usize>) -> SelfTestResult {
    match index {
        None => engine.self_test().await,
        Some(index) => match engine.test_suite().into_iter().nth(index) {
            Some(case) => case.run.await,
            None => Err("the engine has no such check".to_owned().into()),
        },
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
