//! HumanEval's tasks, and the programs that are made of them.
//!
//! A program is `prompt + body + test + check(entry_point)`, and then, in the last line, it prints
//! a random number. It counts as passed when it exited with 0 **and** that number is the last line
//! of its output: so `sys.exit(0)` in a solution is not a pass, and neither is a stage that reports
//! "exited 0" without having run anything.
//!
//! What this does not protect against: solution and test share one process, as in the data set, so
//! a solution that reads its own source finds the number. To grade untrusted solutions, use a
//! second sandbox.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use shared::Outcome;
use uuid::Uuid;

use crate::support::client::Answer;

/// One line of `HumanEval.jsonl`.
#[derive(Debug, Clone, Deserialize)]
pub struct Task {
    /// `HumanEval/0` and so on.
    pub task_id: String,
    /// Imports, helpers, and the signature and docstring of the function to write.
    pub prompt: String,
    /// The name of that function.
    pub entry_point: String,
    /// A correct body.
    pub canonical_solution: String,
    /// Defines `check(candidate)`.
    pub test: String,
    /// Whether the test accepts `None`, so that a broken body passes too. HumanEval's own lines do
    /// not have this field: none of its 164 tests does (measured with CPython 3.11).
    #[serde(default)]
    pub accepts_none: bool,
}

/// Which body a program gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// The correct one.
    Canonical,
    /// `return None`, which hardly any test accepts.
    Broken,
}

/// A program, and its last line of output if it passes.
#[derive(Debug, Clone)]
pub struct Graded {
    /// Python source.
    pub code: String,
    nonce: String,
}

impl Task {
    /// The program of this task with this body, with a new random number.
    pub fn program(&self, body: Body) -> Graded {
        let Self { prompt, entry_point, canonical_solution, test, .. } = self;
        let nonce = format!("passed {}", Uuid::now_v7().simple());
        let body = match body {
            Body::Canonical => canonical_solution,
            Body::Broken => "    return None\n",
        };
        let code = format!("{prompt}{body}\n{test}\ncheck({entry_point})\nprint(\"\\n{nonce}\")\n");
        Graded { code, nonce }
    }
}

impl Graded {
    /// Whether the program passed. Stage 1 reports no exit code, so there only the last line is
    /// checked.
    pub fn passed(&self, answer: &Answer) -> bool {
        let ended_well = match answer {
            Answer::Plain(_) | Answer::Executed(..) => true,
            Answer::Evaluation(_) => {
                answer.outcome() == Some(Outcome::Exited) && answer.exit_code() == Some(0)
            }
        };
        ended_well && answer.stdout().lines().next_back() == Some(&self.nonce)
    }
}

/// Reads a data set in HumanEval's format.
///
/// # Errors
///
/// When the file is missing or malformed; the message says what to run, or where.
pub fn read(file: &Path) -> Result<Vec<Task>> {
    let bytes = std::fs::read(file).with_context(|| {
        format!(
            "cannot read {}; fetch the tasks with tests/humaneval/fetch.sh, or name your own \
             file with --dataset",
            file.display()
        )
    })?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        bail!("{} is compressed; unpack it with `gzip --decompress`", file.display());
    }
    let text =
        String::from_utf8(bytes).with_context(|| format!("{} is not text", file.display()))?;
    let mut tasks = Vec::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let task = serde_json::from_str(line).with_context(|| {
            format!("line {number} of {} is not a task of HumanEval", file.display())
        })?;
        tasks.push(task);
    }
    if tasks.is_empty() {
        bail!("there are no tasks in {}", file.display());
    }
    Ok(tasks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::client::Plain;

    fn sample() -> Vec<Task> {
        read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("humaneval/sample.jsonl")).unwrap()
    }

    fn plain(output: &str) -> Answer {
        Answer::Plain(Plain { output: output.to_owned(), error: String::new() })
    }

    #[test]
    fn only_the_right_last_line_is_a_pass() {
        let program = sample()[0].program(Body::Canonical);
        let nonce = program.nonce.clone();
        assert!(program.passed(&plain(&format!("debug\n{nonce}\n"))));
        for output in ["", "passed", "\n", &nonce[1..], &format!("{nonce}\nand then more\n")] {
            assert!(!program.passed(&plain(output)), "{output:?}");
        }
        assert_ne!(nonce, sample()[0].program(Body::Canonical).nonce, "each has its own");
    }

    #[test]
    fn a_broken_program_keeps_everything_but_the_body() {
        let task = &sample()[0];
        let broken = task.program(Body::Broken).code;
        assert!(broken.starts_with(&task.prompt) && broken.contains(&task.test));
        assert!(!broken.contains(&task.canonical_solution) && broken.contains("    return None\n"));
    }

    #[test]
    fn a_wrong_file_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tasks.jsonl");
        let error = |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            format!("{:#}", read(&file).unwrap_err())
        };
        assert!(error(b"\x1f\x8b\x08").contains("gzip --decompress"));
        assert!(error(b"\n{}\n").contains("line 2"));
        assert!(error(b"\n").contains("no tasks"));
        let missing = format!("{:#}", read(&dir.path().join("none")).unwrap_err());
        assert!(missing.contains("tests/humaneval/fetch.sh"), "{missing}");
    }
}
