//! Errors as `application/problem+json` (RFC 9457).

use http::{HeaderName, HeaderValue, StatusCode, header};
use problem_details::ProblemDetails;
use serde::Serialize;

use super::{Response, bytes};
use crate::evaluations::{EvaluationsError, Refusal};
use crate::submission::{FieldError, InvalidSubmission};

/// An error as a client receives it: what is wrong and what to change, never anything internal.
#[derive(Debug, Clone)]
pub struct Problem {
    // Boxed, because the result of every handler has room for one.
    body: Box<ProblemDetails<Members>>,
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The members beside those of the RFC.
#[derive(Debug, Clone, Default, Serialize)]
struct Members {
    /// Each single error of a field, with a JSON Pointer to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// The id of the request, by which its log events are found.
    #[serde(skip_serializing_if = "String::is_empty")]
    request_id: String,
}

impl Problem {
    /// A problem of this status. `detail` tells the client what to change.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let body = ProblemDetails::from_status_code(status)
            .with_detail(detail)
            .with_extensions(Members::default());
        Self { body: Box::new(body), status, headers: Vec::new() }
    }

    /// An error of the platform. The cause is logged; the client gets the request id to find it by.
    pub fn internal(cause: &dyn std::error::Error) -> Self {
        let causes = std::iter::successors(cause.source(), |cause| cause.source());
        let causes: Vec<_> = causes.map(ToString::to_string).collect();
        tracing::error!(error = %cause, causes = causes.join(": "), "answered 500");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the platform failed; its log has the cause")
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The same problem with a header on the response.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same problem with errors of single fields.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.body.extensions.errors = errors;
        self
    }

    /// The same problem on a connection that is closed after it, because a body was left unread.
    #[must_use]
    pub(super) fn with_connection_close(self) -> Self {
        self.with_header(header::CONNECTION, HeaderValue::from_static("close"))
    }

    /// The response to the request with this id.
    pub fn into_response(mut self, request_id: &str) -> Response {
        request_id.clone_into(&mut self.body.extensions.request_id);
        let text = serde_json::to_vec(&self.body).unwrap_or_default();
        let mut response = bytes(self.status, "application/problem+json", text);
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<InvalidSubmission> for Problem {
    fn from(invalid: InvalidSubmission) -> Self {
        let detail = invalid.to_string();
        match invalid {
            InvalidSubmission::Malformed(_) => Self::new(StatusCode::BAD_REQUEST, detail),
            InvalidSubmission::Invalid(errors) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail).with_errors(errors)
            }
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let problem = Self::new(refusal.status, refusal.detail);
        match refusal.retry_after {
            Some(seconds) => problem.with_header(header::RETRY_AFTER, seconds),
            None => problem,
        }
    }
}

impl From<EvaluationsError> for Problem {
    fn from(error: EvaluationsError) -> Self {
        let status = match error {
            EvaluationsError::NotFound => StatusCode::NOT_FOUND,
            EvaluationsError::AlreadyEnded(_) => StatusCode::CONFLICT,
            EvaluationsError::Refused(refusal) => return refusal.into(),
            EvaluationsError::Internal(_) => return Self::internal(&error),
        };
        Self::new(status, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn body(response: Response) -> serde_json::Value {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[tokio::test]
    async fn a_problem_names_each_error_and_nothing_internal() {
        let (pointer, detail) = ("/code".to_owned(), "shorter".to_owned());
        let error = FieldError { part: None, pointer, detail };
        let response = Problem::from(InvalidSubmission::Invalid(vec![error])).into_response("r-1");
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let expected = serde_json::json!({
            "status": 422,
            "title": "Unprocessable Entity",
            "detail": "change the fields named in errors",
            "errors": [{"pointer": "/code", "detail": "shorter"}],
            "request_id": "r-1",
        });
        assert_eq!(body(response).await, expected);

        let secret = EvaluationsError::Internal("password is hunter2".into());
        let internal = body(Problem::from(secret).into_response("r-2")).await;
        assert!(!internal.to_string().contains("hunter2"), "{internal}");
    }

    #[test]
    fn a_refusal_names_the_time_for_another_try() {
        let response = Problem::from(Refusal::shutting_down().retry_after(7)).into_response("");
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &7.into())
        );
    }
}
