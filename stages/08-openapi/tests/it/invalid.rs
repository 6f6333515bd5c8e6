//! Requests outside the contract, and what each is answered. The package of the function sends the same ones.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

/// No evaluation has this id.
const ID: &str = "019abcde-f012-7345-8678-9abcdef01234";

/// A request, and its answer.
#[derive(Debug)]
pub(crate) struct Invalid {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(crate) body: String,
    status: u16,
    /// Where the violations are.
    places: Option<Vec<&'static str>>,
}

impl Invalid {
    fn get(target: &str, status: u16, places: Vec<&'static str>) -> Self {
        let (target, places) = (target.to_owned(), Some(places));
        Self { method: Method::GET, target, headers: vec![], body: String::new(), status, places }
    }

    fn post(body: &Value, status: u16, places: Vec<&'static str>) -> Self {
        let places = Some(places);
        Self { places, ..Self::body("application/json", &body.to_string(), status) }
    }

    fn body(media: &'static str, body: &str, status: u16) -> Self {
        let (method, target) = (Method::POST, "/eval".to_owned());
        let headers = if media.is_empty() { Vec::new() } else { vec![("content-type", media)] };
        Self { method, target, headers, body: body.to_owned(), status, places: None }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn assert_answered(&self, status: u16, problem: &Value) {
        assert_eq!(status, self.status, "{self:?}: {problem}");
        let Some(expected) = &self.places else { return };
        let expected: BTreeSet<_> = expected.iter().map(ToString::to_string).collect();
        let found: BTreeSet<_> = places(problem).into_iter().collect();
        assert_eq!(found, expected, "{self:?}: {problem}");
    }
}

/// Where the violations of a problem are: `body/code`, `query/limit`.
pub(crate) fn places(problem: &Value) -> Vec<String> {
    let errors = problem["errors"].as_array().cloned().unwrap_or_default();
    let place = |error: &Value| {
        let part = error["in"].as_str().unwrap();
        format!("{part}{}", error["pointer"].as_str().unwrap())
    };
    errors.iter().map(place).collect()
}

/// Requests whose problem names all that is wrong.
pub(crate) fn invalid() -> Vec<Invalid> {
    let file = |path: &str| json!({ "code": "", "files": { path: "" } });
    let (get, post) = (Invalid::get, Invalid::post);
    vec![
        post(&json!({}), 400, vec!["body/code"]),
        post(&json!([]), 400, vec!["body"]),
        post(&json!({ "code": 7, "imag": 1 }), 400, vec!["body/code", "body/imag"]),
        post(&json!({ "code": "\0" }), 422, vec!["body/code"]),
        post(
            &json!({ "code": "", "timeout_seconds": 0, "memory_bytes": 7.5 }),
            400,
            vec!["body/timeout_seconds", "body/memory_bytes"],
        ),
        post(&json!({ "code": "", "stdin": { "base64": "!" } }), 422, vec!["body/stdin/base64"]),
        post(&file("../x"), 422, vec!["body/files/..~1x"]),
        post(&file("main.py"), 422, vec!["body/files/main.py"]),
        post(&json!({ "code": "", "labels": { "a": "\n" } }), 422, vec!["body/labels/a"]),
        post(&json!({ "code": "" }), 400, vec!["header/Prefer"]).with("prefer", "wait=1e3"),
        get(
            "/eval?limit=0&status=ended&limt=1&cursor=x&label=a&label=b",
            400,
            vec![
                "query/limt",
                "query/label",
                "query/status",
                "query/label",
                "query/limit",
                "query/cursor",
            ],
        ),
        get("/eval/not-an-id?x=1", 404, vec!["path/id", "query/x"]),
        get(&format!("/eval/{ID}/events"), 400, vec!["header/Last-Event-ID"])
            .with("last-event-id", "-1"),
        get("/health?ready=True", 400, vec!["query/ready"]),
        get("/health?ready", 400, vec!["query/ready"]),
    ]
}

/// Bodies of other media types, bodies that are no JSON, and one that is valid.
pub(crate) fn bodies() -> Vec<Invalid> {
    let (json, body) = ("application/json", Invalid::body);
    vec![
        body("", r#"{"code": ""}"#, 415),
        body("text/plain", r#"{"code": ""}"#, 415),
        body("application/x-www-form-urlencoded", "code=1", 415),
        body(json, "", 400),
        body(json, "{\"code\": \"\", ", 400),
        body(json, "{\"code\": \"\"} x", 400),
        body(json, r#"{"code": "1", "code": "2"}"#, 400),
        body(json, r#"{"code": "", "files": {"a": "1", "a": "2"}}"#, 400),
        body("Application/JSON; charset=utf-8", r#"{"code": ""}"#, 202),
    ]
}
