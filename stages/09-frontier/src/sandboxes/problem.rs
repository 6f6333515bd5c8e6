//! Errors with a member that a program can read: what is wrong with a file, or why a sandbox has ended.

use http::{HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use shared::EvaluationsError;
use shared::http::{Problem, Response, bytes};
use shared::submission::{FieldError, InvalidSubmission};

use super::state::EndReason;
use crate::store::StoreError;

/// The longest path that stands in a sentence, in bytes.
const MAX_PATH_IN_DETAIL_BYTES: usize = 300;

/// Why a request was not answered with what it asked for.
#[derive(Debug)]
pub(super) enum Failure {
    /// A problem as all others.
    Plain(Problem),
    /// One with members of its own.
    Detailed(Box<Detailed>),
}

/// A problem (RFC 9457) with members of its own.
#[derive(Debug, Serialize)]
pub(super) struct Detailed {
    #[serde(skip)]
    code: StatusCode,
    status: u16,
    title: &'static str,
    detail: String,
    request_id: String,
    /// What it is, for a program.
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<EndReason>,
    /// Bytes of standard input that have been taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    received: Option<u64>,
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Failure {
    /// A problem of this status and kind.
    pub(super) fn new(code: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self::Detailed(Box::new(Detailed {
            code,
            status: code.as_u16(),
            title: code.canonical_reason().unwrap_or("Error"),
            detail: detail.into(),
            request_id: String::new(),
            kind,
            path: None,
            end_reason: None,
            received: None,
            retry_after: None,
        }))
    }

    /// There is no such sandbox, or it belongs to another key.
    pub(super) fn no_sandbox() -> Self {
        Self::plain(StatusCode::NOT_FOUND, "there is no sandbox with this id")
    }

    /// There is no such execution in the sandbox.
    pub(super) fn no_execution() -> Self {
        let detail = "the sandbox has no execution with this id, or it is too old to be kept";
        Self::plain(StatusCode::NOT_FOUND, detail)
    }

    /// The sandbox has ended.
    pub(super) fn gone(reason: Option<EndReason>) -> Self {
        let detail = match reason {
            Some(reason) => format!("the sandbox has ended: {}", reason.as_str()),
            None => "the sandbox is being removed".to_owned(),
        };
        Self::new(StatusCode::GONE, "sandbox_gone", detail)
            .with(|problem| problem.end_reason = reason)
    }

    /// The sandbox is being opened.
    pub(super) fn starting() -> Self {
        let detail =
            "the sandbox is starting; its request for creation is answered when it is ready";
        Self::new(StatusCode::CONFLICT, "starting", detail).retry_after(1)
    }

    /// A problem without members of its own.
    pub(super) fn plain(status: StatusCode, detail: &str) -> Self {
        Self::Plain(Problem::new(status, detail))
    }

    /// A value in the body that cannot be.
    pub(super) fn field(pointer: &str, detail: impl Into<String>) -> Self {
        Self::Plain(invalid(pointer, detail).into())
    }

    /// The same with the path that the request has named.
    pub(super) fn at_path(self, path: &str) -> Self {
        self.with(|problem| {
            let is_plain =
                path.len() <= MAX_PATH_IN_DETAIL_BYTES && !path.contains(char::is_control);
            if is_plain {
                problem.detail = format!("{}: {path}", problem.detail);
            }
            problem.path = Some(path.to_owned());
        })
    }

    /// The same, with the number of bytes that were taken before.
    pub(super) fn after(self, received: u64) -> Self {
        self.with(|problem| problem.received = Some(received))
    }

    /// The same, with the seconds after which another try may succeed.
    pub(super) fn retry_after(self, seconds: u64) -> Self {
        self.with(|problem| problem.retry_after = Some(seconds))
    }

    fn with(mut self, change: impl FnOnce(&mut Detailed)) -> Self {
        if let Self::Detailed(problem) = &mut self {
            change(problem);
        }
        self
    }

    /// The response to the request with this id.
    fn into_response(self, request_id: &str) -> Result<Response, Problem> {
        let mut problem = match self {
            Self::Plain(problem) => return Err(problem),
            Self::Detailed(problem) => problem,
        };
        request_id.clone_into(&mut problem.request_id);
        let text = serde_json::to_vec(&problem).map_err(|error| Problem::internal(&error))?;
        let mut response = bytes(problem.code, "application/problem+json", text);
        if let Some(seconds) = problem.retry_after {
            let name: HeaderName = header::RETRY_AFTER;
            response.headers_mut().insert(name, HeaderValue::from(seconds));
        }
        Ok(response)
    }
}

/// The answer to the request with this id.
pub(super) fn answer(
    request_id: &str,
    result: Result<Response, Failure>,
) -> Result<Response, Problem> {
    result.or_else(|failure| failure.into_response(request_id))
}

/// A value in the body that cannot be.
pub(super) fn invalid(pointer: &str, detail: impl Into<String>) -> InvalidSubmission {
    let (pointer, detail) = (pointer.to_owned(), detail.into());
    InvalidSubmission::Invalid(vec![FieldError { part: None, pointer, detail }])
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Plain(problem)
    }
}

impl From<EvaluationsError> for Failure {
    fn from(error: EvaluationsError) -> Self {
        Self::Plain(error.into())
    }
}

impl From<InvalidSubmission> for Failure {
    fn from(invalid: InvalidSubmission) -> Self {
        Self::Plain(invalid.into())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Plain(Problem::internal(&error))
    }
}
