//! Checks a request against its operation: the head before the body is read, then the body.
//!
//! All violations of the head are found at once, and so are those of the body. What only the code
//! below can know (an id that no evaluation has, a path that is a file and a directory at once) is
//! left to it.

use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use shared::http::{BodyPolicy, Problem};

use crate::operation::{Content, Operation, Parameter, RequestBody, Scalar};
use crate::violation::{Kind, Part, Violation, Violations, push_name};
use crate::{media, strict_json};

/// Why a request is rejected.
pub(crate) enum Rejection {
    /// The body is of a media type that the operation does not take; it takes these.
    MediaType(Vec<String>),
    /// It has these violations.
    Violations(Violations),
}

impl Operation {
    // ANCHOR: check_head
    /// Checks the head of a request, and decides how its body is read. `params` are the parts of the
    /// path.
    pub(crate) fn check_head(
        &self,
        params: &[(String, String)],
        head: &Parts,
    ) -> Result<BodyPolicy, Rejection> {
        let policy = match &self.request_body {
            Some(body) => body.policy(&media::of(&head.headers))?,
            None => BodyPolicy::Buffered { max_bytes: None },
        };
        let mut violations = Violations::default();
        for parameter in self.parameters_in(Part::Path) {
            let found = params.iter().find(|(name, _)| *name == parameter.name);
            parameter.check(found.map(|(_, text)| text.as_str()), &mut violations);
        }
        self.check_query(head.uri.query().unwrap_or_default(), &mut violations);
        for parameter in self.parameters_in(Part::Header) {
            parameter.check_header(&head.headers, &mut violations);
        }
        if violations.is_empty() { Ok(policy) } else { Err(Rejection::Violations(violations)) }
    }
    // ANCHOR_END: check_head

    // ANCHOR: check_body
    /// Parses a body and checks it. Returns the value if it is JSON, so that no layer below parses it
    /// again.
    pub(crate) fn check_body(&self, media: &str, body: &[u8]) -> Result<Option<Value>, Rejection> {
        let Some(rules) = &self.request_body else { return Ok(None) };
        if !rules.required && body.is_empty() && media.is_empty() {
            return Ok(None);
        }
        let Content::Value(schema) = rules.content(media)? else { return Ok(None) };
        let mut violations = Violations::default();
        let value = parse(media, body, &mut violations);
        if let Some(value) = &value {
            schema.check(value, Part::Body, "", &mut violations);
        }
        if !violations.is_empty() {
            return Err(Rejection::Violations(violations));
        }
        Ok(value.filter(|_| media::is_json(media)))
    }
    // ANCHOR_END: check_body

    /// A parameter that is unknown or given twice is a violation: a misspelt filter that is ignored
    /// would answer with too much.
    fn check_query(&self, query: &str, violations: &mut Violations) {
        let known: Vec<_> = self.parameters_in(Part::Query).collect();
        let given: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        for (at, (name, _)) in given.iter().enumerate() {
            let violation = |detail: &str| Violation::of(Part::Query, Kind::Shape, detail).at(name);
            if !known.iter().any(|parameter| parameter.name == *name) {
                violations.add(violation("take this out: it is not a parameter of this path"));
            } else if given[..at].iter().any(|(earlier, _)| earlier == name) {
                violations.add(violation("give this once"));
            }
            if violations.is_full() {
                return;
            }
        }
        for parameter in known {
            let found = given.iter().find(|(name, _)| *name == parameter.name);
            parameter.check(found.map(|(_, text)| &**text), violations);
        }
    }
}

impl RequestBody {
    /// How a body of this media type is read.
    fn policy(&self, media: &str) -> Result<BodyPolicy, Rejection> {
        let max_bytes = self.max_bytes;
        if media.is_empty() && !self.required {
            return Ok(BodyPolicy::Buffered { max_bytes });
        }
        Ok(match (self.content(media)?, max_bytes) {
            (Content::Binary, Some(max_bytes)) => BodyPolicy::Streamed { max_bytes },
            _ => BodyPolicy::Buffered { max_bytes },
        })
    }

    fn content(&self, media: &str) -> Result<&Content, Rejection> {
        let taken = || Rejection::MediaType(self.content.keys().cloned().collect());
        self.content.get(media).ok_or_else(taken)
    }
}

impl Parameter {
    /// Checks the text of a parameter against its schema.
    pub(crate) fn check(&self, text: Option<&str>, violations: &mut Violations) {
        let Some(text) = text else {
            if self.required {
                violations
                    .add(Violation::of(self.part, Kind::Shape, "this is missing").at(&self.name));
            }
            return;
        };
        let mut pointer = String::new();
        push_name(&mut pointer, &self.name);
        self.schema.check(&self.scalar.read(text), self.part, &pointer, violations);
    }

    /// Checks a header against its schema. One that is given several times is one list (RFC 9110).
    pub(crate) fn check_header(&self, headers: &HeaderMap, violations: &mut Violations) {
        let lines: Vec<_> = headers.get_all(&self.name).iter().map(|line| line.to_str()).collect();
        if lines.is_empty() {
            return self.check(None, violations);
        }
        if let Ok(lines) = lines.into_iter().collect::<Result<Vec<_>, _>>() {
            self.check(Some(&lines.join(", ")), violations);
        } else {
            let violation = Violation::of(self.part, Kind::Shape, "use visible ASCII characters");
            violations.add(violation.at(&self.name));
        }
    }
}

impl Scalar {
    /// The value that a text stands for. A text that cannot be read as one remains a string, and the
    /// schema rejects it.
    fn read(self, text: &str) -> Value {
        let read = match self {
            Self::Text => None,
            Self::Number => serde_json::from_str(text).ok().filter(Value::is_number),
            Self::Boolean => serde_json::from_str(text).ok().filter(Value::is_boolean),
        };
        // JSON allows white space around a number; a URL and a header do not.
        read.filter(|_| !text.contains(char::is_whitespace)).unwrap_or_else(|| text.into())
    }
}

/// The value of a body, or a violation. A parser's message names a position, and never what is there.
pub(crate) fn parse(media: &str, body: &[u8], violations: &mut Violations) -> Option<Value> {
    let parsed = if media::is_json(media) {
        strict_json::from_slice(body).map_err(|error| format!("not JSON: {error}"))
    } else {
        std::str::from_utf8(body).map(Value::from).map_err(|_| "not UTF-8".to_owned())
    };
    parsed.map_err(|detail| violations.add(Violation::of(Part::Body, Kind::Shape, detail))).ok()
}

impl Rejection {
    // ANCHOR: status
    /// The status that the stages below answer to the same violations: a path that cannot exist is
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
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        let status = rejection.status();
        match rejection {
            Rejection::MediaType(taken) => {
                let taken = taken.join(", ");
                Self::new(status, format!("send {taken}, and say so in Content-Type"))
            }
            Rejection::Violations(violations) => {
                let detail = if violations.is_full() {
                    "change what is named in errors; there is more than fits"
                } else {
                    "change what is named in errors"
                };
                Self::new(status, detail).with_errors(violations.into_field_errors())
            }
        }
    }
}
