//! The report that a probe prints.
//!
//! It decides two things only: that the probe ran, and which error stopped it. A probe that failed
//! by itself, for example with a `NameError`, prints no report and is an error: it was not
//! contained.

use base64::Engine as _;
use shared::Outcome;
use shared::evaluation::Encoding;

use crate::attack::verdict::{By, Verdict};
use crate::support::client::Answer;

/// How far a probe came, by its own report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeReport {
    /// It ran to its end.
    Finished,
    /// Something stopped it: the name of an error.
    Stopped(String),
    /// A kernel answered its system calls: `OK` or the name of an error for each.
    Answered(Vec<String>),
}

/// One run of a program: the platform's result, and the program's own report.
#[derive(Debug, Clone)]
pub struct Run {
    /// The result from the API.
    pub answer: Answer,
    /// The last report of the program, if there was one.
    pub account: Option<ProbeReport>,
}

impl Run {
    /// Parses the report out of the output.
    pub fn new(answer: Answer, marker: &str) -> Self {
        let stdout = text(&answer, |evaluation| &evaluation.stdout);
        let account = stdout.lines().rev().find_map(|line| account(line, marker));
        Self { answer, account }
    }

    /// Whether `secret` is anywhere in what the program wrote.
    pub fn shows(&self, secret: &str) -> bool {
        let stdout = text(&self.answer, |evaluation| &evaluation.stdout);
        let stderr = match &self.answer {
            Answer::Plain(plain) | Answer::Executed(plain, _) => plain.error.clone(),
            Answer::Evaluation(_) => text(&self.answer, |evaluation| &evaluation.stderr),
        };
        stdout.contains(secret) || stderr.contains(secret)
    }

    /// The verdict on a run that did not escape. `unstopped` is the reason for a probe that ran to
    /// its end without success.
    pub fn contained(&self, unstopped: By) -> Verdict {
        if let Some(by) = self.answer.outcome().and_then(limit) {
            return Verdict::Contained(by);
        }
        match &self.account {
            Some(ProbeReport::Finished) => Verdict::Contained(unstopped),
            Some(ProbeReport::Stopped(name)) => {
                let unknown = || {
                    Verdict::Error(format!(
                        "stopped by {name}, which is not known as a sign of containment"
                    ))
                };
                stopped_by(name).map_or_else(unknown, Verdict::Contained)
            }
            Some(ProbeReport::Answered(_)) => {
                Verdict::Error("reported system calls without being a `kernel` probe".to_owned())
            }
            None if timed_out(&self.answer) => Verdict::Contained(By::TimeLimit),
            None => Verdict::Error(format!("did not run to its end: {}", self.answer.summary())),
        }
    }
}

/// Stage 1 has no outcome, but this text.
fn timed_out(answer: &Answer) -> bool {
    matches!(answer, Answer::Plain(plain) if plain.error.starts_with("timed out after"))
}

/// A stream of the evaluation as text, with invalid bytes replaced.
fn text(answer: &Answer, stream: impl Fn(&shared::Evaluation) -> &shared::Output) -> String {
    let Answer::Evaluation(evaluation) = answer else { return answer.stdout().to_owned() };
    let output = stream(evaluation);
    match output.encoding {
        Encoding::Utf8 => output.text.clone(),
        Encoding::Base64 => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(&output.text);
            String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
        }
    }
}

fn account(line: &str, marker: &str) -> Option<ProbeReport> {
    let (what, detail) = line.strip_prefix(marker)?.trim().split_once(' ')?;
    match what {
        "finished" => Some(ProbeReport::Finished),
        "stopped" => Some(ProbeReport::Stopped(detail.to_owned())),
        "answered" => Some(ProbeReport::Answered(detail.split(',').map(str::to_owned).collect())),
        _ => None,
    }
}

/// The reason for a program that the platform ended.
fn limit(outcome: Outcome) -> Option<By> {
    match outcome {
        Outcome::WallTimeExceeded => Some(By::TimeLimit),
        Outcome::CpuTimeExceeded => Some(By::CpuLimit),
        Outcome::MemoryExceeded => Some(By::MemoryLimit),
        Outcome::PidsExceeded => Some(By::PidsLimit),
        Outcome::OutputExceeded => Some(By::OutputCap),
        Outcome::DiskExceeded => Some(By::DiskLimit),
        _ => None,
    }
}

/// The reason behind an error that stopped a program. None when the error shows no containment.
pub fn stopped_by(error: &str) -> Option<By> {
    Some(match error {
        "ENOENT" | "ENOTDIR" | "ESTALE" | "FileNotFoundError" => By::OwnFiles,
        "EROFS" => By::ReadOnlyRoot,
        "ENOSPC" | "EFBIG" | "EDQUOT" => By::DiskLimit,
        "ENETUNREACH" | "EHOSTUNREACH" | "EADDRNOTAVAIL" | "ENETDOWN" => By::NoNetwork,
        "ECONNREFUSED" | "ECONNRESET" | "ETIMEDOUT" => By::OwnNetwork,
        "EPERM" | "EACCES" | "ENOTSUP" | "EOPNOTSUPP" | "ENODEV" | "ENXIO" => By::Refused,
        "ENOSYS" | "EAFNOSUPPORT" | "EPROTONOSUPPORT" | "ESOCKTNOSUPPORT" => By::NoSuchCall,
        "ESRCH" | "ECHILD" => By::OwnProcesses,
        "EAGAIN" => By::PidsLimit,
        "ENOMEM" | "MemoryError" => By::MemoryLimit,
        "EMFILE" | "ENFILE" => By::OpenFilesLimit,
        "NOEXEC" => By::NoExec,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::client::Plain;

    fn run(output: &str, error: &str) -> Run {
        let plain = Plain { output: output.to_owned(), error: error.to_owned() };
        Run::new(Answer::Plain(plain), "@m")
    }

    #[test]
    fn only_marked_lines_are_reports() {
        assert_eq!(run("finished -\n@x finished -\n", "").account, None);
        let stopped = ProbeReport::Stopped("EPERM".into());
        assert_eq!(run("x\n@m stopped EPERM\nbye\n", "").account, Some(stopped));
        let answers = ProbeReport::Answered(vec!["OK".into(), "EPERM".into()]);
        assert_eq!(run("@m answered OK,EPERM\n", "").account, Some(answers));
    }

    #[test]
    fn a_probe_that_only_raised_is_not_contained() {
        let verdict = run("", "Traceback\nNameError: x").contained(By::OwnFiles);
        let Verdict::Error(what) = verdict else { panic!("{verdict:?}") };
        assert_eq!(what, "did not run to its end: NameError: x");
        let verdict = run("@m stopped NameError\n", "").contained(By::OwnFiles);
        assert!(matches!(verdict, Verdict::Error(_)), "{verdict:?}");
    }

    #[test]
    fn the_error_or_the_evidence_is_the_reason() {
        let by = |output: &str| run(output, "").contained(By::OwnProcesses);
        assert_eq!(by("@m stopped EROFS\n"), Verdict::Contained(By::ReadOnlyRoot));
        assert_eq!(by("@m finished -\n"), Verdict::Contained(By::OwnProcesses));
        let late = run("", "timed out after 30 seconds").contained(By::OwnFiles);
        assert_eq!(late, Verdict::Contained(By::TimeLimit));
    }

    #[test]
    fn a_secret_is_found_in_either_stream() {
        assert!(run("a s3cret b", "").shows("s3cret"));
        assert!(run("", "a s3cret b").shows("s3cret"));
        assert!(!run("a", "b").shows("s3cret"));
    }
}
