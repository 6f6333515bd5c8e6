//! The platform must report what happened, not what the program claims.
//!
//! The header names the one value that would be false. Fields are paths in the evaluation's JSON,
//! with dots: `evidence.decided_by`.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::ProbeRun;
use crate::attack::probe::program::Values;
use crate::attack::probe::report::Run;
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};
use crate::support::client::Answer;

pub(super) async fn says(
    program: ProbeRun<'_>,
    testbed: &Testbed,
    field: &str,
    lie: &str,
) -> Result<Verdict> {
    if testbed.stage == 1 {
        return Ok(Verdict::NotApplicable("this stage reports nothing but the output"));
    }
    let run = testbed.run(program.code, &Values::default(), program.seconds).await?;
    judge(&run, field, lie)
}

fn judge(run: &Run, field: &str, lie: &str) -> Result<Verdict> {
    let Answer::Evaluation(evaluation) = &run.answer else {
        return Ok(Verdict::Error("a response without an evaluation".to_owned()));
    };
    let evaluation = serde_json::to_value(evaluation)?;
    let pointer = format!("/{}", field.replace('.', "/"));
    let reported = evaluation.pointer(&pointer).with_context(|| format!("no field {field}"))?;
    let reported = match reported {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if reported == lie {
        return Ok(Verdict::Escaped);
    }
    // The probe prints its report before its last step, which may be the false claim.
    Ok(match run.account {
        Some(_) => Verdict::Contained(By::Evidence),
        None => Verdict::Error(format!("did not run: {}", run.answer.summary())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(outcome: &str, stdout: &str) -> Run {
        let limits = serde_json::json!({
            "timeout_seconds": 1.0, "cpu_seconds": 1.0, "memory_bytes": 1, "pids": 1,
            "output_bytes": 1, "disk_bytes": 1, "open_files": 1,
        });
        let output = |text| {
            serde_json::json!({
                "text": text, "encoding": "utf8", "bytes_total": 0, "truncated": false,
            })
        };
        let evaluation = serde_json::json!({
            "id": uuid::Uuid::nil(), "status": "completed", "outcome": outcome, "exit_code": 137,
            "signal": null, "stdout": output(stdout), "stderr": output(""), "limits": limits,
            "sandbox": { "engine": "x" }, "timing": { "submitted_at": "2026-01-01T00:00:00Z" },
            "attempt": 1,
        });
        Run::new(Answer::Evaluation(serde_json::from_value(evaluation).unwrap()), "@m")
    }

    #[test]
    fn a_false_field_in_the_evaluation_is_an_escape() {
        let judged = |run: Run| judge(&run, "outcome", "memory_exceeded").unwrap();
        assert_eq!(judged(run("memory_exceeded", "@m finished -\n")), Verdict::Escaped);
        let honest = judged(run("exited", "@m finished -\n"));
        assert_eq!(honest, Verdict::Contained(By::Evidence));
        assert!(matches!(judged(run("exited", "")), Verdict::Error(_)), "it never ran");
        assert!(judge(&run("exited", ""), "outcom", "x").is_err(), "no such field");
    }
}
