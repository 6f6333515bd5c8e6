//! The only module that knows the JSON Schema library. It decides every question about a value.
//!
//! The document is registered under a name of ours, and each schema is compiled by a reference into
//! it, so that references inside the document work as they stand there.
//!
//! | attack | defence | test |
//! |---|---|---|
//! | a text that makes a pattern backtrack for hours | patterns are matched in linear time, and one that cannot be is refused when the contract is loaded | `a_pattern_that_needs_backtracking_is_refused` |
//! | a `$ref` that makes the server fetch something | offline: what is not in the document is refused when it is loaded | `nothing_is_fetched` |

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{JsonType, PatternOptions, Registry, ValidationError, Validator};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use serde_json::Value;

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
    /// What was compiled already, by its place: every answer of 400 has the same schema.
    compiled: RefCell<HashMap<String, Arc<Schema>>>,
}

/// Why a schema cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the schema at {pointer} cannot be used: {reason}")]
pub struct BadSchema {
    /// A JSON Pointer to it.
    pub pointer: String,
    /// What is wrong.
    pub reason: String,
}

impl Schemas {
    pub(crate) fn new(document: Arc<Value>) -> Result<Self, BadSchema> {
        let registry = Registry::new()
            .add(DOCUMENT, Value::clone(&document))
            .and_then(jsonschema::RegistryBuilder::prepare)
            .map_err(|violation| BadSchema {
                pointer: String::new(),
                reason: violation.to_string(),
            })?;
        Ok(Self { registry, document, compiled: RefCell::default() })
    }

    // ANCHOR: compile
    /// Compiles the schema at this JSON Pointer of the document.
    pub(crate) fn at(&self, pointer: &str) -> Result<Arc<Schema>, BadSchema> {
        if let Some(schema) = self.compiled.borrow().get(pointer) {
            return Ok(Arc::clone(schema));
        }
        let bad = |reason: String| BadSchema { pointer: pointer.to_owned(), reason };
        if self.document.pointer(pointer).is_none() {
            return Err(bad("there is none".to_owned()));
        }
        let fragment = utf8_percent_encode(pointer, NOT_IN_A_FRAGMENT);
        let validator = jsonschema::options()
            .offline()
            .with_registry(&self.registry)
            .with_pattern_options(PatternOptions::regex())
            .should_validate_formats(true)
            .build(&serde_json::json!({ "$ref": format!("{DOCUMENT}#{fragment}") }))
            .map_err(|violation| bad(violation.to_string()))?;
        let schema = Arc::new(Schema { validator, document: Arc::clone(&self.document) });
        self.compiled.borrow_mut().insert(pointer.to_owned(), Arc::clone(&schema));
        Ok(schema)
    }
    // ANCHOR_END: compile
}

/// One compiled schema.
pub(crate) struct Schema {
    validator: Validator,
    document: Arc<Value>,
}

impl Schema {
    // ANCHOR: check
    /// Puts everything that is wrong with `value` into `violations`. `base` is the pointer to the value.
    pub(crate) fn check(&self, value: &Value, part: Part, base: &str, violations: &mut Violations) {
        // Most messages are right, and this question is the cheaper one.
        if self.validator.is_valid(value) {
            return;
        }
        for error in self.validator.iter_errors(value) {
            if violations.is_full() {
                break;
            }
            self.explain(&error, part, base, violations);
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
                let said = self.description(error);
                said.unwrap_or_else(|| format!("this breaks the rule `{}`", kind.keyword()))
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
        let said = self.description(error).map(|text| format!(": {text}")).unwrap_or_default();
        format!("this has none of the shapes that are possible here{said}")
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
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(rules: &Value) -> Result<Arc<Schema>, BadSchema> {
        let pair = json!({
            "description": "text or number of cats",
            "oneOf": [{ "type": "string", "maxLength": 3 }, { "$ref": "#/components/Cats" }],
        });
        let cats = json!({
            "type": "object", "required": ["cats"], "additionalProperties": false,
            "properties": { "cats": { "type": "integer", "minimum": 1 } },
        });
        let document = json!({ "components": { "Pair": pair, "Cats": cats, "tested": rules } });
        Schemas::new(Arc::new(document))?.at("/components/tested")
    }

    fn violations(rules: &Value, value: &Value) -> Vec<(String, String, Kind)> {
        let mut violations = Violations::default();
        schema(rules).unwrap().check(value, Part::Body, "/base", &mut violations);
        let seen = |violation: &Violation| {
            (violation.pointer.clone(), violation.detail.clone(), violation.kind)
        };
        violations.as_slice().iter().map(seen).collect()
    }

    #[test]
    fn all_faults_come_at_once_each_with_its_place() {
        let rules = json!({
            "type": "object", "required": ["a"], "additionalProperties": false,
            "properties": { "a": {}, "b": { "type": ["string", "null"] }, "c/d": { "maximum": 3 } },
        });
        let seen = violations(&rules, &json!({ "b": 1, "c/d": 4, "e~": 1 }));
        let expected = [
            ("/base/a", "this is missing", Kind::Shape),
            ("/base/b", "give null or a string", Kind::Shape),
            ("/base/c~1d", "give at most 3", Kind::Value),
            ("/base/e~0", "take this out: it is not known here", Kind::Shape),
        ];
        for (pointer, detail, kind) in expected {
            let violation = (pointer.to_owned(), detail.to_owned(), kind);
            assert!(seen.contains(&violation), "{violation:?} is not in {seen:?}");
        }
        assert_eq!(seen.len(), expected.len(), "{seen:?}");
    }

    #[test]
    fn a_fault_inside_a_choice_is_named_where_it_is() {
        let rules = json!({ "$ref": "#/components/Pair" });
        let one = |value| violations(&rules, &value).remove(0);
        assert_eq!(one(json!({ "cats": 0 })).0, "/base/cats");
        assert_eq!(one(json!("long")).1, "at most 3 characters");
        let (pointer, detail, kind) = one(json!(7));
        assert_eq!((pointer.as_str(), kind), ("/base", Kind::Shape));
        assert!(detail.ends_with(": text or number of cats"), "{detail}");
    }

    #[test]
    fn values_are_never_repeated() {
        let secret = "hunter2";
        let rules = json!({
            "type": "object", "maxProperties": 1, "minProperties": 9,
            "properties": {
                "a": { "type": "string", "maxLength": 1, "minLength": 50, "format": "uuid" },
                "b": { "enum": [1] }, "c": { "const": 1 }, "d": { "pattern": "^x$" },
                "e": { "type": "integer" }, "f": { "$ref": "#/components/Pair" },
                "g": { "not": { "type": "string" } }, "h": false, "i": { "minItems": 3 },
                "j": { "maxItems": 0 },
            },
        });
        let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let mut value: Value =
            names.iter().map(|name| ((*name).to_owned(), json!(secret))).collect();
        value["i"] = json!([secret]);
        value["j"] = json!([secret]);
        let seen = violations(&rules, &value);
        assert!(seen.len() >= 12, "{seen:?}");
        assert!(!format!("{seen:?}").contains(secret), "{seen:?}");
    }

    #[test]
    fn a_name_that_breaks_the_rules_is_pointed_at() {
        let rules = json!({ "propertyNames": { "maxLength": 3 } });
        let (pointer, detail, _) = violations(&rules, &json!({ "a/bc": 1 })).remove(0);
        assert_eq!(pointer, "/base/a~1bc");
        assert_eq!(detail, "choose another name: at most 3 characters");
    }

    #[test]
    fn a_pattern_that_needs_backtracking_is_refused() {
        let violation = schema(&json!({ "pattern": "^(?=a)(a+)+$" })).err().unwrap();
        assert_eq!(violation.pointer, "/components/tested");
    }

    #[test]
    fn nothing_is_fetched() {
        assert!(schema(&json!({ "$ref": "http://127.0.0.1:9/schema.json" })).is_err());
    }
}
