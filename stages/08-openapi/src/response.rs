//! Checks a response against its operation.
//!
//! Stricter than OpenAPI: a header that the contract does not name is a violation as well. Such a
//! header is how something leaks that was never meant to be sent.

use http::{HeaderMap, StatusCode};

use crate::media;
use crate::operation::{Content, Operation, ResponseRules};
use crate::request::parse;
use crate::schema::Schema;
use crate::violation::{Kind, Part, Violation, Violations};

/// Headers that any response may have: OpenAPI describes the first by the media type, and the others
/// are set by the endpoint on every response.
const ALWAYS_ALLOWED_HEADERS: [&str; 5] =
    ["content-type", "content-length", "cache-control", "x-content-type-options", "x-request-id"];

/// What the body of a response has to be.
pub(crate) enum ExpectedBody<'a> {
    /// There is none.
    Empty,
    /// This.
    Content(&'a Content),
    /// Unknown, because the head is wrong already.
    Unknown,
}

impl Operation {
    // ANCHOR: check_response
    /// Checks the head of a response, and returns what its body has to be.
    pub(crate) fn check_response_head(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        violations: &mut Violations,
    ) -> ExpectedBody<'_> {
        let Some(rules) = self.response(status) else {
            let detail = format!("{} has no answer {status}", self.id);
            violations.add(Violation::of(Part::Status, Kind::Shape, detail));
            return ExpectedBody::Unknown;
        };
        rules.check_headers(headers, violations);
        let media = media::of(headers);
        match rules.content.get(&media) {
            Some(content) => ExpectedBody::Content(content),
            None if media.is_empty() && rules.content.is_empty() => ExpectedBody::Empty,
            None => {
                let detail = "no media type of this answer";
                let violation = Violation::of(Part::Header, Kind::Shape, detail);
                violations.add(violation.at("content-type"));
                ExpectedBody::Unknown
            }
        }
    }
    // ANCHOR_END: check_response
}

impl ResponseRules {
    fn check_headers(&self, headers: &HeaderMap, violations: &mut Violations) {
        for header in &self.headers {
            header.check_header(headers, violations);
        }
        for name in headers.keys() {
            let declared =
                self.headers.iter().any(|header| name.as_str().eq_ignore_ascii_case(&header.name));
            if !declared && !ALWAYS_ALLOWED_HEADERS.contains(&name.as_str()) {
                let violation =
                    Violation::of(Part::Header, Kind::Shape, "this header is not announced");
                violations.add(violation.at(name.as_str()));
            }
        }
    }
}

/// Checks a whole body.
pub(crate) fn check_body(schema: &Schema, media: &str, body: &[u8], violations: &mut Violations) {
    if let Some(value) = parse(media, body, violations) {
        schema.check(&value, Part::Body, "", violations);
    }
}
