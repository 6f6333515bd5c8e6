//! Is a request what the contract says?
//!
//! Everything is looked at before the answer, so that a client learns of all its faults at once.
//! What only the code behind can know (an id that nothing has, a path that is a file and a folder
//! at once) is left to it.

use http::HeaderMap;
use serde_json::Value;
use stage_07_advanced_v2::ApiRequest;

use crate::fault::{Fault, Faults, Kind, Part, push_name};
use crate::media;
use crate::operation::{Body, Operation, Parameter, Scalar};

/// Why a request is not passed on.
pub(crate) enum Refusal {
    /// The body is of a type that the operation does not take; it takes these.
    MediaType(Vec<String>),
    /// It has these faults.
    Faults(Faults),
}

impl Operation {
    // ANCHOR: check_request
    /// Holds a request to the contract. `params` are the parts of the path.
    pub(crate) fn check_request(
        &self,
        params: &[(String, String)],
        request: &ApiRequest,
    ) -> Result<(), Refusal> {
        let mut faults = Faults::default();
        for parameter in self.parameters_in(Part::Path) {
            let found = params.iter().find(|(name, _)| *name == parameter.name);
            parameter.check(found.map(|(_, text)| text.as_str()), &mut faults);
        }
        self.check_query(request.query.as_deref().unwrap_or_default(), &mut faults);
        for parameter in self.parameters_in(Part::Header) {
            parameter.check_header(&request.headers, &mut faults);
        }
        if let Some(expected) = &self.body {
            expected.check(&media::of(&request.headers), &request.body, &mut faults)?;
        }
        if faults.is_empty() { Ok(()) } else { Err(Refusal::Faults(faults)) }
    }
    // ANCHOR_END: check_request

    /// A parameter that is not known, or comes twice, is a fault: a misspelt filter that is passed
    /// over would answer with too much.
    fn check_query(&self, query: &str, faults: &mut Faults) {
        let known: Vec<_> = self.parameters_in(Part::Query).collect();
        let given: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        for (at, (name, _)) in given.iter().enumerate() {
            let fault = |detail: &str| Fault::of(Part::Query, Kind::Shape, detail).at(name);
            if !known.iter().any(|parameter| parameter.name == *name) {
                faults.add(fault("take this out: it is not a parameter of this path"));
            } else if given[..at].iter().any(|(earlier, _)| earlier == name) {
                faults.add(fault("give this once"));
            }
            if faults.is_full() {
                return;
            }
        }
        for parameter in known {
            let found = given.iter().find(|(name, _)| *name == parameter.name);
            parameter.check(found.map(|(_, text)| &**text), faults);
        }
    }
}

impl Parameter {
    /// Holds the text of a parameter to its schema.
    pub(crate) fn check(&self, text: Option<&str>, faults: &mut Faults) {
        let Some(text) = text else {
            if self.required {
                faults.add(Fault::of(self.part, Kind::Shape, "this is missing").at(&self.name));
            }
            return;
        };
        let mut pointer = String::new();
        push_name(&mut pointer, &self.name);
        self.schema.check(&self.scalar.read(text), self.part, &pointer, faults);
    }

    /// Holds a header to its schema. One that comes several times is one list (RFC 9110).
    pub(crate) fn check_header(&self, headers: &HeaderMap, faults: &mut Faults) {
        let lines: Vec<_> = headers.get_all(&self.name).iter().map(|line| line.to_str()).collect();
        if lines.is_empty() {
            return self.check(None, faults);
        }
        if let Ok(lines) = lines.into_iter().collect::<Result<Vec<_>, _>>() {
            self.check(Some(&lines.join(", ")), faults);
        } else {
            let fault = Fault::of(self.part, Kind::Shape, "use visible ASCII characters");
            faults.add(fault.at(&self.name));
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
    fn check(&self, media: &str, body: &[u8], faults: &mut Faults) -> Result<(), Refusal> {
        if !self.required && body.is_empty() && media.is_empty() {
            return Ok(());
        }
        let Some(content) = self.content.get(media) else {
            return Err(Refusal::MediaType(self.content.keys().cloned().collect()));
        };
        let Some(schema) = &content.schema else { return Ok(()) };
        match value(media, body) {
            Ok(value) => schema.check(&value, Part::Body, "", faults),
            Err(detail) => faults.add(Fault::of(Part::Body, Kind::Shape, detail)),
        }
        Ok(())
    }
}

/// The value that a body stands for, or what is wrong with it. A parser's words name a place, and
/// never what is there.
pub(crate) fn value(media: &str, body: &[u8]) -> Result<Value, String> {
    if media::is_json(media) {
        serde_json::from_slice(body).map_err(|fault| format!("not JSON: {fault}"))
    } else {
        let text = std::str::from_utf8(body).map_err(|_| "not UTF-8".to_owned())?;
        Ok(text.into())
    }
}
