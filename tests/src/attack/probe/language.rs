//! The languages of the probes: Python, and for some of them those of other environments.
//!
//! A probe in another language is a file beside the Python one, with its name: `read-secret.sh`, `read-secret.js`. It has
//! no header of its own: what it attempts, and how success is observed, is that of the Python program.

use std::fmt::Write as _;

use serde_json::Value;

/// What a probe is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Python, in which every probe is.
    Python,
    /// Bash, with the GNU tools and a C compiler.
    Shell,
    /// JavaScript, for Node.js.
    JavaScript,
}

impl Language {
    /// All but Python.
    pub const OTHERS: [Self; 2] = [Self::Shell, Self::JavaScript];

    /// The language of a program, by the name of its file. None if no probe is in it.
    pub fn of_file(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        [Self::Python, Self::Shell, Self::JavaScript]
            .into_iter()
            .find(|language| language.extension() == extension)
    }

    /// Of the probes in it.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Python => "py",
            Self::Shell => "sh",
            Self::JavaScript => "js",
        }
    }

    /// The code in front of every probe.
    pub(super) fn prelude(self) -> &'static str {
        match self {
            Self::Python => include_str!("../../../probes/prelude.py"),
            Self::Shell => include_str!("../../../probes/prelude.sh"),
            Self::JavaScript => include_str!("../../../probes/prelude.js"),
        }
    }

    /// The line that separates the two programs of a pair.
    pub(super) fn divider(self) -> &'static str {
        match self {
            Self::Python | Self::Shell => "\n# --- second program ---\n",
            Self::JavaScript => "\n// --- second program ---\n",
        }
    }

    /// Writes a constant. `value` is a text, a number or a list of these.
    pub(super) fn write_constant(self, code: &mut String, name: &str, value: &Value) {
        // Writing to a String cannot fail.
        let _ = match self {
            // A JSON text, number or list of them is one in these languages too.
            Self::Python => writeln!(code, "{name} = {value}"),
            Self::JavaScript => writeln!(code, "const {name} = {value};"),
            Self::Shell => writeln!(code, "{name}={}", shell_value(value)),
        };
    }
}

fn shell_value(value: &Value) -> String {
    match value {
        Value::Array(values) => {
            format!("({})", values.iter().map(shell_value).collect::<Vec<_>>().join(" "))
        }
        Value::String(text) => format!("'{}'", text.replace('\'', "'\\''")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_constant_is_quoted_as_the_language_does() {
        let written = |language: Language, value: Value| {
            let mut code = String::new();
            language.write_constant(&mut code, "X", &value);
            code
        };
        assert_eq!(written(Language::Shell, json!("it's $1")), "X='it'\\''s $1'\n");
        assert_eq!(written(Language::Shell, json!(["a", 2])), "X=('a' 2)\n");
        assert_eq!(written(Language::JavaScript, json!(["a", 2])), "const X = [\"a\",2];\n");
        assert_eq!(written(Language::Python, json!(7)), "X = 7\n");
    }

    #[test]
    fn the_file_of_a_program_names_its_language() {
        assert_eq!(Language::of_file("main.sh"), Some(Language::Shell));
        assert_eq!(Language::of_file("main.py"), Some(Language::Python));
        assert_eq!(Language::of_file("main.rb"), None);
        assert_eq!(Language::of_file("sh"), None);
    }
}
