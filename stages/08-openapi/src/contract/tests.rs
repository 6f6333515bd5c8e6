//! The contract as it stands in `openapi.yaml`: it loads, and its examples are what it says.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::Limits;

use super::*;
use crate::violation::{Part, Violations};

const LIMITS: Limits = Limits {
    timeout_seconds: 30.0,
    cpu_seconds: 30.0,
    memory_bytes: 256 << 20,
    pids: 64,
    output_bytes: 1 << 20,
    disk_bytes: 64 << 20,
    open_files: 256,
};

/// What the data of an event is.
const EVENT: &str = "/components/schemas/StreamEvent";

fn document() -> Arc<Value> {
    Arc::new(serde_saphyr::from_str(OPENAPI).unwrap())
}

/// Every place below `place`, itself among them, by what is written and not by what is referred to.
fn all<'a>(place: Place<'a>, found: &mut Vec<Place<'a>>) {
    let inner = place.written();
    found.push(place);
    for place in inner {
        all(place, found);
    }
}

/// The examples at `place`, each with a name.
fn examples(place: &Place<'_>) -> Vec<(String, Value)> {
    let one = place.value.get("example").map(|value| ("example".to_owned(), value.clone()));
    let named = place.get("examples").map(|examples| examples.all()).unwrap_or_default();
    let named = named.into_iter().map(|(name, example)| (name, example.value["value"].clone()));
    one.into_iter().chain(named).collect()
}

/// The values that a stream of events is held to, one for each event.
fn events(text: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[test]
fn every_example_is_what_its_schema_says_and_nothing_is_without() {
    let document = document();
    let schemas = Schemas::new(Arc::clone(&document)).unwrap();
    let (mut places, mut checked, mut wrong) = (Vec::new(), 0, Vec::new());
    all(Place::root(&document), &mut places);
    // What has a schema and stands for a value: a parameter, a header, a body.
    let bodies = |place: &&Place<'_>| {
        place.value.get("schema").is_some() && !place.pointer.contains("/schemas/")
    };
    for place in places.iter().filter(bodies) {
        let schema = schemas.at(&place.get("schema").unwrap().pointer).unwrap();
        let item = place.get("x-itemSchema").map(|_| schemas.at(EVENT).unwrap());
        let examples = examples(place);
        if examples.is_empty() {
            wrong.push(format!("{} has no example", place.pointer));
        }
        for (name, value) in examples {
            let mut violations = Violations::default();
            schema.check(&value, Part::Body, "", &mut violations);
            if let Some(item) = &item {
                let events = events(value.as_str().unwrap());
                assert!(!events.is_empty(), "{} {name} has no events", place.pointer);
                for event in &events {
                    item.check(event, Part::Body, "", &mut violations);
                }
            }
            wrong.extend(
                violations.as_slice().iter().map(|it| format!("{} {name}: {it}", place.pointer)),
            );
            checked += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 50, "only {checked} examples");
}

#[test]
fn the_example_of_a_problem_has_the_status_that_it_is_the_answer_of() {
    let document = document();
    let mut seen = 0;
    for (path, item) in Place::root(&document).get("paths").unwrap().all() {
        for (name, _) in METHODS {
            let Some(answers) = item.get(name).and_then(|it| it.get("responses")) else { continue };
            for (status, answer) in answers.all() {
                let problem =
                    answer.get("content").and_then(|it| it.get("application/problem+json"));
                let Some(problem) = problem else { continue };
                let example = &problem.value["example"]["status"];
                assert_eq!(example.to_string(), status, "{name} {path}");
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "only {seen}");
}

#[test]
fn an_event_of_each_type_is_among_the_examples() {
    let document = document();
    let root = Place::root(&document);
    let components = root.get("components").unwrap();
    let schemas = components.get("schemas").unwrap();
    let types = schemas.get("StreamEvent").unwrap().get("oneOf").unwrap().all();
    let constant = |(_, one): (String, Place<'_>)| {
        one.value["properties"]["type"]["const"].as_str().unwrap().to_owned()
    };
    let types: BTreeSet<_> = types.into_iter().map(constant).collect();
    let examples = components.get("examples").unwrap();
    let shown = ["Life", "Rest"].map(|name| examples.get(name).unwrap().value["value"].clone());
    let shown: BTreeSet<_> = shown
        .iter()
        .flat_map(|text| events(text.as_str().unwrap()))
        .map(|event| event["type"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(types, shown);
}

#[test]
fn every_outcome_and_status_that_it_names_is_one_that_answers_have() {
    let document = document();
    let names = |pointer: &str| -> BTreeSet<String> {
        let names = document.pointer(pointer).unwrap().as_array().unwrap();
        names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    for outcome in names("/components/schemas/Outcome/enum") {
        serde_json::from_value::<shared::Outcome>(outcome.into()).unwrap();
    }
    for status in names("/components/schemas/Status/enum") {
        serde_json::from_value::<shared::Status>(status.into()).unwrap();
    }
}

#[test]
fn bounds_that_are_in_force_are_in_what_is_served() {
    let bounds = Bounds { default: LIMITS, max_timeout_seconds: 61.5, max_memory_bytes: 1 << 33 };
    let contract = Contract::of_the_platform(&bounds).unwrap();
    let served: Value = serde_json::from_slice(&contract.json).unwrap();
    let submission = &served["components"]["schemas"]["Submission"]["properties"];
    assert_eq!(submission["timeout_seconds"]["maximum"], 61.5);
    assert_eq!(submission["memory_bytes"]["maximum"], 1_u64 << 33);
    assert_eq!(submission["memory_bytes"]["default"], 256 << 20);
    assert_eq!(served["servers"][0]["url"], "/");
}

#[test]
fn what_cannot_be_held_to_is_refused_when_it_is_loaded() {
    let contract = |path: &str| {
        let head = "openapi: 3.1.0\npaths:\n  /x:\n    get:\n      operationId: x\n";
        Contract::parse(format!("{head}{path}")).err().map(|violation| violation.to_string())
    };
    let fine = "      responses: {'200': {description: x}}\n";
    assert_eq!(contract(fine), None);
    for (path, said) in [
        ("", "no `responses` at /paths/~1x/get"),
        ("      parameters: [{name: a, in: cookie, schema: {type: string}}]\n", "in cookie"),
        ("      parameters: [{name: a, in: query, schema: {type: array}}]\n", "of array"),
        ("      parameters: [{name: a, in: query, content: {}}]\n", "with `content`"),
        ("      parameters: [{name: a, in: query}]\n", "no `schema` at"),
        (
            "      parameters: [{name: a, in: query, schema: {type: string, pattern: '(?=a)'}}]\n",
            "cannot be used",
        ),
    ] {
        let violation =
            contract(&format!("{path}{}", if path.is_empty() { "" } else { fine })).unwrap();
        assert!(violation.contains(said), "{path}: {violation}");
    }
    assert!(Contract::parse("openapi: 3.0.3\n".to_owned()).is_err());
    assert!(Contract::parse("a: [".to_owned()).is_err());
    let twice = "  /y/{a}: {}\n  /y/{b}: {}\n";
    assert!(contract(&format!("{fine}{twice}")).unwrap().contains("/y/"));
}
