//! Errors of this layer as `application/problem+json`, with every fault in them.

use http::{HeaderValue, StatusCode, header};
use problem_details::ProblemDetails;
use serde::Serialize;
use stage_07_advanced_v2::{ApiBody, ApiResponse};

use crate::fault::{Fault, Faults, Part};
use crate::request::Refusal;

/// The member that RFC 9457 leaves to us.
#[derive(Serialize)]
struct Errors<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Fault],
}

/// The answer with this status, detail and faults.
pub(crate) fn problem(status: StatusCode, detail: &str, errors: &[Fault]) -> ApiResponse {
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
    /// The status that the stages below answer for the same faults: a place that cannot exist is
    /// 404, a wrong shape 400, and a value that is out of bounds 422.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Faults(faults) if faults.any_in(Part::Path) => StatusCode::NOT_FOUND,
            Self::Faults(faults)
                if faults.is_shape()
                    || faults.any_in(Part::Query)
                    || faults.any_in(Part::Header) =>
            {
                StatusCode::BAD_REQUEST
            }
            Self::Faults(_) => StatusCode::UNPROCESSABLE_ENTITY,
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
            Self::Faults(faults) => problem(status, detail(&faults), faults.as_slice()),
        }
    }
}

fn detail(faults: &Faults) -> &'static str {
    if faults.is_full() {
        "change what is named in errors; there is more than fits"
    } else {
        "change what is named in errors"
    }
}
