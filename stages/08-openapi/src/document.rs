//! The text of the contract, and a cursor in it.
//!
//! A cursor has the JSON Pointer to its value, because a schema is compiled by its pointer. It follows
//! references; only those into the document itself are supported.

use serde_json::Value;
use shared::Bounds;

use crate::violation::push_name;

/// References that lead to references: more than these are a circle.
const MAX_REFERENCES: usize = 8;

// ANCHOR: settings
/// Replaces the numbers in the template by the configured bounds: each number before a comment that
/// names a setting, such as `# --timeout-seconds`.
pub(crate) fn with_bounds(text: &str, bounds: &Bounds) -> String {
    let settings = [
        ("--timeout-seconds", bounds.default.timeout_seconds.to_string()),
        ("--max-timeout-seconds", bounds.max_timeout_seconds.to_string()),
        ("--memory-bytes", bounds.default.memory_bytes.to_string()),
        ("--max-memory-bytes", bounds.max_memory_bytes.to_string()),
    ];
    let line = |line: &str| {
        let set = settings.iter().find_map(|(name, value)| {
            let (key, _) = line.strip_suffix(name)?.strip_suffix(" # ")?.rsplit_once(' ')?;
            Some(format!("{key} {value} # {name}\n"))
        });
        set.unwrap_or_else(|| format!("{line}\n"))
    };
    text.lines().map(line).collect()
}
// ANCHOR_END: settings

/// A value of the document, with the JSON Pointer to it.
#[derive(Clone)]
pub(crate) struct DocumentCursor<'a> {
    root: &'a Value,
    /// A JSON Pointer.
    pub(crate) pointer: String,
    pub(crate) value: &'a Value,
}

impl<'a> DocumentCursor<'a> {
    pub(crate) fn root(document: &'a Value) -> Self {
        Self { root: document, pointer: String::new(), value: document }
    }

    /// The member `name`, or what it refers to.
    pub(crate) fn get(&self, name: &str) -> Option<Self> {
        let mut pointer = self.pointer.clone();
        push_name(&mut pointer, name);
        self.resolve_ref(pointer, self.value.get(name)?)
    }

    /// All members or items, each with its name or number.
    pub(crate) fn all(&self) -> Vec<(String, Self)> {
        let names: Vec<String> = match self.value {
            Value::Object(members) => members.keys().cloned().collect(),
            Value::Array(items) => (0..items.len()).map(|at| at.to_string()).collect(),
            _ => Vec::new(),
        };
        let member = |name: String| {
            let mut pointer = self.pointer.clone();
            push_name(&mut pointer, &name);
            let value = self.root.pointer(&pointer)?;
            Some((name, self.resolve_ref(pointer, value)?))
        };
        names.into_iter().filter_map(member).collect()
    }

    /// All members or items as they are written, references not followed.
    #[cfg(test)]
    pub(crate) fn written(&self) -> Vec<Self> {
        let inner: Vec<_> = match self.value {
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone(), value)).collect()
            }
            Value::Array(items) => {
                items.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect()
            }
            _ => Vec::new(),
        };
        let cursor = |(name, value): (String, &'a Value)| {
            let mut pointer = self.pointer.clone();
            push_name(&mut pointer, &name);
            Self { root: self.root, pointer, value }
        };
        inner.into_iter().map(cursor).collect()
    }

    /// The member `name` as a text.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        self.value.get(name)?.as_str()
    }

    /// True when the member `name` is `true`.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.value.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    fn resolve_ref(&self, mut pointer: String, mut value: &'a Value) -> Option<Self> {
        for _ in 0..MAX_REFERENCES {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return Some(Self { root: self.root, pointer, value });
            };
            reference.strip_prefix('#')?.clone_into(&mut pointer);
            value = self.root.pointer(&pointer)?;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_followed_and_circles_are_not() {
        let document = json!({
            "a": { "$ref": "#/b/0" }, "b": [{ "$ref": "#/c~1d" }], "c/d": { "e": "here" },
            "x": { "$ref": "#/y" }, "y": { "$ref": "#/x" }, "z": { "$ref": "#/nowhere" },
        });
        let root = DocumentCursor::root(&document);
        let found = root.get("a").unwrap();
        assert_eq!((found.pointer.as_str(), found.text("e")), ("/c~1d", Some("here")));
        assert!(root.get("x").is_none() && root.get("z").is_none());
        assert_eq!(root.get("b").unwrap().all()[0].1.pointer, "/c~1d");
    }

    #[test]
    fn a_setting_changes_the_number_before_its_name() {
        let limits = shared::Limits {
            timeout_seconds: 2.5,
            cpu_seconds: 1.0,
            memory_bytes: 7,
            pids: 1,
            output_bytes: 1,
            disk_bytes: 1,
            open_files: 1,
        };
        let bounds = Bounds {
            default: limits,
            max_timeout_seconds: 60.0,
            max_memory_bytes: 9,
            max_attempts: 1,
        };
        let text = "a:\n  maximum: 300 # --max-timeout-seconds\n  default: 30 # --timeout-seconds\n  \
                    x: 1 # --memory-bytes\n  y: 2 # --max-memory-bytes and more\n";
        let expected = "a:\n  maximum: 60 # --max-timeout-seconds\n  default: 2.5 # --timeout-seconds\n  \
                        x: 7 # --memory-bytes\n  y: 2 # --max-memory-bytes and more\n";
        assert_eq!(with_bounds(text, &bounds), expected);
    }
}
