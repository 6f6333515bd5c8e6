//! The contract in `openapi.yaml`: it loads, its examples are valid, and overlays extend it.

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

/// The schema of the data of an event.
const EVENT: &str = "/components/schemas/StreamEvent";

fn document() -> Arc<Value> {
    Arc::new(serde_saphyr::from_str(OPENAPI).unwrap())
}

/// Every value below `cursor`, itself among them, as it is written: references are not followed.
fn all<'a>(cursor: DocumentCursor<'a>, found: &mut Vec<DocumentCursor<'a>>) {
    let inner = cursor.written();
    found.push(cursor);
    for cursor in inner {
        all(cursor, found);
    }
}

/// The examples at `cursor`, each with a name.
fn examples(cursor: &DocumentCursor<'_>) -> Vec<(String, Value)> {
    let one = cursor.value.get("example").map(|value| ("example".to_owned(), value.clone()));
    let named = cursor.get("examples").map(|examples| examples.all()).unwrap_or_default();
    let named = named.into_iter().map(|(name, example)| (name, example.value["value"].clone()));
    one.into_iter().chain(named).collect()
}

/// The values that a stream of events is held to, one for each event.
fn events(text: &str) -> Vec<Value> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("data: "));
    lines.map(|data| serde_json::from_str(data).unwrap()).collect()
}

#[test]
fn every_value_has_an_example_that_its_schema_accepts() {
    let document = document();
    let schemas = Schemas::new(Arc::clone(&document)).unwrap();
    let (mut cursors, mut checked, mut wrong) = (Vec::new(), 0, Vec::new());
    all(DocumentCursor::root(&document), &mut cursors);
    // What has a schema and stands for a value: a parameter, a header, a body.
    let bodies = |cursor: &&DocumentCursor<'_>| {
        cursor.value.get("schema").is_some() && !cursor.pointer.contains("/schemas/")
    };
    for cursor in cursors.iter().filter(bodies) {
        let schema = schemas.at(&cursor.get("schema").unwrap().pointer).unwrap();
        let item = cursor.get("x-itemSchema").map(|_| schemas.at(EVENT).unwrap());
        let examples = examples(cursor);
        if examples.is_empty() {
            wrong.push(format!("{} has no example", cursor.pointer));
        }
        for (name, value) in examples {
            let mut violations = Violations::default();
            schema.check(&value, Part::Body, "", &mut violations);
            if let Some(item) = &item {
                let events = events(value.as_str().unwrap());
                assert!(!events.is_empty(), "{} {name} has no events", cursor.pointer);
                for event in &events {
                    item.check(event, Part::Body, "", &mut violations);
                }
            }
            wrong.extend(
                violations.as_slice().iter().map(|one| format!("{} {name}: {one}", cursor.pointer)),
            );
            checked += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 50, "only {checked} examples");
}

#[test]
fn the_example_of_a_problem_has_the_status_of_its_response() {
    let document = document();
    let mut seen = 0;
    for (path, item) in DocumentCursor::root(&document).get("paths").unwrap().all() {
        for (name, _) in METHODS {
            let Some(answers) = item.get(name).and_then(|operation| operation.get("responses"))
            else {
                continue;
            };
            for (status, answer) in answers.all() {
                let problem = answer
                    .get("content")
                    .and_then(|content| content.get("application/problem+json"));
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
    let root = DocumentCursor::root(&document);
    let components = root.get("components").unwrap();
    let schemas = components.get("schemas").unwrap();
    let types = schemas.get("StreamEvent").unwrap().get("oneOf").unwrap().all();
    let constant = |(_, one): (String, DocumentCursor<'_>)| {
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
fn every_outcome_and_status_in_it_exists() {
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
fn what_is_served_has_the_configured_bounds() {
    let bounds = Bounds {
        default: LIMITS,
        max_timeout_seconds: 61.5,
        max_memory_bytes: 1 << 33,
        max_attempts: 1,
    };
    let contract = Contract::load(&bounds).unwrap();
    let served: Value = serde_json::from_slice(&contract.json).unwrap();
    let submission = &served["components"]["schemas"]["Submission"]["properties"];
    assert_eq!(submission["timeout_seconds"]["maximum"], 61.5);
    assert_eq!(submission["memory_bytes"]["maximum"], 1_u64 << 33);
    assert_eq!(submission["memory_bytes"]["default"], 256 << 20);
    assert_eq!(served["servers"][0]["url"], "/");
}

#[test]
fn what_cannot_be_checked_is_refused_when_it_is_loaded() {
    let contract = |path: &str| {
        let head = "openapi: 3.1.0\npaths:\n  /x:\n    get:\n      operationId: x\n";
        Contract::parse(format!("{head}{path}")).err().map(|error| error.to_string())
    };
    let fine = "      responses: {'200': {description: x}}\n";
    assert_eq!(contract(fine), None);
    for (path, expected) in [
        ("", "no `responses` at /paths/~1x/get"),
        ("      parameters: [{name: a, in: cookie, schema: {type: string}}]\n", "in cookie"),
        ("      parameters: [{name: a, in: query, schema: {type: array}}]\n", "of array"),
        ("      parameters: [{name: a, in: query, content: {}}]\n", "with `content`"),
        ("      parameters: [{name: a, in: query}]\n", "no `schema` at"),
        ("      requestBody: {content: {application/x-tar: {}}}\n", "no `x-max-body-bytes`"),
        (
            "      parameters: [{name: a, in: query, schema: {type: string, pattern: '(?=a)'}}]\n",
            "cannot be used",
        ),
    ] {
        let error =
            contract(&format!("{path}{}", if path.is_empty() { "" } else { fine })).unwrap();
        assert!(error.contains(expected), "{path}: {error}");
    }
    assert!(Contract::parse("openapi: 3.0.3\n".to_owned()).is_err());
    assert!(Contract::parse("a: [".to_owned()).is_err());
    let twice = "  /y/{a}: {}\n  /y/{b}: {}\n";
    assert!(contract(&format!("{fine}{twice}")).unwrap().contains("/y/"));
}

const BOUNDS: Bounds = Bounds {
    default: LIMITS,
    max_timeout_seconds: 300.0,
    max_memory_bytes: 1 << 30,
    max_attempts: 1,
};

/// What a later stage adds: a path, a member of a schema, and a type of event.
const OVERLAY: &str = "
overlay: 1.0.0
info: {title: Costs, version: '1'}
actions:
  - target: $.paths
    update:
      /costs:
        put:
          operationId: putCosts
          summary: Upload costs
          requestBody:
            x-max-body-bytes: 1024
            content: {application/x-tar: {}}
          responses:
            '204': {description: Stored., headers: {X-Request-Id: {$ref: '#/components/headers/RequestId'}}}
  - target: $.components.schemas.Evaluation.properties
    update:
      cost: {description: In cents., type: integer, minimum: 0, maximum: 300 # --max-timeout-seconds
      }
  - target: $.components.schemas.StreamEvent.oneOf
    update: {$ref: '#/components/schemas/SandboxOpened'}
  - target: $.components.schemas
    update:
      SandboxOpened:
        allOf: [{$ref: '#/components/schemas/Envelope'}]
        type: object
        required: [type]
        properties:
          type: {const: sandbox.opened}
          data: {type: object, maxProperties: 0}
";

/// How many violations `value` has by the schema at `pointer` of a contract.
fn count(contract: &Contract, pointer: &str, value: &Value) -> usize {
    let schemas = Schemas::new(serde_json::from_slice(&contract.json).unwrap()).unwrap();
    let mut violations = Violations::default();
    schemas.at(pointer).unwrap().check(value, Part::Body, "", &mut violations);
    violations.as_slice().len()
}

#[test]
fn an_overlay_adds_paths_members_and_event_types() {
    let base = Contract::load(&BOUNDS).unwrap();
    let extended = Contract::with_overlays(&BOUNDS, [OVERLAY]).unwrap();
    assert_eq!(extended.operations().len(), base.operations().len() + 1);
    assert!(base.find(&Method::PUT, "/costs").is_err());
    let (operation, route) = extended.find(&Method::PUT, "/costs").unwrap();
    assert_eq!((&*operation.id, &*route.template), ("putCosts", "/costs"));

    let document = document();
    let mut evaluation = document["components"]["examples"]["Exited"]["value"].clone();
    evaluation["cost"] = 7.into();
    let at = "/components/schemas/Evaluation";
    assert_eq!((count(&base, at, &evaluation), count(&extended, at, &evaluation)), (1, 0));

    let event = serde_json::json!({
        "specversion": "1.0", "id": "1", "source": "s", "type": "sandbox.opened",
        "time": "2026-11-22T10:00:00Z", "datacontenttype": "application/json", "data": {},
    });
    assert_ne!(count(&base, EVENT, &event), 0);
    assert_eq!(count(&extended, EVENT, &event), 0);

    // What is served is the whole contract, in both forms, and can be extended again.
    let served: Value = serde_saphyr::from_slice(&extended.yaml).unwrap();
    assert_eq!(served, serde_json::from_slice::<Value>(&extended.json).unwrap());
    assert!(extended.yaml.starts_with(b"openapi: 3.1."));
    let empty = OVERLAY.split("  - target").next().unwrap();
    assert!(Contract::with_overlays(&BOUNDS, [OVERLAY, empty]).is_err());
    let other = OVERLAY.replace("/costs", "/prices").replace("putCosts", "putPrices");
    let other = other.split("  - target: $.components").next().unwrap();
    assert!(Contract::with_overlays(&BOUNDS, [OVERLAY, other]).is_ok());
}

#[test]
fn an_overlay_that_would_change_the_contract_is_refused() {
    let refused = |target: &str, update: &str| {
        let action = format!("[{{target: \"{target}\", update: {update}}}]");
        let overlay = format!("overlay: 1.0.0\ninfo: {{}}\nactions: {action}");
        Contract::with_overlays(&BOUNDS, [overlay]).err().map(|error| error.to_string())
    };
    let summary = refused("$.paths['/eval'].post", "{summary: Submit everything}").unwrap();
    assert!(summary.contains("/paths/~1eval/post/summary"), "{summary}");
    let kind = refused("$.components.schemas.Evaluation", "{type: array}").unwrap();
    assert!(kind.contains("/components/schemas/Evaluation/type"), "{kind}");
    // What it adds is compiled like the rest.
    let broken = refused("$.paths", "{/x: {get: {operationId: x}}}").unwrap();
    assert!(broken.contains("no `responses` at /paths/~1x/get"), "{broken}");
    assert_eq!(refused("$.paths['/eval'].post", "{deprecated: false}"), None);
}
