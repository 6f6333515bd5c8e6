//! JSON as YAML, for a contract that was put together from several documents. Scalars are written as
//! in JSON, which YAML 1.2 reads in the same way.

use serde_json::Value;

/// `document` as YAML in block style, with the version of the specification first.
pub(crate) fn write(document: &Value) -> String {
    let mut text = String::new();
    if let Some(version) = document.get("openapi").and_then(Value::as_str) {
        // Without quotes: two dots make it a string.
        text = format!("openapi: {version}\n");
    }
    for (name, value) in document.as_object().into_iter().flatten() {
        if name != "openapi" {
            write_member(&mut text, name, value, 0);
        }
    }
    text
}

fn write_member(text: &mut String, name: &str, value: &Value, indent: usize) {
    let is_plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        // YAML 1.1 has these as booleans and null.
        && !["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
            .contains(&name.to_ascii_lowercase().as_str());
    text.push_str(&" ".repeat(indent));
    if is_plain {
        text.push_str(name);
    } else {
        text.push_str(&Value::from(name).to_string());
    }
    text.push(':');
    write_value(text, value, indent);
}

/// The value behind a `:` or a `-`.
fn write_value(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            text.push('\n');
            for (name, member) in members {
                write_member(text, name, member, indent + 2);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            for item in items {
                text.push_str(&" ".repeat(indent + 2));
                text.push('-');
                write_value(text, item, indent + 2);
            }
        }
        scalar => {
            text.push(' ');
            text.push_str(&scalar.to_string());
            text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let document = json!({
            "openapi": "3.1.0", "a b": [], "no": null, "on": { "/x": [[1, "2"], { "y": -0.5 }] },
            "text": "a: b # c\n\"d\" \u{7}é", "200": {}, "deep": [{ "a": 1, "b": [true] }, "-"],
        });
        let text = write(&document);
        assert!(text.starts_with("openapi: 3.1.0\n"), "{text}");
        assert_eq!(serde_saphyr::from_str::<Value>(&text).unwrap(), document, "{text}");
    }
}
