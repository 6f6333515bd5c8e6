//! Errors as `application/problem+json` (RFC 9457).

use http::{HeaderName, HeaderValue, StatusCode, header};
use problem_details::ProblemDetails;
use serde::Serialize;

use super::{Response, bytes};
use crate::evaluations::{NotCancelled, Refused};
use crate::submission::{FieldError, InvalidSubmission};

/// An error, as a client sees it: what is wrong and what to change, never anything internal.
#[derive(Debug, Clone)]
pub struct Problem {
    // Boxed, because every handler's result has room for one.
    body: Box<ProblemDetails<Errors>>,
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The member `errors`: each single error with a JSON Pointer to it.
#[derive(Debug, Clone, Default, Serialize)]
struct Errors {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

impl Problem {
    /// A problem of this status. `detail` says what to change.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        let body = ProblemDetails::from_status_code(status)
            .with_detail(detail)
            .with_extensions(Errors::default());
        Self { body: Box::new(body), status, headers: Vec::new() }
    }

    /// A error of the platform. The cause goes to the log, not to the client.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "answered 500");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the platform failed; its log has the cause")
    }

    /// The problem of an id that no evaluation has.
    pub fn unknown_evaluation() -> Self {
        let detail = "there is no evaluation with this id, or it is too old to be kept";
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// The same problem with a header on the response.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The response.
    pub fn into_response(self) -> Response {
        let text = serde_json::to_vec(&self.body).unwrap_or_default();
        let mut response = bytes(self.status, "application/problem+json", text);
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<InvalidSubmission> for Problem {
    fn from(rejected: InvalidSubmission) -> Self {
        match rejected {
            InvalidSubmission::Malformed(message) => Self::new(StatusCode::BAD_REQUEST, message),
            InvalidSubmission::Invalid(errors) => {
                let detail = "change the fields named in errors";
                let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
                problem.body.extensions = Errors { errors };
                problem
            }
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let (detail, seconds) = match refused {
            Refused::QueueFull { retry_after } => ("the queue is full; try again", retry_after),
            Refused::NotReady => {
                ("a part of the platform fails its test; GET /status says which", 5)
            }
            Refused::ShuttingDown => ("the platform is shutting down and takes no more work", 30),
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with_header(header::RETRY_AFTER, seconds)
    }
}

impl From<NotCancelled> for Problem {
    fn from(reason: NotCancelled) -> Self {
        match reason {
            NotCancelled::Unknown => Self::unknown_evaluation(),
            NotCancelled::Ended(_) => {
                Self::new(StatusCode::CONFLICT, "the evaluation has already ended")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_problem_names_each_fault_and_nothing_internal() {
        let error = FieldError { pointer: "/code".to_owned(), detail: "shorter".to_owned() };
        let response = Problem::from(InvalidSubmission::Invalid(vec![error])).into_response();
        assert_eq!(response.status(), 422);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let expected = serde_json::json!({
            "status": 422,
            "title": "Unprocessable Entity",
            "detail": "change the fields named in errors",
            "errors": [{"pointer": "/code", "detail": "shorter"}],
        });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), expected);

        let internal = Problem::internal(&"password is hunter2").into_response();
        let body = internal.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("hunter2"));
    }

    #[test]
    fn a_full_queue_says_when_to_come_back() {
        let response = Problem::from(Refused::QueueFull { retry_after: 7 }).into_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["retry-after"]),
            (503, &HeaderValue::from(7))
        );
    }
}
