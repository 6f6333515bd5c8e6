//! The routes of executions: start or attach, wait, list, signal, kill, and standard input.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Frame, SizeHint};
use serde_json::json as value;
use shared::BoxError;
use shared::http::{
    Body, BodyPolicy, MatchedRequest, Problem, Response, Router, StatefulRouter, json,
    take_body_stream,
};
use stage_02_queue::off_runtime;

use super::execution::{Execution, Order};
use super::executions::Begin;
use super::lease::{Lease, Use};
use super::problem::{Failure, answer};
use super::wire::{number, parse_exec, parse_signal};
use super::{Sandboxes, body, run};
use crate::audit::actions;
use crate::limits::Permit;

/// The largest body of an execution, and of one request with standard input, in bytes. The contract has the same.
const MAX_EXEC_BODY_BYTES: usize = 4 << 20;
const MAX_STDIN_BODY_BYTES: usize = 1 << 30;
/// The longest that one request waits, in seconds.
pub(super) const MAX_WAIT_SECONDS: u64 = 300;
/// Executions in a list.
const MAX_LISTED: usize = 1_000;
/// How long a kill may take until it is answered without an end.
const KILL_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a long response waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);
/// From how much output on a response is made in a turn.
const LARGE_BYTES: u64 = 64 << 10;

const EXEC: &str = "/sandboxes/{id}/execs/{exec_id}";
const STDIN: &str = "/sandboxes/{id}/execs/{exec_id}/stdin";

impl Sandboxes {
    pub(super) fn exec_routes(self: &Arc<Self>) -> Router {
        let routes: StatefulRouter<Arc<Self>> = Router::with_state(Arc::clone(self))
            .route(Method::GET, "/sandboxes/{id}/execs", Self::list_execs)
            .route(Method::PUT, EXEC, Self::put_exec)
            .route(Method::GET, EXEC, Self::get_exec)
            .route(Method::DELETE, EXEC, Self::kill_exec)
            .route(Method::POST, "/sandboxes/{id}/execs/{exec_id}/signal", Self::signal_exec)
            .route(Method::PUT, STDIN, Self::put_stdin);
        let body = BodyPolicy::Buffered { max_bytes: Some(MAX_EXEC_BODY_BYTES) };
        let stdin = BodyPolicy::Streamed { max_bytes: MAX_STDIN_BODY_BYTES };
        Router::from(routes).body_policy(&Method::PUT, EXEC, body).body_policy(
            &Method::PUT,
            STDIN,
            stdin,
        )
    }

    async fn put_exec(self: Arc<Self>, mut request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        answer(&id, self.executed(&mut request).await)
    }

    // ANCHOR: executed
    /// Starts a command under the client's id, or attaches to it. What runs does not depend on this request.
    async fn executed(self: &Arc<Self>, request: &mut MatchedRequest) -> Result<Response, Failure> {
        let [] = request.query([])?;
        let lease = self.find_live(request).await?;
        let exec_id: String = request.param("exec_id")?;
        let (length, body) = (request.request.body().len(), body(request)?);
        let parsed = off_runtime(length, move || parse_exec(body)).await;
        let exec = parsed.map_err(|error| Problem::internal(&error))??;
        let detach = exec.detach;
        let (usage, channel) = lease.use_it()?;
        let (execution, is_new) = match lease.executions.begin(&exec_id, &exec)? {
            Begin::Existing(execution) => (execution, false),
            Begin::New(prepared) => {
                let detail = value!({ "exec": exec_id });
                self.record(&request.context(), actions::SANDBOX_EXEC, lease.id, &detail);
                let execution = Arc::clone(&prepared.execution);
                let counters = Arc::clone(&self.counters);
                run::spawn(usage.again(), channel, prepared, exec, counters);
                (execution, true)
            }
        };
        tracing::debug!(id = %lease.id, exec_id, is_new, "execution requested");
        if !detach {
            execution.ended().await;
        }
        let context = request.context();
        self.exec_response(&execution, StatusCode::ACCEPTED, context.principal.as_deref()).await
    }
    // ANCHOR_END: executed

    /// An execution with its output. One that runs is answered with this status.
    async fn exec_response(
        &self,
        execution: &Arc<Execution>,
        running: StatusCode,
        key: Option<&str>,
    ) -> Result<Response, Failure> {
        let is_large = execution.stored() > LARGE_BYTES;
        let permit = if is_large { Some(self.turn(key).await?) } else { None };
        let execution = Arc::clone(execution);
        let response = move || {
            let has_ended = execution.end().is_some();
            let status = if has_ended { StatusCode::OK } else { running };
            Ok::<_, Failure>(json(status, &execution.view()?)?)
        };
        if is_large {
            let made = tokio::task::spawn_blocking(response).await;
            let response = made.map_err(|error| Problem::internal(&error))??;
            // It has its turn until it is sent.
            return Ok(response.map(|inner| Body::new(Held { inner, _permit: permit })));
        }
        response()
    }

    /// A turn to make and send a long response.
    async fn turn(&self, key: Option<&str>) -> Result<Permit, Failure> {
        let permit = tokio::time::timeout(TURN_TIMEOUT, self.views.take(key)).await;
        permit.ok().flatten().ok_or_else(|| {
            let detail = "too many long outputs are being sent; try again, or read them in parts";
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(5)
        })
    }

    /// The execution of a request, in a sandbox that is used.
    pub(super) async fn find_exec(
        &self,
        request: &MatchedRequest,
    ) -> Result<(Use, Arc<Lease>, Arc<Execution>), Failure> {
        let lease = self.find_live(request).await?;
        let (usage, _) = lease.use_it()?;
        let exec_id: String = request.param("exec_id")?;
        let found = lease.executions.get(&exec_id).ok_or_else(Failure::no_execution)?;
        Ok((usage, lease, found))
    }

    async fn get_exec(self: Arc<Self>, request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        answer(&id, self.waited(&request).await)
    }

    async fn waited(&self, request: &MatchedRequest) -> Result<Response, Failure> {
        let [wait] = request.query(["wait_seconds"])?;
        let wait = number("wait_seconds", wait, 0, MAX_WAIT_SECONDS)?;
        let (_usage, _, execution) = self.find_exec(request).await?;
        tokio::time::timeout(Duration::from_secs(wait), execution.ended()).await.ok();
        let context = request.context();
        self.exec_response(&execution, StatusCode::OK, context.principal.as_deref()).await
    }

    async fn list_execs(self: Arc<Self>, request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        let listed = async {
            let [] = request.query([])?;
            let lease = self.find_live(&request).await?;
            let all = lease.executions.list().into_iter().take(MAX_LISTED);
            let items: Vec<_> = all.map(|execution| execution.summary()).collect();
            Ok(json(StatusCode::OK, &value!({ "items": items }))?)
        };
        answer(&id, listed.await)
    }

    async fn signal_exec(
        self: Arc<Self>,
        mut request: MatchedRequest,
    ) -> Result<Response, Problem> {
        let id = request.context().request_id;
        let signaled = async {
            let [] = request.query([])?;
            let (_usage, _, execution) = self.find_exec(&request).await?;
            let (number, tree) = parse_signal(body(&mut request)?)?;
            if execution.end().is_none() {
                // It fails when the execution has ended meanwhile: then there is nothing to signal.
                execution.orders.send(Order::Signal { number, tree }).await.ok();
            }
            let context = request.context();
            self.exec_response(&execution, StatusCode::OK, context.principal.as_deref()).await
        };
        answer(&id, signaled.await)
    }

    async fn kill_exec(self: Arc<Self>, request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        let killed = async {
            let [] = request.query([])?;
            let (_usage, _, execution) = self.find_exec(&request).await?;
            if execution.end().is_none() {
                execution.orders.send(Order::Kill).await.ok();
                tokio::time::timeout(KILL_TIMEOUT, execution.ended()).await.ok();
            }
            let context = request.context();
            self.exec_response(&execution, StatusCode::OK, context.principal.as_deref()).await
        };
        answer(&id, killed.await)
    }

    async fn put_stdin(self: Arc<Self>, request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        let taken = async {
            let [offset, eof] = request.query(["offset", "eof"])?;
            let offset = number("offset", offset, 0, u64::MAX)?;
            let eof = match eof.as_deref() {
                None | Some("false") => false,
                Some("true") => true,
                Some(_) => {
                    return Err(Failure::plain(StatusCode::BAD_REQUEST, "eof is true or false"));
                }
            };
            let (_usage, _, execution) = self.find_exec(&request).await?;
            let body = take_body_stream(&request.request)
                .ok_or_else(|| Failure::plain(StatusCode::BAD_REQUEST, "the body is missing"))?;
            let received = execution.stdin.receive(body, offset, eof).await?;
            Ok(json(StatusCode::OK, &received)?)
        };
        answer(&id, taken.await)
    }
}

/// A body with something that lives as long as it does.
struct Held {
    inner: Body,
    _permit: Option<Permit>,
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
