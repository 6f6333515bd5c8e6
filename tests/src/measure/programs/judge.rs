//! Compares how a program ended, and what it printed, with the right values.

use anyhow::{Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::Regex;
use shared::evaluation::{Encoding, Output};
use shared::{Evaluation, Outcome};

use super::case::Case;

/// Places of a program's files, and addresses of objects: they differ from run to run.
const VARYING: &str =
    r"/tmp/(crucible-subprocess-[^/]+/[0-9a-f-]{36}|crucible-reference-[^/]+)\b|0x[0-9a-f]{6,}";
/// The most of an output that a message quotes.
const MAX_QUOTE: usize = 600;

/// How a program ended, and what it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The outcome; `exited` or `signaled` when nothing limited the program.
    pub outcome: String,
    /// Its exit code.
    pub exit: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<String>,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
}

impl Ending {
    /// Of an evaluation.
    ///
    /// # Errors
    ///
    /// When it has not ended, the platform failed, or its output is not in its encoding.
    pub fn of(evaluation: &Evaluation) -> Result<Self> {
        let Some(outcome) = evaluation.outcome else { bail!("it has not ended") };
        if let (Outcome::EngineError | Outcome::WorkerLost, error) = (outcome, &evaluation.error) {
            bail!("the platform failed: {}", error.as_deref().unwrap_or("without a reason"));
        }
        let bytes = |output: &Output| match output.encoding {
            Encoding::Utf8 => Ok(output.text.clone().into_bytes()),
            Encoding::Base64 => STANDARD.decode(&output.text),
        };
        Ok(Self {
            outcome: outcome.as_str().to_owned(),
            exit: evaluation.exit_code,
            signal: evaluation.signal.clone(),
            stdout: bytes(&evaluation.stdout)?,
            stderr: bytes(&evaluation.stderr)?,
        })
    }

    fn how(&self) -> String {
        match (&self.exit, &self.signal) {
            (Some(code), _) => format!("{} {code}", self.outcome),
            (None, Some(signal)) => format!("{} {signal}", self.outcome),
            (None, None) => self.outcome.clone(),
        }
    }
}

/// What is wrong about `seen`; nothing when it is right. `python` is what Python alone did.
///
/// # Errors
///
/// When the case's expression is malformed.
pub fn wrong(case: &Case, seen: &Ending, python: Option<&Ending>) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    wrong_end(case, seen, python, &mut wrong);
    let varying = Regex::new(VARYING)?;
    let own = case.unlike.as_deref().map(Regex::new).transpose()?;
    let comparable = |bytes: &[u8]| {
        // Bytes that are no text stay apart from each other.
        let text = bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
        let text =
            varying.replace_all(
                &text,
                |found: &regex::Captures<'_>| {
                    if found[0].starts_with('/') { "/tmp" } else { "0x" }
                },
            );
        own.as_ref().map_or_else(|| text.to_string(), |own| own.replace_all(&text, "").into_owned())
    };
    for (name, seen, python) in [
        ("stdout", &seen.stdout, python.map(|python| &python.stdout)),
        ("stderr", &seen.stderr, python.map(|python| &python.stderr)),
    ] {
        if let Some(python) = python
            && comparable(seen) != comparable(python)
        {
            wrong.push(format!("{name} is {}, not {}", quoted(seen), quoted(python)));
        }
    }
    wrong_output(case, seen, &mut wrong);
    if let Some(first) = wrong.first_mut()
        && !first.starts_with("stderr")
        && !seen.stderr.is_empty()
    {
        let tail = seen.stderr.len().saturating_sub(MAX_QUOTE);
        *first = format!("{first} (stderr ends with {})", quoted(&seen.stderr[tail..]));
    }
    Ok(wrong)
}

fn wrong_end(case: &Case, seen: &Ending, python: Option<&Ending>, wrong: &mut Vec<String>) {
    let how = seen.how();
    if let Some(python) = python
        && how != python.how()
    {
        wrong.push(format!("it ended as {how}, not as {}", python.how()));
    }
    let names_an_end = case.exit.is_some() || case.signal.is_some() || case.outcome.is_some();
    if let Some(outcome) = &case.outcome
        && *outcome != seen.outcome
    {
        wrong.push(format!("it ended as {how}, not as {outcome}"));
    }
    if let Some(signal) = &case.signal
        && how != format!("signaled {signal}")
    {
        wrong.push(format!("it ended as {how}, not by {signal}"));
    }
    if !case.signal_any.is_empty() {
        if !seen.signal.as_ref().is_some_and(|signal| case.signal_any.contains(signal)) {
            wrong.push(format!("it ended as {how}, not by one of {:?}", case.signal_any));
        }
    } else if case.exit.is_some() || (python.is_none() && !names_an_end) {
        let code = case.exit.unwrap_or_default();
        if how != format!("exited {code}") {
            wrong.push(format!("it ended as {how}, not as exited {code}"));
        }
    }
}

fn wrong_output(case: &Case, seen: &Ending, wrong: &mut Vec<String>) {
    let says_nothing = case.stderr_contains.is_empty() && case.stderr_lacks.is_empty();
    let quiet = !case.like_python && says_nothing && seen.exit == Some(0);
    let stderr = case.stderr.as_deref().or(quiet.then_some(""));
    for (name, seen, right) in
        [("stdout", &seen.stdout, case.stdout.as_deref()), ("stderr", &seen.stderr, stderr)]
    {
        if let Some(right) = right
            && right.as_bytes() != seen
        {
            wrong.push(format!("{name} is {}, not {}", quoted(seen), quoted(right.as_bytes())));
        }
    }
    let [stdout, stderr] = [&seen.stdout, &seen.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    let missing = case.stdout_contains.iter().filter(|part| !stdout.contains(*part));
    wrong.extend(
        missing.map(|part| format!("stdout is {}, without {part:?}", quoted(&seen.stdout))),
    );
    let missing = case.stderr_contains.iter().filter(|part| !stderr.contains(*part));
    wrong.extend(
        missing.map(|part| format!("stderr is {}, without {part:?}", quoted(&seen.stderr))),
    );
    let surplus = case.stderr_lacks.iter().filter(|part| stderr.contains(*part));
    wrong.extend(surplus.map(|part| format!("stderr is {}, with {part:?}", quoted(&seen.stderr))));
    if let Some(length) = case.stdout_bytes.filter(|length| *length != seen.stdout.len()) {
        wrong.push(format!("stdout has {} bytes, not {length}", seen.stdout.len()));
    }
    if let Some(lines) = case.stdout_lines.filter(|lines| *lines != stdout.lines().count()) {
        wrong.push(format!("stdout has {} lines, not {lines}", stdout.lines().count()));
    }
}

fn quoted(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let end = text.floor_char_boundary(MAX_QUOTE);
    let rest =
        if end < text.len() { format!("... ({} bytes)", bytes.len()) } else { String::new() };
    format!("{:?}{rest}", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(exit: i32, stdout: &str, stderr: &str) -> Ending {
        let [stdout, stderr] = [stdout, stderr].map(|text| text.as_bytes().to_vec());
        Ending { outcome: "exited".into(), exit: Some(exit), signal: None, stdout, stderr }
    }

    #[test]
    fn each_wrong_value_is_named() {
        let case = Case { stdout: Some("1\n".to_owned()), ..Case::default() };
        let wrong = |seen: &Ending| wrong(&case, seen, None).unwrap().len();
        assert_eq!(wrong(&ending(0, "1\n", "")), 0);
        assert_eq!(wrong(&ending(1, "1\n", "")), 1);
        assert_eq!(wrong(&ending(0, "1", "")), 1);
        assert_eq!(wrong(&ending(0, "1\n", "a warning")), 1);
        let signaled = Ending {
            outcome: "signaled".into(),
            exit: None,
            signal: Some("SIGKILL".into()),
            ..ending(0, "1\n", "")
        };
        assert_eq!(wrong(&signaled), 1);
    }

    #[test]
    fn python_is_compared_without_what_varies() {
        let case = Case { like_python: true, ..Case::default() };
        let place = "/tmp/crucible-subprocess-1.2.3/01890000-0000-7000-8000-000000000000/main.py";
        let seen = ending(1, "<C at 0x7f0000000001>", place);
        let python = ending(1, "<C at 0x7f0000000002>", "/tmp/main.py");
        assert_eq!(wrong(&case, &seen, Some(&python)).unwrap(), [""; 0]);
        let python = ending(1, "<D at 0x7f0000000002>", "");
        assert_eq!(wrong(&case, &seen, Some(&python)).unwrap().len(), 2);
        let python = ending(2, "<C at 0x7f0000000002>", "/tmp/main.py");
        assert_eq!(wrong(&case, &seen, Some(&python)).unwrap().len(), 1);
    }
}
