//! Errors of this layer as `application/problem+json`, with every violation in them.

use http::{HeaderValue, StatusCode, header};
use problem_details::ProblemDetails;
use serde::Serialize;
use stage_07_advanced_v2::{ApiBody, ApiResponse};

use crate::request::Refusal;
use crate::violation::{Part, Violation, Violations};

/// The member that RFC 9457 leaves to us.
#[derive(Serialize)]
struct Errors<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Violation],
}

/// The answer with this status, detail and violations.
pub(crate) fn problem(status: StatusCode, detail: &str, errors: &[Violation]) -> ApiResponse {
    let details = ProblemDetails::from_status_code(status).with_detail(detail);
    // Our own texts and pointers; nothing in them can fail to be written.
    let text = serde_json::to_vec(&details.with_extensions(Errors { errors })).unwrap_or_default();
    let mut response =
        ApiResponse { status, headers: http::HeaderMap::new(), body: ApiBody::Bytes(text.into()) };
    let media = HeaderValue::from_static("application/problem+json");
    response.headers.insert(header::CONTENT_TYPE, media);
    response
}

impl Refusal {
    // ANCHOR: status
    /// The status that the stages below answer for the same violations: a place that cannot exist is
    /// 404, a wrong shape 400, and a value that is out of bounds 422.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Violations(violations) if violations.any_in(Part::Path) => StatusCode::NOT_FOUND,
            Self::Violations(violations)
                if violations.is_shape()
                    || violations.any_in(Part::Query)
                    || violations.any_in(Part::Header) =>
            {
                StatusCode::BAD_REQUEST
            }
            Self::Violations(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
    // ANCHOR_END: status

    pub(crate) fn into_response(self) -> ApiResponse {
        let status = self.status();
        match self {
            Self::MediaType(takes) => {
                let takes = takes.join(", ");
                problem(status, &format!("send {takes}, and say so in Content-Type"), &[])
            }
            Self::Violations(violations) => {
                problem(status, detail(&violations), violations.as_slice())
            }
        }
    }
}

fn detail(violations: &Violations) -> &'static str {
    if violations.is_full() {
        "change what is named in errors; there is more than fits"
    } else {
        "change what is named in errors"
    }
}
