//! The values that may differ between two runs of the scenario, and their placeholders.
//!
//! Every rule here is something that a transcript does not prove, so there are few. An id that the
//! scenario saves is replaced by its name; any other by `<id>`.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

/// Members of a JSON object, by the pattern of their names, and the placeholder for the value; None
/// removes the member, which older kernels do not report.
const MEMBERS: [(&str, Option<&str>); 9] = [
    (r"^(memory_peak_bytes|memory\.peak_bytes|pids_peak|pids\.peak)$", None),
    (r"_(ms|us|seconds_ago)$", Some("<n>")),
    (r"^memory\.used_bytes$", Some("<n>")),
    // What is stored: it has the number of digits of what was measured.
    (r"^bytes$", Some("<n>")),
    (r"_at$", Some("<time>")),
    (r"^(runtime_version|version)$", Some("<version>")),
    (r"^(pid|port|uptime_seconds)$", Some("<n>")),
    (r"^image_digest$", Some("<digest>")),
    // Whether a warm sandbox was ready so soon after the start.
    (r"^sandbox\.warm$", Some("<yes or no>")),
];

/// Replacements in any text, after those of ids.
const TEXTS: [(&str, &str); 9] = [
    (r"sha256:[0-9a-f]{64}", "<digest>"),
    (r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", "<id>"),
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
    (r"\b127\.0\.0\.1:\d+", "127.0.0.1:<port>"),
    (r"\b(pid|process) \d+\b", "$1 <n>"),
    (r"\b\d+ ms\b", "<n> ms"),
    // How many writes shared a flush, which depends on when they came.
    (r"(?m)^(crucible_storage_(?:commit_seconds_count|writes_total)) \d+$", "$1 <n>"),
    // What happens beside a response, and may not have happened yet when they are read.
    (r"(?m)^(crucible_(?:bus_delivered_total|warm_sandboxes)\{[^}]*\}) \d+$", "$1 <n>"),
    // A measured value of Prometheus; a count has no unit in its name.
    (r"(?m)^(\w+_(?:seconds|bytes)(?:_sum)?(?:\{[^}]*\})?) \S+$", "$1 <n>"),
];

/// A longer string is shortened if it repeats one character.
const MAX_TEXT_LENGTH: usize = 200;

type Rules<T> = LazyLock<Vec<(Regex, T)>>;

static MEMBER_RULES: Rules<Option<&str>> = LazyLock::new(|| compiled(MEMBERS));
static TEXT_RULES: Rules<&str> = LazyLock::new(|| compiled(TEXTS));

#[allow(clippy::expect_used, reason = "constant patterns, compiled by the first test")]
fn compiled<T, const N: usize>(rules: [(&str, T); N]) -> Vec<(Regex, T)> {
    let compile = |(pattern, mark)| (Regex::new(pattern).expect("a valid pattern"), mark);
    rules.into_iter().map(compile).collect()
}

/// Names and values that the scenario has saved, in order. The first name of a value is shown.
pub(super) type Names = Vec<(String, String)>;

/// Replaces the members of all objects in `value` that differ in every run, and shortens long
/// strings.
pub(super) fn json(value: &mut Value) {
    match value {
        Value::Object(members) => {
            // How much of a truncated stream was read depends on timing.
            if members.get("truncated") == Some(&Value::Bool(true)) {
                members.insert("bytes_total".to_owned(), "<n>".into());
            }
            // So does the output of a program before it was cancelled.
            if members.get("outcome") == Some(&"cancelled".into()) {
                members.shift_remove("usage");
                if let Some(Value::Object(evidence)) = members.get_mut("evidence") {
                    evidence.retain(|name, _| name == "decided_by");
                }
            }
            // How many of a batch have started by the time of the response.
            if members.get("status") == Some(&"running".into()) {
                members.shift_remove("counts");
            }
            members.retain(|name, value| {
                let rule = MEMBER_RULES.iter().find(|(pattern, _)| pattern.is_match(name));
                match rule {
                    Some((_, None)) => return false,
                    Some((_, Some(mark))) if !value.is_null() => *value = (*mark).into(),
                    _ => json(value),
                }
                true
            });
        }
        Value::Array(values) => values.iter_mut().for_each(json),
        Value::String(text) => fold(text),
        _ => {}
    }
}

/// Shortens a long run of one character, such as the output of a program that prints too much.
fn fold(text: &mut String) {
    let Some(first) = text.chars().next() else { return };
    let length = text.trim_end().chars().count();
    if length > MAX_TEXT_LENGTH && text.trim_end().chars().all(|c| c == first) {
        *text = format!("{first}{first}{first}<and so on: {length} characters>");
    }
}

/// Replaces everything that differs in every run, in any text.
pub(super) fn text(text: &str, names: &Names) -> String {
    let mut text = text.to_owned();
    for (name, value) in names {
        text = text.replace(value.as_str(), &format!("<{name}>"));
    }
    TEXT_RULES
        .iter()
        .fold(text, |text, (pattern, mark)| pattern.replace_all(&text, *mark).into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn redacted(mut value: Value) -> String {
        json(&mut value);
        text(&value.to_string(), &Names::new())
    }

    #[test]
    fn what_is_new_in_every_run_is_the_same_afterwards() {
        let id = |last: u8| format!("0198c1e0-7a52-7cc1-8a3e-0123456789a{last}");
        for (one, other) in [
            (json!({"id": id(1)}), json!({"id": id(2)})),
            (json!({"wall_ms": 3}), json!({"wall_ms": 4})),
            (json!({"usage": {"cpu_ms": 3, "pids_peak": 1}}), json!({"usage": {"cpu_ms": 0}})),
            (json!([{"started_at": "2026-11-22T10:51:25.79Z"}]), json!([{"started_at": "x"}])),
            (json!({"seen": "left pid 4 behind"}), json!({"seen": "left pid 31337 behind"})),
            (json!("http://127.0.0.1:8005/"), json!("http://127.0.0.1:41235/")),
            (
                json!({"truncated": true, "bytes_total": 7}),
                json!({"truncated": true, "bytes_total": 9}),
            ),
            (
                json!({"outcome": "cancelled", "evidence": {"decided_by": "x", "pids.events": 0}}),
                json!({"outcome": "cancelled", "evidence": {"decided_by": "x"}, "usage": {}}),
            ),
        ] {
            assert_eq!(redacted(one), redacted(other));
        }
        let metrics = |value| format!("a_total 3\nb_seconds_sum{{c=\"d\"}} {value}\n");
        assert_eq!(text(&metrics("0.1"), &Names::new()), text(&metrics("0.2"), &Names::new()));
    }

    #[test]
    fn what_matters_is_kept() {
        for (one, other) in [
            (json!({"exit_code": 0}), json!({"exit_code": 1})),
            (json!({"started_at": null}), json!({"started_at": "x"})),
            (json!({"timeout_seconds": 1.0}), json!({"timeout_seconds": 2.0})),
            (json!({"engine": "docker"}), json!({"engine": "gvisor"})),
            (
                json!({"truncated": false, "bytes_total": 7}),
                json!({"truncated": false, "bytes_total": 9}),
            ),
            (json!("x".repeat(300)), json!("x".repeat(301))),
        ] {
            assert_ne!(redacted(one), redacted(other));
        }
        let none = Names::new();
        assert_ne!(text("a_total 3", &none), text("a_total 4", &none));
    }

    #[test]
    fn a_saved_id_has_its_name() {
        let id = "0198c1e0-7a52-7cc1-8a3e-0123456789ab";
        let names = ["first", "again"].map(|name| (name.to_owned(), id.to_owned())).to_vec();
        assert_eq!(text(&format!("/eval/{id}"), &names), "/eval/<first>");
    }
}
