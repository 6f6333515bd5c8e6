//! `ladder programs`: ordinary programs, and whether a stage runs them as Python alone would.
//!
//! The table is `tests/programs/*.toml`: programs as people submit them, each with the right values or
//! with `like_python`, which compares it with `python3 main.py` beside the stage. Every engine has to
//! be right about every case, except for those in `exceptions.toml`, which has the reasons. An
//! exception whose case has become right is a failure as well: it has to be removed.

pub mod case;
pub mod exceptions;
pub mod judge;
pub mod reference;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use anyhow::{Result, bail};
use clap::Args;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client, Program};
use crate::support::progress;
use crate::support::report::{self, Status};
use crate::support::target::Target;

use case::{Case, Input};
use exceptions::Exception;
use judge::Ending;
use reference::Python;

/// The first stage whose responses say how a program ended.
const FIRST_STAGE: u16 = 2;
/// Programs at the same time.
const CONCURRENCY: usize = 2;
/// What a server is started with. The time limits are generous, because a busy machine takes long;
/// memory, processes and output have their defaults.
const SERVER: [&str; 2] = ["--workers=2", "--timeout-seconds=60"];
/// The same for cases that do not choose a limit of processor time.
const MORE_TIME: &str = "--cpu-seconds=120";

/// Options of `ladder programs`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Run only cases whose name contains this (can be repeated)
    #[arg(long, value_name = "PART")]
    case: Vec<String>,
    /// Run one in so many of the cases, and all that have an exception
    #[arg(long, value_name = "N", default_value = "1")]
    one_in: NonZeroUsize,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// The results of all cases on one stage.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The stage's package.
    pub stage: String,
    /// Cases that were right.
    pub right: usize,
    /// Cases that are known to be wrong there, and were.
    pub excepted: usize,
    /// What is wrong and known to nothing, or right against its exception.
    pub failures: Vec<String>,
}

/// Runs the command.
///
/// # Errors
///
/// As [`measure`].
pub async fn run(options: Options) -> Result<Status> {
    let report = measure(&options.target, &options.case, options.one_in).await?;
    if options.json {
        report::json(&report)?;
    } else {
        let Report { stage, right, excepted, failures } = &report;
        println!("{stage}: {right} right, {excepted} known differences, {} wrong", failures.len());
        for failure in failures {
            println!("FAIL   {failure}");
        }
    }
    Ok(Status::of(report.failures.is_empty()))
}

/// Runs the cases whose names contain one of `parts`, or all when there are none: one in `one_in` of
/// them, and all that have an exception on this stage.
///
/// # Errors
///
/// When the table is malformed, or the stage or its Python cannot be started.
pub async fn measure(target: &Target, parts: &[String], one_in: NonZeroUsize) -> Result<Report> {
    if target.stage < FIRST_STAGE {
        bail!("stage 1 does not report how a program ended; give --stage {FIRST_STAGE} or later");
    }
    let mut cases = case::all()?;
    let exceptions = exceptions::all(&cases)?;
    cases.retain(|case| case.from <= target.stage);
    cases.retain(|case| parts.is_empty() || parts.iter().any(|part| case.name.contains(part)));
    let is_excepted = |case: &Case| exceptions.iter().any(|one| one.covers(case, target.stage));
    let mut numbers = 0..cases.len();
    cases.retain(|case| {
        numbers.next().is_some_and(|number| number % one_in == 0) || is_excepted(case)
    });
    if cases.is_empty() {
        bail!("no case has such a name");
    }
    let python = Python::of(target.stage).await?;
    let bar = progress::bar(cases.len(), "programs");
    let mut by_server: BTreeMap<Vec<String>, Vec<Case>> = BTreeMap::new();
    for case in cases {
        by_server.entry(case.server.clone()).or_default().push(case);
    }
    let (mut report, mut results) = (Report::new(), Vec::new());
    for (server, cases) in by_server {
        let own: Vec<&str> = match server.as_slice() {
            [] => vec![MORE_TIME],
            some => some.iter().map(String::as_str).collect(),
        };
        let session = target.open(&[&SERVER[..], &own].concat()).await?;
        report.stage.clone_from(&session.name);
        let client = &session.client;
        let runs = cases.into_iter().map(|case| {
            let (python, bar) = (&python, &bar);
            async move {
                let result = judged(&case, client, python).await;
                bar.inc(1);
                (case, result)
            }
        });
        results.extend(stream::iter(runs).buffered(CONCURRENCY).collect::<Vec<_>>().await);
        session.close().await?;
    }
    bar.finish_and_clear();
    for (case, result) in results {
        let excepted = exceptions.iter().find(|one| one.covers(&case, target.stage));
        report.add(&case, result, excepted);
    }
    Ok(report)
}

impl Report {
    fn new() -> Self {
        Self { stage: String::new(), right: 0, excepted: 0, failures: Vec::new() }
    }

    fn add(&mut self, case: &Case, result: Result<Vec<String>>, exception: Option<&Exception>) {
        let wrong = result.unwrap_or_else(|error| vec![format!("{error:#}")]);
        match exception {
            None if wrong.is_empty() => self.right += 1,
            None => self.failures.push(format!("{}: {}", case.name, wrong.join("; "))),
            Some(exception) if wrong.is_empty() && !exception.varies => {
                let Exception { chapter, .. } = exception;
                self.failures.push(format!(
                    "{} is right: remove it from exceptions.toml and {chapter}",
                    case.name
                ));
            }
            Some(_) => self.excepted += 1,
        }
    }
}

/// What is wrong about how the stage runs `case`.
async fn judged(case: &Case, client: &Client, python: &Python) -> Result<Vec<String>> {
    let program = program(case)?;
    let answer = client.evaluate(&program).await?;
    let Answer::Evaluation(evaluation) = answer else { bail!("it is no evaluation") };
    let seen = Ending::of(&evaluation)?;
    let python = if case.like_python { Some(python.run(case).await?) } else { None };
    judge::wrong(case, &seen, python.as_ref())
}

fn program(case: &Case) -> Result<Program> {
    let stdin = match (&case.stdin, &case.stdin_base64) {
        (Some(Input::Text(text)), _) => Some(Value::from(text.as_str())),
        (Some(Input::Repeated { .. }), _) => Some(String::from_utf8(case.input()?)?.into()),
        (None, Some(base64)) => Some(json!({ "base64": base64 })),
        (None, None) => None,
    };
    Ok(Program {
        code: case.code.clone(),
        timeout_seconds: case.timeout_seconds,
        memory_bytes: case.memory_bytes,
        stdin,
        files: case.files.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_held_from_both_sides() {
        let case = Case { name: "g/a".to_owned(), ..Case::default() };
        let exception = |varies| Exception {
            case: "g/a".to_owned(),
            stages: vec![5],
            reason: "it is so".to_owned(),
            chapter: "05-gvisor.md".to_owned(),
            says: "gVisor".to_owned(),
            varies,
        };
        let added = |wrong: &[&str], exception: Option<&Exception>| {
            let mut report = Report::new();
            let wrong = wrong.iter().map(ToString::to_string).collect();
            report.add(&case, Ok(wrong), exception);
            (report.right, report.excepted, report.failures.len())
        };
        assert_eq!(added(&[], None), (1, 0, 0));
        assert_eq!(added(&["x"], None), (0, 0, 1));
        assert_eq!(added(&["x"], Some(&exception(false))), (0, 1, 0));
        assert_eq!(added(&[], Some(&exception(false))), (0, 0, 1));
        assert_eq!(added(&[], Some(&exception(true))), (0, 1, 0));
    }
}
