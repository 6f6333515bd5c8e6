//! The engine host's end of the socket.
//!
//! Task tree: [`EngineHost::serve`] reads requests; below it one task writes replies, and one task for
//! each run or check computes one. `serve` returns when all of them have ended and the engine is
//! closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::{Bounds, Engine, Job, Profile};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use super::protocol::{
    self, FrameError, MAX_REPLY_BYTES, MAX_REQUEST_BYTES, Reply, Request, VERSION,
};
use super::run;

/// Runs beyond the number of workers: a run that was cancelled may still be ending when its worker
/// has the next one.
pub const MAX_EXTRA_RUNS: usize = 4;
/// Checks at one moment. The API process runs one after the other; one that is too late may still run.
const MAX_CHECKS: usize = 4;
/// How long a check may take.
const CHECK_TIMEOUT: Duration = Duration::from_mins(1);
/// How long the runs have to end after they were cancelled.
const CANCEL_GRACE: Duration = Duration::from_secs(30);
/// Replies that wait for the socket: two megabytes at most.
const REPLY_CAPACITY: usize = 16;

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
    profile: Profile,
    max_runs: usize,
}

impl EngineHost {
    /// A host for programs within `bounds`, as many at one moment as there are workers, and
    /// [`MAX_EXTRA_RUNS`].
    pub fn new(
        engine: Arc<dyn Engine>,
        bounds: Bounds,
        profile: Profile,
        workers: usize,
    ) -> Self {
        Self { engine, bounds, profile, max_runs: workers + MAX_EXTRA_RUNS }
    }

    // ANCHOR: serve
    /// Answers the requests of an API process until it closes the engine, exits, or sends a request
    /// that it may not send. Then all runs are cancelled, and the engine is closed.
    ///
    /// # Errors
    ///
    /// [`HostError`], when the API process broke the protocol: its code is not what was started.
    pub async fn serve(&self, socket: UnixStream) -> Result<(), HostError> {
        let (mut reader, writer) = socket.into_split();
        let (replies, queue) = mpsc::channel(REPLY_CAPACITY);
        let writing = tokio::spawn(write(writer, queue));
        // The channel is empty, so that this waits for nothing.
        replies.send(self.ready()).await.ok();
        let mut connection = Connection::new(self, replies.clone());
        let result = loop {
            match protocol::read(&mut reader, MAX_REQUEST_BYTES).await {
                Ok(None | Some(Request::Close {})) => break Ok(()),
                // A process that was killed may have left half a frame, or unread replies.
                Err(FrameError::Socket(_)) => break Ok(()),
                Err(error) => break Err(error.into()),
                Ok(Some(request)) => {
                    if let Err(violation) = connection.handle(request) {
                        break Err(HostError::Violation(violation));
                    }
                }
            }
        };
        connection.end().await;
        self.engine.close().await;
        if result.is_ok() {
            replies.send(Reply::Closed {}).await.ok(); // the API process may have exited
        } else {
            writing.abort();
        }
        drop(replies);
        drop(connection);
        writing.await.ok(); // it was aborted, or has written everything
        result
    }
    // ANCHOR_END: serve

    fn ready(&self) -> Reply {
        let checks = self.engine.test_suite().iter().map(|case| case.name.to_owned()).collect();
        let name = self.engine.name().to_owned();
        Reply::Ready { version: VERSION, name, sandbox: self.engine.sandbox(), checks }
    }
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
            // The API process has exited, and the reading half sees that too. The replies that
            // follow are dropped, so that no run waits for a place in the channel.
            while replies.recv().await.is_some() {}
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
    checks: TaskTracker,
    tasks: TaskTracker,
    /// Ends all of it.
    stop: CancellationToken,
}

impl<'a> Connection<'a> {
    fn new(host: &'a EngineHost, replies: mpsc::Sender<Reply>) -> Self {
        let (runs, stop) = (Arc::default(), CancellationToken::new());
        Self { host, replies, runs, checks: TaskTracker::new(), tasks: TaskTracker::new(), stop }
    }

    fn handle(&mut self, request: Request) -> Result<(), &'static str> {
        match request {
            Request::Evaluate { job } => self.evaluate(*job),
            Request::Cancel { id } => {
                if let Some(cancel) = lock(&self.runs).get(&id) {
                    cancel.cancel();
                }
                Ok(())
            }
            Request::Check { call, index } => self.check(call, index),
            Request::Close {} => Ok(()),
        }
    }

    fn evaluate(&self, job: Job) -> Result<(), &'static str> {
        let job = run::check(job, &self.host.bounds, &self.host.profile)?;
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
            let ended = run::run(engine.as_ref(), &job, &replies, cancel).await;
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
        if self.checks.len() >= MAX_CHECKS {
            return Err("more checks than there may be at one moment");
        }
        let (engine, replies) = (Arc::clone(&self.host.engine), self.replies.clone());
        let stop = self.stop.clone();
        self.checks.spawn(async move {
            let result = tokio::select! {
                result = check(engine.as_ref(), index) => result,
                () = tokio::time::sleep(CHECK_TIMEOUT) => Err("the check hangs".to_owned()),
                () = stop.cancelled() => return,
            };
            replies.send(Reply::Checked { call, result }).await.ok(); // or the connection has ended
        });
        Ok(())
    }

    /// Cancels everything, and waits for it.
    async fn end(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.checks.close();
        let ended = async { tokio::join!(self.tasks.wait(), self.checks.wait()) };
        if tokio::time::timeout(CANCEL_GRACE, ended).await.is_err() {
            tracing::error!("a run does not end; the engine is closed without waiting for it");
        }
    }
}

async fn check(engine: &dyn Engine, index: Option<usize>) -> shared::CheckResult {
    match index {
        None => engine.self_test().await,
        Some(index) => match engine.test_suite().into_iter().nth(index) {
            Some(case) => case.run.await,
            None => Err("the engine has no such check".to_owned()),
        },
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code panics while it holds the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
