//! Is a response what the contract says?
//!
//! Stricter than OpenAPI asks for: a header that the contract does not name is a violation as well. That
//! is how something leaks that nobody meant to send.

use http::{HeaderMap, StatusCode};

use crate::media;
use crate::operation::{Answer, Content, Operation};
use crate::request::value;
use crate::violation::{Kind, Part, Violation, Violations};

/// Headers that any response may have: OpenAPI describes the first by the media type, and the others
/// are put on every response, whatever it answers.
const OF_ALL: [&str; 4] =
    ["content-type", "content-length", "cache-control", "x-content-type-options"];

impl Operation {
    // ANCHOR: check_response
    /// Holds a response to the contract. Without a `body` it is a stream, whose events are looked
    /// at as they pass. What answers HEAD has no body, and all that goes with one.
    pub(crate) fn check_response(
        &self,
        status: StatusCode,
        headers: &HeaderMap,
        body: Option<&[u8]>,
        head: bool,
    ) -> Violations {
        let mut violations = Violations::default();
        let Some(answer) = self.answer(status) else {
            let detail = format!("{} has no answer {status}", self.id);
            violations.add(Violation::of(Part::Status, Kind::Shape, detail));
            return violations;
        };
        answer.check_headers(headers, &mut violations);
        let media = media::of(headers);
        match answer.content.get(&media) {
            Some(_) if head => {}
            Some(content) => content.check(&media, body, &mut violations),
            None if answer.content.is_empty() => {
                if media.is_empty() && body.is_some_and(<[u8]>::is_empty) {
                    return violations;
                }
                violations.add(Violation::of(Part::Body, Kind::Shape, "this answer has no body"));
            }
            None => {
                let violation =
                    Violation::of(Part::Header, Kind::Shape, "no media type of this answer");
                violations.add(violation.at("content-type"));
            }
        }
        violations
    }
    // ANCHOR_END: check_response

    /// What is said about the answer of this status and media type.
    pub(crate) fn content(&self, status: StatusCode, headers: &HeaderMap) -> Option<&Content> {
        self.answer(status)?.content.get(&media::of(headers))
    }
}

impl Answer {
    fn check_headers(&self, headers: &HeaderMap, violations: &mut Violations) {
        for header in &self.headers {
            header.check_header(headers, violations);
        }
        for name in headers.keys() {
            let declared =
                self.headers.iter().any(|it| name.as_str().eq_ignore_ascii_case(&it.name));
            if !declared && !OF_ALL.contains(&name.as_str()) {
                let violation =
                    Violation::of(Part::Header, Kind::Shape, "this header is not announced");
                violations.add(violation.at(name.as_str()));
            }
        }
    }
}

impl Content {
    fn check(&self, media: &str, body: Option<&[u8]>, violations: &mut Violations) {
        match (body, &self.schema) {
            (None, _) if self.item.is_none() => {
                violations.add(Violation::of(
                    Part::Body,
                    Kind::Shape,
                    "this answer is not a stream",
                ));
            }
            (Some(body), Some(schema)) => match value(media, body) {
                Ok(value) => schema.check(&value, Part::Body, "", violations),
                Err(detail) => violations.add(Violation::of(Part::Body, Kind::Shape, detail)),
            },
            _ => {}
        }
    }
}
