//! The responses of one stage to every step of the scenario, as a text file that can be parsed
//! again.
//!
//! ```text
//! == group
//! -- step
//! > the request
//! < the response
//! ```

use anyhow::{Result, bail};

/// A whole scenario, run on one stage.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transcript {
    /// The steps of all groups.
    pub steps: Vec<StepRecord>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StepRecord {
    /// The group's title.
    pub group: String,
    /// The step's title.
    pub title: String,
    /// The request, by lines.
    pub request: Vec<String>,
    /// The response, by lines; the first is the status.
    pub answer: Vec<String>,
}

impl Transcript {
    /// The text of the file.
    pub fn text(&self) -> String {
        let mut lines = Vec::new();
        let mut group = None;
        for step in &self.steps {
            if group != Some(&step.group) {
                lines.push(format!("== {}", step.group));
                group = Some(&step.group);
            }
            lines.push(format!("-- {}", step.title));
            lines.extend(step.request.iter().map(|line| format!("> {line}")));
            lines.extend(step.answer.iter().map(|line| format!("< {line}")));
        }
        lines.join("\n") + "\n"
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    ///
    /// When a line is none of the four kinds, or in the wrong place.
    pub fn parse(text: &str) -> Result<Self> {
        let mut transcript = Self::default();
        let mut group = "";
        for (number, line) in (1..).zip(text.lines()) {
            let (kind, rest) = line.split_at_checked(3).unwrap_or((line, ""));
            match (kind, transcript.steps.last_mut()) {
                ("== ", _) => group = rest,
                ("-- ", _) if !group.is_empty() => {
                    let (group, title) = (group.to_owned(), rest.to_owned());
                    transcript.steps.push(StepRecord { group, title, ..StepRecord::default() });
                }
                (_, Some(step)) if line.starts_with("> ") => step.request.push(line[2..].into()),
                (_, Some(step)) if line.starts_with("< ") => step.answer.push(line[2..].into()),
                _ => bail!("line {number} of the transcript is {line:?}; play the scenario again"),
            }
        }
        Ok(transcript)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn step(group: &str, title: &str, answer: &[&str]) -> StepRecord {
        let answer = answer.iter().map(|&line| line.to_owned()).collect();
        StepRecord {
            group: group.into(),
            title: title.into(),
            request: vec!["GET /x".to_owned()],
            answer,
        }
    }

    #[test]
    fn a_transcript_is_read_back_as_it_was_written() {
        let steps = vec![
            step("A", "one", &["200 OK", "{", "  \"x\": 1", "}"]),
            step("A", "two", &["(no answer within 5 s)"]),
            step("B", "== three", &["404 Not Found", "-- not a step", ""]),
        ];
        let transcript = Transcript { steps };
        assert_eq!(Transcript::parse(&transcript.text()).unwrap(), transcript);
    }

    #[test]
    fn what_is_no_transcript_is_refused() {
        for text in ["-- step before a group\n", "== a\n> sent by no step\n", "== a\n-- b\nwhat\n"]
        {
            assert!(Transcript::parse(text).is_err(), "{text}");
        }
    }
}
