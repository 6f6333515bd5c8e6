//! Is a request what the contract says?
//!
//! Everything is looked at before the answer, so that a client learns of all its violations at once.
//! What only the code behind can know (an id that nothing has, a path that is a file and a folder
//! at once) is left to it.

use http::HeaderMap;
use serde_json::Value;
use stage_07_advanced_v2::ApiRequest;

use crate::media;
use crate::operation::{Body, Operation, Parameter, Scalar};
use crate::violation::{Kind, Part, Violation, Violations, push_name};

/// Why a request is not passed on.
pub(crate) enum Refusal {
    /// The body is of a type that the operation does not take; it takes these.
    MediaType(Vec<String>),
    /// It has these violations.
    Violations(Violations),
}

impl Operation {
    // ANCHOR: check_request
    /// Holds a request to the contract. `params` are the parts of the path.
    pub(crate) fn check_request(
        &self,
        params: &[(String, String)],
        request: &ApiRequest,
    ) -> Result<(), Refusal> {
        let mut violations = Violations::default();
        for parameter in self.parameters_in(Part::Path) {
            let found = params.iter().find(|(name, _)| *name == parameter.name);
            parameter.check(found.map(|(_, text)| text.as_str()), &mut violations);
        }
        self.check_query(request.query.as_deref().unwrap_or_default(), &mut violations);
        for parameter in self.parameters_in(Part::Header) {
            parameter.check_header(&request.headers, &mut violations);
        }
        if let Some(expected) = &self.body {
            expected.check(&media::of(&request.headers), &request.body, &mut violations)?;
        }
        if violations.is_empty() { Ok(()) } else { Err(Refusal::Violations(violations)) }
    }
    // ANCHOR_END: check_request

    /// A parameter that is not known, or comes twice, is a violation: a misspelt filter that is passed
    /// over would answer with too much.
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

impl Parameter {
    /// Holds the text of a parameter to its schema.
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

    /// Holds a header to its schema. One that comes several times is one list (RFC 9110).
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
    /// The value that a text stands for. One that stands for none stays a text, and its schema
    /// says what is wrong with it.
    fn read(self, text: &str) -> Value {
        let read = match self {
            Self::Text => None,
            Self::Number => serde_json::from_str(text).ok().filter(Value::is_number),
            Self::Boolean => serde_json::from_str(text).ok().filter(Value::is_boolean),
        };
        // JSON allows white space round a number; a URL and a header do not.
        read.filter(|_| !text.contains(char::is_whitespace)).unwrap_or_else(|| text.into())
    }
}

impl Body {
    fn check(&self, media: &str, body: &[u8], violations: &mut Violations) -> Result<(), Refusal> {
        if !self.required && body.is_empty() && media.is_empty() {
            return Ok(());
        }
        let Some(content) = self.content.get(media) else {
            return Err(Refusal::MediaType(self.content.keys().cloned().collect()));
        };
        let Some(schema) = &content.schema else { return Ok(()) };
        match value(media, body) {
            Ok(value) => schema.check(&value, Part::Body, "", violations),
            Err(detail) => violations.add(Violation::of(Part::Body, Kind::Shape, detail)),
        }
        Ok(())
    }
}

/// The value that a body stands for, or what is wrong with it. A parser's words name a place, and
/// never what is there.
pub(crate) fn value(media: &str, body: &[u8]) -> Result<Value, String> {
    if media::is_json(media) {
        serde_json::from_slice(body).map_err(|violation| format!("not JSON: {violation}"))
    } else {
        let text = std::str::from_utf8(body).map_err(|_| "not UTF-8".to_owned())?;
        Ok(text.into())
    }
}
