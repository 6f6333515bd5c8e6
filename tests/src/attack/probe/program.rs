//! From a probe to the program that is submitted: constants, prelude, probe.
//!
//! The same text goes to every stage; only the constants differ. A canary is never among them: a
//! secret in the submitted code proves nothing when it appears in the output.

use serde_json::Value;
use uuid::Uuid;

use super::language::Language;

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
    /// Source.
    pub code: String,
    /// The beginning of each line of a report, random so that no other line has it.
    pub marker: String,
}

/// Assembles constants, prelude and probe.
pub fn assemble(language: Language, probe: &str, values: &Values) -> Assembled {
    let marker = format!("@{}", canary());
    let mut code = String::new();
    language.write_constant(&mut code, "MARK", &Value::from(marker.as_str()));
    for (name, value) in &values.0 {
        language.write_constant(&mut code, name, value);
    }
    code.push_str(language.prelude());
    code.push_str(probe);
    Assembled { code, marker }
}

/// The two programs of a probe that has two: of a pair, or a solution and its grader.
pub fn split_pair(language: Language, probe: &str) -> Option<(&str, &str)> {
    probe.split_once(language.divider())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_has_its_constants_first() {
        let values = Values::default().with("PATH", "a\"b\n").with("PORTS", vec![1, 2]);
        let Assembled { code, marker } = assemble(Language::Python, "print(PATH)\n", &values);
        assert!(
            code.starts_with(&format!(
                "MARK = \"{marker}\"\nPATH = \"a\\\"b\\n\"\nPORTS = [1,2]\n"
            ))
        );
        assert!(code.ends_with("print(PATH)\n"));
        assert_ne!(marker, assemble(Language::Python, "", &values).marker, "each run has its own");
    }

    #[test]
    fn a_pair_is_two_programs() {
        let (python, pair) = (Language::Python, "a\n# --- second program ---\nb\n");
        assert_eq!(split_pair(python, pair), Some(("a", "b\n")));
        assert_eq!(split_pair(python, "a\n"), None);
        assert_eq!(split_pair(Language::JavaScript, &pair.replace('#', "//")), Some(("a", "b\n")));
    }
}
