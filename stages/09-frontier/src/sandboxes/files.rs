//! The routes of files and directories in a sandbox.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json as value;
use shared::http::{
    Body, BodyPolicy, MatchedRequest, Problem, Response, Router, StatefulRouter, json,
    take_body_stream,
};
use stage_06_advanced::{FileTool, SANDBOX_BASELINE};

use super::Sandboxes;
use super::problem::{Failure, answer};
use super::transfer::Transfer;
use super::wire::number;
use crate::audit::actions;

/// The largest body of a file or an archive, in bytes. The contract has the same.
const MAX_BODY_BYTES: usize = 1 << 30;
/// The largest file that is read when a request names no limit, in bytes.
const DEFAULT_MAX_BYTES: u64 = 100 << 20;
/// How long a request waits for its turn, of so many transfers at one moment.
const TURN_TIMEOUT: Duration = Duration::from_secs(30);
/// Attack: a file is a page whose script acts as the operator who opens it -> it may do nothing.
const POLICY: &str = "default-src 'none'; sandbox";
const OCTETS: &str = "application/octet-stream";
const TAR: &str = "application/x-tar";

const FILE: &str = "/sandboxes/{id}/file";
const DIRECTORY: &str = "/sandboxes/{id}/tar";

impl Sandboxes {
    pub(super) fn file_routes(self: &Arc<Self>) -> Router {
        let routes: StatefulRouter<Arc<Self>> = Router::with_state(Arc::clone(self))
            .route(Method::GET, FILE, Self::get_file)
            .route(Method::PUT, FILE, Self::put_file)
            .route(Method::GET, DIRECTORY, Self::get_tar)
            .route(Method::PUT, DIRECTORY, Self::put_tar)
            .route(Method::GET, "/sandboxes/{id}/diff", Self::get_diff);
        let body = BodyPolicy::Streamed { max_bytes: MAX_BODY_BYTES };
        Router::from(routes).body_policy(&Method::PUT, FILE, body).body_policy(
            &Method::PUT,
            DIRECTORY,
            body,
        )
    }

    async fn get_file(self: Arc<Self>, request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        let read = async {
            let [path, max_bytes, user] = request.query(["path", "max_bytes", "user"])?;
            let max_bytes = number("max_bytes", max_bytes, DEFAULT_MAX_BYTES, 1 << 40)?;
            let (path, bytes) = named(path)?;
            let tool = FileTool::Read { path: bytes, max_bytes };
            self.read(&request, &tool, (path, user), OCTETS).await
        };
        answer(&id, read.await)
    }

    async fn get_tar(self: Arc<Self>, request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        let read = async {
            let [path, user] = request.query(["path", "user"])?;
            let (path, bytes) = named(path)?;
            self.read(&request, &FileTool::ReadTar { path: bytes }, (path, user), TAR).await
        };
        answer(&id, read.await)
    }

    async fn get_diff(self: Arc<Self>, request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        let read = async {
            let [] = request.query([])?;
            self.check_diff(&request).await?;
            let tool = FileTool::Diff { baseline: SANDBOX_BASELINE.into() };
            self.read(&request, &tool, ("/".to_owned(), Some("root".to_owned())), TAR).await
        };
        answer(&id, read.await)
    }

    /// Refuses the difference of a sandbox that has none.
    async fn check_diff(&self, request: &MatchedRequest) -> Result<(), Failure> {
        let (record, _) = self.find_live(request).await?.record();
        let support = self.engine()?.support();
        let environment = support.environment(&record.fixed.environment);
        if environment.is_none_or(|environment| environment.has_writable_root) {
            return Ok(());
        }
        let detail = "with the engines of Docker the root file system is read-only, and there is no list of what has \
                      changed: read /tmp, /var/tmp or the home as tar; --engine gvisor has one";
        Err(Failure::new(StatusCode::NOT_IMPLEMENTED, "read_only", detail))
    }

    async fn put_file(self: Arc<Self>, request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        let written = async {
            let [path, user] = request.query(["path", "user"])?;
            let (path, bytes) = named(path)?;
            self.write(&request, &FileTool::Write { path: bytes }, (path, user)).await
        };
        answer(&id, written.await)
    }

    async fn put_tar(self: Arc<Self>, request: MatchedRequest) -> Result<Response, Problem> {
        let id = request.context().request_id;
        let written = async {
            let [path, user] = request.query(["path", "user"])?;
            let (path, bytes) = named(path)?;
            self.write(&request, &FileTool::WriteTar { path: bytes }, (path, user)).await
        };
        answer(&id, written.await)
    }

    /// Starts a tool in the sandbox of a request.
    async fn transfer(
        &self,
        request: &MatchedRequest,
        tool: &FileTool,
        names: (String, Option<String>),
        action: &str,
    ) -> Result<Transfer, Failure> {
        let lease = self.find_live(request).await?;
        let context = request.context();
        let permit = self.transfers.take(context.principal.as_deref());
        let permit = tokio::time::timeout(TURN_TIMEOUT, permit).await;
        let permit = permit.ok().flatten().ok_or_else(|| {
            let detail = "too many files are being transferred; try again";
            Failure::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).retry_after(5)
        })?;
        let used = lease.use_it()?;
        self.record(&request.context(), action, lease.id, &value!({}));
        Transfer::start(used, permit, tool, names).await
    }

    async fn read(
        &self,
        request: &MatchedRequest,
        tool: &FileTool,
        names: (String, Option<String>),
        content_type: &'static str,
    ) -> Result<Response, Failure> {
        let transfer = self.transfer(request, tool, names, actions::SANDBOX_READ).await?;
        let (body, length) = transfer.download().await?;
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
        Ok(response)
    }

    async fn write(
        &self,
        request: &MatchedRequest,
        tool: &FileTool,
        names: (String, Option<String>),
    ) -> Result<Response, Failure> {
        let body: Body = take_body_stream(&request.request)
            .ok_or_else(|| Failure::plain(StatusCode::BAD_REQUEST, "the body is missing"))?;
        let transfer = self.transfer(request, tool, names, actions::SANDBOX_WRITE).await?;
        let bytes = transfer.upload(body).await?;
        Ok(json(StatusCode::OK, &value!({ "bytes": bytes }))?)
    }
}

/// The path of a request, as text and as the sandbox gets it.
fn named(path: Option<String>) -> Result<(String, Vec<u8>), Failure> {
    let bad = |detail: &str| Failure::plain(StatusCode::BAD_REQUEST, detail);
    let path = path.filter(|path| !path.is_empty()).ok_or_else(|| bad("path is missing"))?;
    if path.contains('\0') {
        return Err(bad("path has a NUL, which no file is called"));
    }
    let bytes = path.clone().into_bytes();
    Ok((path, bytes))
}
