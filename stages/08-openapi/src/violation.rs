//! What is wrong with a message: one violation, and the bounded list of all of them.
//!
//! The rule: a violation names the place and what to change there. It never repeats a value, because a
//! value may be a secret, a megabyte, or a script.
//!
//! Attack: a body of two megabytes in which everything is wrong → the response would be larger than
//! the request, and so would the log. A list has at most [`MAX_VIOLATIONS`] violations, a pointer at
//! most [`MAX_POINTER_BYTES`] bytes. Test: `an_answer_is_bounded_and_never_repeats_what_was_sent`.

use std::fmt;

use shared::pointer::escape;
use shared::submission::FieldError;

/// Violations in one list.
const MAX_VIOLATIONS: usize = 64;
/// Bytes of a pointer. The names in it are chosen by the client, so they can be long.
const MAX_POINTER_BYTES: usize = 300;

/// The part of a message that a violation is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// A parameter in the path.
    Path,
    /// A parameter in the query.
    Query,
    /// A header.
    Header,
    /// The body, or an event of a stream.
    Body,
    /// The status of a response.
    Status,
}

/// What kind of violation it is, which decides between 400 and 422.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something is missing, superfluous, or of another type.
    Shape,
    /// The shape is right, and a value is out of bounds.
    Value,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Where: in which part.
    pub(crate) part: Part,
    /// Where in that part: a JSON Pointer (RFC 6901). Parameters are members of an object.
    pub(crate) pointer: String,
    /// What to change.
    pub(crate) detail: String,
    /// What kind of violation it is.
    pub(crate) kind: Kind,
}

impl Violation {
    /// A violation of `part` as a whole.
    pub(crate) fn of(part: Part, kind: Kind, detail: impl Into<String>) -> Self {
        Self { part, pointer: String::new(), detail: detail.into(), kind }
    }

    /// The same violation, in the member `name`.
    #[must_use]
    pub(crate) fn at(mut self, name: &str) -> Self {
        push_name(&mut self.pointer, name);
        self
    }
}

impl Part {
    fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Query => "query",
            Self::Header => "header",
            Self::Body => "body",
            Self::Status => "status",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.part.as_str(), self.pointer, self.detail)
    }
}

impl From<Violation> for FieldError {
    fn from(violation: Violation) -> Self {
        let Violation { part, pointer, detail, .. } = violation;
        Self { part: Some(part.as_str()), pointer, detail }
    }
}

/// Puts one more name at the end of a pointer.
pub(crate) fn push_name(pointer: &mut String, name: &str) {
    pointer.push('/');
    pointer.push_str(&escape(name));
}

/// Everything that is wrong with one message, within bounds.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    list: Vec<Violation>,
}

impl Violations {
    /// Takes one more, if there is room.
    pub(crate) fn add(&mut self, mut violation: Violation) {
        if self.is_full() {
            return;
        }
        if violation.pointer.len() > MAX_POINTER_BYTES {
            violation.pointer.truncate(violation.pointer.floor_char_boundary(MAX_POINTER_BYTES));
            // Half an escape would not be a pointer.
            if violation.pointer.ends_with('~') {
                violation.pointer.pop();
            }
        }
        self.list.push(violation);
    }

    /// True when nothing is wrong.
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// True when the list is full, so that looking for more is of no use.
    pub(crate) fn is_full(&self) -> bool {
        self.list.len() == MAX_VIOLATIONS
    }

    /// True when one of them is about the shape.
    pub(crate) fn is_shape(&self) -> bool {
        self.list.iter().any(|violation| violation.kind == Kind::Shape)
    }

    /// True when one of them is in `part`.
    pub(crate) fn any_in(&self, part: Part) -> bool {
        self.list.iter().any(|violation| violation.part == part)
    }

    /// The violations, in the order in which they were found.
    pub(crate) fn as_slice(&self) -> &[Violation] {
        &self.list
    }

    /// The same for a problem.
    pub(crate) fn into_field_errors(self) -> Vec<FieldError> {
        self.list.into_iter().map(FieldError::from).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_and_long_ones_cut() {
        let violation = Violation::of(Part::Body, Kind::Shape, "").at("files").at("a/b~c");
        assert_eq!(violation.pointer, "/files/a~1b~0c");
        let mut violations = Violations::default();
        for name in ["é".repeat(300), "~".repeat(300)] {
            violations.add(Violation::of(Part::Body, Kind::Shape, "").at(&name));
        }
        for violation in violations.as_slice() {
            assert!(violation.pointer.len() <= MAX_POINTER_BYTES, "{}", violation.pointer.len());
            let escapes = violation.pointer.matches('~').count();
            assert_eq!(violation.pointer.matches("~0").count(), escapes);
        }
    }

    #[test]
    fn a_list_is_bounded() {
        let mut violations = Violations::default();
        for _ in 0..1000 {
            violations.add(Violation::of(Part::Query, Kind::Value, ""));
        }
        assert_eq!(violations.as_slice().len(), MAX_VIOLATIONS);
        assert!(violations.is_full() && violations.any_in(Part::Query) && !violations.is_shape());
    }
}
