//! Tests of the checks of values.

use serde_json::json;

use super::*;

fn schema(rules: &Value) -> Result<Arc<Schema>, SchemaError> {
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
fn all_violations_come_at_once_each_with_its_place() {
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
fn a_violation_inside_a_choice_has_its_own_pointer() {
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
    let mut value: Value = names.iter().map(|name| ((*name).to_owned(), json!(secret))).collect();
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

#[test]
fn the_explanation_of_a_large_object_is_bounded() {
    // Quadratic: 4,000 names took 2.4 GB in the library, and 64 errors were returned in the end.
    let name_rules = json!({ "propertyNames": { "maxLength": 3 }, "maxProperties": 64 });
    let rules = json!({
        "type": "object", "required": ["code"], "additionalProperties": false,
        "properties": { "code": {}, "files": { "oneOf": [name_rules, { "type": "null" }] } },
    });
    let files: Value = (0..20_000).map(|at| (format!("name {at}"), json!(""))).collect();
    let value = json!({ "files": files, "code": "" });
    let started = std::time::Instant::now();
    let seen = violations(&rules, &value);
    assert!(started.elapsed().as_secs() < 5, "{:?}", started.elapsed());
    assert_eq!(seen.len(), 64);
    assert!(seen.iter().all(|(pointer, _, _)| pointer.starts_with("/base/files")), "{seen:?}");
    // A member that the contract names is not lost among unknown ones.
    let mut many: Value = (0..1000).map(|at| (format!("unknown {at}"), json!(1))).collect();
    many["code"] = json!("");
    let seen = violations(&rules, &many);
    assert!(seen.iter().all(|(_, detail, _)| detail.starts_with("take this out")), "{seen:?}");
}

/// Attack: the one invalid member of a large object comes after the members that the explanation
/// includes.
#[test]
fn an_invalid_object_is_a_violation_even_if_its_explanation_is_cut_off() {
    let texts = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let members = (0..1000).map(|at| (format!("m{at:04}"), Value::from("text")));
    let mut object: Value = Value::Object(members.collect());
    assert!(violations(&texts, &object).is_empty());
    object["z"] = 7.into();
    assert!(!violations(&texts, &object).is_empty(), "additionalProperties");
    let few = json!({ "type": "object", "maxProperties": 500 });
    assert!(!violations(&few, &object).is_empty(), "maxProperties");
}
