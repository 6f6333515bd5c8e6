//! A grader in the same process as the graded program: the solution is wrong, and tries to pass.
//!
//! The probe is the solution; the tests follow its divider. The ladder adds a last line that prints
//! a random number, and a run has passed when that is the last line of the output and the exit code
//! is 0. No sandbox can help here, which is the lesson.

use anyhow::{Context as _, Result};

use super::ProbeRun;
use crate::attack::probe::program::{canary, split_pair};
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};
use crate::support::client::{Answer, Program};

/// Printed first by a solution, so that one that did not run is not counted as one that failed.
const TRYING: &str = "trying";

pub(super) async fn deceived(program: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let (solution, tests) = split_pair(testbed.language(), program.code)
        .context("a graded probe has a line `# --- second program ---`")?;
    let nonce = canary();
    let code = format!("{solution}\n{tests}\nprint(\"{nonce}\")\n");
    let mut submission = Program::new(code);
    submission.timeout_seconds = Some(f64::from(program.seconds));
    let answer = testbed.client.evaluate(&submission).await?;
    Ok(judge(&answer, &nonce))
}

fn judge(answer: &Answer, nonce: &str) -> Verdict {
    let ended_well = match answer {
        Answer::Plain(_) | Answer::Executed(..) => true,
        Answer::Evaluation(_) => answer.exit_code() == Some(0),
    };
    if ended_well && answer.stdout().lines().next_back() == Some(nonce) {
        return Verdict::Escaped;
    }
    if answer.stdout().lines().any(|line| line == TRYING) {
        return Verdict::Contained(By::Nonce);
    }
    Verdict::Error(format!("did not run: {}", answer.summary()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::client::Plain;

    #[test]
    fn only_the_last_line_is_a_pass() {
        let answer =
            |output: &str| Answer::Plain(Plain { output: output.to_owned(), error: String::new() });
        assert_eq!(judge(&answer("x\nn1\n"), "n1"), Verdict::Escaped);
        for output in ["trying\nn1\nmore\n", "trying\nall tests passed\n"] {
            assert_eq!(judge(&answer(output), "n1"), Verdict::Contained(By::Nonce));
        }
        assert!(matches!(judge(&answer(""), "n1"), Verdict::Error(_)), "it never ran");
    }
}
