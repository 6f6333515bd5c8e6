//! From a probe to the program that is submitted: constants, prelude, probe.
//!
//! The same text goes to every stage; only the constants differ. A canary is never among them: a
//! secret in the submitted code proves nothing when it appears in the output.

use std::fmt::Write as _;

use serde_json::Value;
use uuid::Uuid;

/// The code in front of every probe.
const PRELUDE: &str = include_str!("../../../probes/prelude.py");
/// Separates the two programs of a pair, and a solution from its grader.
const DIVIDER: &str = "\n# --- second program ---\n";

/// A text of 128 random bits, which cannot be guessed.
pub fn canary() -> String {
    Uuid::new_v4().simple().to_string()
}

/// The constants of one run of one probe.
#[derive(Debug, Clone, Default)]
pub struct Values(Vec<(&'static str, Value)>);

impl Values {
    /// Adds a constant. `value` is a text, a number or a list of these.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((name, value.into()));
        self
    }
}

/// The program to submit, and the marker of its reports.
#[derive(Debug, Clone)]
pub struct Assembled {
    /// Python source.
    pub code: String,
    /// The beginning of each line of a report, random so that no other line has it.
    pub marker: String,
}

/// Assembles constants, prelude and probe.
pub fn assemble(probe: &str, values: &Values) -> Assembled {
    let marker = format!("@{}", canary());
    let mut code = format!("MARK = {}\n", Value::from(marker.as_str()));
    for (name, value) in &values.0 {
        // A JSON text, number or list of them is a Python one too.
        let _ = writeln!(code, "{name} = {value}"); // writing to a String cannot fail
    }
    code.push_str(PRELUDE);
    code.push_str(probe);
    Assembled { code, marker }
}

/// The two programs of a probe that has two.
pub fn split_pair(probe: &str) -> Option<(&str, &str)> {
    probe.split_once(DIVIDER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_its_constants_first() {
        let values = Values::default().with("PATH", "a\"b\n").with("PORTS", vec![1, 2]);
        let Assembled { code, marker } = assemble("print(PATH)\n", &values);
        assert!(
            code.starts_with(&format!(
                "MARK = \"{marker}\"\nPATH = \"a\\\"b\\n\"\nPORTS = [1,2]\n"
            ))
        );
        assert!(code.ends_with("print(PATH)\n"));
        assert_ne!(marker, assemble("", &values).marker, "each run has its own");
    }

    #[test]
    fn a_pair_is_two_programs() {
        assert_eq!(split_pair("a\n# --- second program ---\nb\n"), Some(("a", "b\n")));
        assert_eq!(split_pair("a\n"), None);
    }
}
