//! The only module that depends on the JSON Schema library. It decides every question about a value.
//!
//! The document is registered under a URN, and each schema is compiled by a reference into it, so that
//! references inside the document work as they are written.
//!
//! | attack | defence | test |
//! |---|---|---|
//! | a text that makes a pattern backtrack for hours | patterns are matched in linear time, and one that cannot be is refused when the contract is loaded | `a_pattern_that_needs_backtracking_is_refused` |
//! | an object with thousands of wrong names, each of which the library reports with a copy of the object | objects are cut before the library explains them ([`limits`]) | `the_explanation_of_a_large_object_is_bounded` |
//! | a `$ref` that makes the server fetch something | offline: what is not in the document is refused when it is loaded | `nothing_is_fetched` |

mod limits;

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, PatternOptions, Registry, ValidationError, Validator};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use shared::BoxError;

use self::limits::{MAX_UNKNOWN_MEMBERS, PropertyNames};
use crate::error::SchemaError;
use crate::violation::{Kind, Part, Violation, Violations, push_name};

/// The name under which the document is registered.
const DOCUMENT: &str = "urn:crucible:openapi";
/// What a pointer may have and the fragment of a URI may not, such as the braces of `/eval/{id}`.
const NOT_IN_A_FRAGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// All schemas of a document.
pub(crate) struct Schemas {
    registry: Registry<'static>,
    document: Arc<Value>,
    names: Arc<PropertyNames>,
    /// What was compiled already, by its pointer: every response of 400 has the same schema.
    compiled: RefCell<HashMap<String, Arc<Schema>>>,
}

impl Schemas {
    pub(crate) fn new(document: Arc<Value>) -> Result<Self, SchemaError> {
        let registry = Registry::new()
            .add(DOCUMENT, Value::clone(&document))
            .and_then(jsonschema::RegistryBuilder::prepare)
            .map_err(|error| SchemaError { pointer: String::new(), source: error.into() })?;
        let names = Arc::new(PropertyNames::of(&document));
        Ok(Self { registry, document, names, compiled: RefCell::default() })
    }

    // ANCHOR: compile
    /// Compiles the schema at this JSON Pointer of the document.
    pub(crate) fn at(&self, pointer: &str) -> Result<Arc<Schema>, SchemaError> {
        if let Some(schema) = self.compiled.borrow().get(pointer) {
            return Ok(Arc::clone(schema));
        }
        let bad = |source: BoxError| SchemaError { pointer: pointer.to_owned(), source };
        if self.document.pointer(pointer).is_none() {
            return Err(bad("there is none".into()));
        }
        let fragment = utf8_percent_encode(pointer, NOT_IN_A_FRAGMENT);
        let validator = jsonschema::options()
            .offline()
            .with_registry(&self.registry)
            .with_pattern_options(PatternOptions::regex())
            .should_validate_formats(true)
            .build(&serde_json::json!({ "$ref": format!("{DOCUMENT}#{fragment}") }))
            .map_err(|error| bad(error.to_string().into()))?;
        let (document, names) = (Arc::clone(&self.document), Arc::clone(&self.names));
        let schema = Arc::new(Schema { validator, document, names });
        self.compiled.borrow_mut().insert(pointer.to_owned(), Arc::clone(&schema));
        Ok(schema)
    }
    // ANCHOR_END: compile
}

/// One compiled schema.
pub(crate) struct Schema {
    validator: Validator,
    document: Arc<Value>,
    names: Arc<PropertyNames>,
}

impl Schema {
    // ANCHOR: check
    /// Puts everything that is wrong with `value` into `violations`. `base` is the pointer to the value.
    pub(crate) fn check(&self, value: &Value, part: Part, base: &str, violations: &mut Violations) {
        // Most messages are valid, and this question is the cheaper one.
        if self.validator.is_valid(value) {
            return;
        }
        // All errors are made before the first one is returned, so what they are made from is bounded.
        let value = self.names.limit(value);
        for error in self.validator.iter_errors(&value) {
            if violations.is_full() {
                break;
            }
            self.explain(&error, part, base, violations);
        }
        // The invalid member may be among those that were cut off: the value is invalid all the same.
        if violations.is_empty() {
            let detail = format!(
                "a member after the first {MAX_UNKNOWN_MEMBERS} is not valid, or there are too many"
            );
            violations.add(Violation {
                pointer: base.to_owned(),
                ..Violation::of(part, Kind::Value, detail)
            });
        }
    }
    // ANCHOR_END: check

    fn explain(
        &self,
        error: &ValidationError<'_>,
        part: Part,
        base: &str,
        violations: &mut Violations,
    ) {
        let pointer = format!("{base}{}", error.instance_path());
        let violation =
            |kind, detail: String| Violation { part, pointer: pointer.clone(), detail, kind };
        match error.kind() {
            ValidationErrorKind::OneOfNotValid { context }
            | ValidationErrorKind::AnyOf { context } => match meant(error, context) {
                Some(branch) => {
                    for inner in branch {
                        self.explain(inner, part, base, violations);
                    }
                }
                None => violations.add(violation(Kind::Shape, self.shapes(error))),
            },
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for name in unexpected {
                    let detail = "take this out: it is not known here".to_owned();
                    violations.add(violation(Kind::Shape, detail).at(name));
                }
            }
            ValidationErrorKind::Required { property } => {
                let name = property.as_str().unwrap_or_default();
                violations.add(violation(Kind::Shape, "this is missing".to_owned()).at(name));
            }
            ValidationErrorKind::PropertyNames { error: inner } => {
                let mut at = pointer.clone();
                push_name(&mut at, inner.instance().as_str().unwrap_or_default());
                let detail = format!("choose another name: {}", self.detail(inner));
                violations.add(Violation { pointer: at, ..violation(Kind::Value, detail) });
            }
            ValidationErrorKind::Type { .. } => {
                violations.add(violation(Kind::Shape, self.detail(error)));
            }
            _ => violations.add(violation(Kind::Value, self.detail(error))),
        }
    }

    /// What to change, by what the contract says, and never by what the value is.
    fn detail(&self, error: &ValidationError<'_>) -> String {
        match error.kind() {
            ValidationErrorKind::Type { kind } => format!("give {}", types(kind)),
            ValidationErrorKind::Enum { options } => {
                let options = options.as_array().map(Vec::as_slice).unwrap_or_default();
                let options: Vec<_> = options.iter().map(plain).collect();
                format!("give one of: {}", options.join(", "))
            }
            ValidationErrorKind::Constant { expected_value } => {
                format!("give {}", plain(expected_value))
            }
            ValidationErrorKind::Minimum { limit } => format!("give at least {limit}"),
            ValidationErrorKind::Maximum { limit } => format!("give at most {limit}"),
            ValidationErrorKind::MinLength { limit } => format!("at least {limit} characters"),
            ValidationErrorKind::MaxLength { limit } => format!("at most {limit} characters"),
            ValidationErrorKind::MinItems { limit } => format!("at least {limit} items"),
            ValidationErrorKind::MaxItems { limit } => format!("at most {limit} items"),
            ValidationErrorKind::MinProperties { limit } => format!("at least {limit} members"),
            ValidationErrorKind::MaxProperties { limit } => format!("at most {limit} members"),
            ValidationErrorKind::Format { format } => format!("not of the format {format}"),
            kind => {
                let description = self.description(error);
                description.unwrap_or_else(|| format!("this breaks the rule `{}`", kind.keyword()))
            }
        }
    }

    /// What the contract says about the schema that the error comes from.
    fn description(&self, error: &ValidationError<'_>) -> Option<String> {
        let location = error.absolute_keyword_location()?.as_str();
        let keyword = location.strip_prefix(DOCUMENT)?.strip_prefix('#')?;
        let (schema, _) = keyword.rsplit_once('/')?;
        let schema = percent_decode_str(schema).decode_utf8().ok()?;
        let text = self.document.pointer(&schema)?.get("description")?.as_str()?;
        Some(text.trim().replace('\n', " "))
    }

    fn shapes(&self, error: &ValidationError<'_>) -> String {
        let described = self.description(error).map(|text| format!(": {text}")).unwrap_or_default();
        format!("this has none of the shapes that are possible here{described}")
    }
}

/// The branch of a choice that was meant: the only one of the right type. For an event that is the
/// branch with its `type`.
fn meant<'a, 'b>(
    error: &ValidationError<'_>,
    branches: &'a [Vec<ValidationError<'b>>],
) -> Option<&'a [ValidationError<'b>]> {
    let here = error.instance_path().as_str();
    let other = |inner: &ValidationError<'_>| match inner.kind() {
        ValidationErrorKind::Type { .. } => inner.instance_path().as_str() == here,
        ValidationErrorKind::Constant { .. } => {
            inner.instance_path().as_str().strip_prefix(here) == Some("/type")
        }
        _ => false,
    };
    let mut left = branches.iter().filter(|branch| !branch.iter().any(other));
    let branch = left.next()?;
    if left.next().is_none() { Some(branch) } else { None }
}

fn types(kind: &TypeKind) -> String {
    let name = |one: JsonType| match one {
        JsonType::Array => "an array",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a string",
    };
    match kind {
        TypeKind::Single(one) => name(*one).to_owned(),
        TypeKind::Multiple(several) => several.iter().map(name).collect::<Vec<_>>().join(" or "),
    }
}

/// A value of the contract, as a person would write it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests;
