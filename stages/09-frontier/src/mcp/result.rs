//! What a model reads of an evaluation or an execution: little, and never more than it can hold.

use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::{Map, Value};

use super::client::ApiError;

/// Characters of an output that a model reads. The end of it: errors stand there.
const MAX_OUTPUT_CHARS: usize = 30_000;
/// The members that are passed on as they are.
const MEMBERS: [&str; 5] = ["outcome", "exit_code", "signal", "errno", "error"];

/// The result of a call.
pub(super) fn result(outcome: Result<Value, ApiError>) -> CallToolResult {
    match outcome {
        Ok(value) => CallToolResult::structured(value),
        Err(error) => CallToolResult::error(vec![ContentBlock::text(error.to_string())]),
    }
}

/// The end of a program: its outcome, and its outputs.
pub(super) fn ended(raw: &Value) -> Value {
    let mut members = Map::new();
    for name in MEMBERS {
        if let Some(value) = raw.get(name).filter(|value| !value.is_null()) {
            members.insert(name.to_owned(), value.clone());
        }
    }
    for name in ["stdout", "stderr"] {
        let output = &raw[name];
        let (text, is_cut) = tail(output["text"].as_str().unwrap_or_default());
        members.insert(name.to_owned(), text.into());
        if output["encoding"] == "base64" {
            members.insert(format!("{name}_encoding"), "base64".into());
        }
        if is_cut || output["truncated"] == true {
            members.insert(format!("{name}_truncated"), true.into());
        }
    }
    members.into()
}

/// The last characters of a text, and whether there were more.
fn tail(text: &str) -> (String, bool) {
    let surplus = text.chars().count().saturating_sub(MAX_OUTPUT_CHARS);
    (text.chars().skip(surplus).collect(), surplus > 0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_long_output_a_model_reads_the_end() {
        let text = format!("{}end", "é".repeat(MAX_OUTPUT_CHARS));
        let output = json!({"text": text, "encoding": "utf8", "truncated": false});
        let raw = json!({"outcome": "exited", "exit_code": 0, "signal": null, "stdout": output, "stderr": {}});
        let ended = ended(&raw);
        assert_eq!(ended["stdout_truncated"], true);
        let kept = ended["stdout"].as_str().unwrap();
        assert_eq!(kept.chars().count(), MAX_OUTPUT_CHARS);
        assert!(kept.ends_with("éend"));
        assert!(ended.get("signal").is_none() && ended.get("stderr_truncated").is_none());
    }
}
