//! `ladder humaneval`: real programs through a stage's real API.
//!
//! Every task runs twice: once as its authors solved it, which must pass, and once with the body
//! `return None`, which must fail. Without the second half, the first would prove nothing.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use crate::measure::tasks::{self, Body, Task};
use crate::support::client::{Client, Program};
use crate::support::percentile::{Latency, column, per_second};
use crate::support::progress;
use crate::support::report::{self, Status};
use crate::support::target::Target;

/// Options of `ladder humaneval`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Only the first K tasks
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..))]
    limit: Option<u16>,
    /// Programs sent at the same time
    #[arg(long, value_name = "C", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    clients: u16,
    /// File with the tasks, one JSON object in a line [default: what tests/humaneval/fetch.sh
    /// fetched]
    #[arg(long, value_name = "FILE")]
    dataset: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// The results of both sets.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The stage's package.
    pub stage: String,
    /// Whether a pass needed exit code 0 (`checked`), or the stage reports none (`n/a`: stage 1).
    pub exit_codes: &'static str,
    /// The programs as their authors solved them.
    pub canonical: Set,
    /// The same with `return None`.
    pub broken: Set,
    /// The failures, as messages.
    pub failures: Vec<String>,
}

/// The result of one set of programs.
#[derive(Debug, Clone, Serialize)]
pub struct Set {
    /// Programs that were sent.
    pub programs: usize,
    /// Tasks whose program passed.
    pub passed: Vec<String>,
    /// Tasks whose program did not, and how it ended.
    pub failed: Vec<(String, String)>,
    /// Evaluations that ended in a second.
    pub per_second: f64,
    /// From the request to the response, in milliseconds.
    pub latency_ms: Option<Latency>,
}

/// Runs the command.
///
/// # Errors
///
/// When the data set cannot be read, or the stage cannot be started or reached.
pub async fn run(options: Options) -> Result<Status> {
    let dataset = options.dataset.clone().map_or_else(fetched, Ok)?;
    let mut tasks = tasks::read(&dataset)?;
    tasks.truncate(options.limit.map_or(usize::MAX, usize::from));
    let session = options.target.open(&[]).await?;
    let clients = usize::from(options.clients);
    let canonical = run_set(&session.client, &tasks, Body::Canonical, clients).await?;
    let broken = run_set(&session.client, &tasks, Body::Broken, clients).await?;
    let failures = failures(&tasks, &canonical, &broken);
    let stage = session.name.clone();
    let exit_codes = if options.target.stage == 1 { "n/a" } else { "checked" };
    let report = Report { stage, exit_codes, canonical, broken, failures };
    session.close().await?;
    if options.json {
        report::json(&report)?;
    } else {
        print(&report);
    }
    Ok(Status::of(report.failures.is_empty()))
}

/// The path to which `fetch.sh` writes the tasks.
fn fetched() -> Result<PathBuf> {
    let target = crate::support::workspace::Workspace::load()?.target;
    Ok(target.join("humaneval/HumanEval.jsonl"))
}

async fn run_set(client: &Client, tasks: &[Task], body: Body, clients: usize) -> Result<Set> {
    let bar =
        progress::bar(tasks.len(), if body == Body::Canonical { "canonical" } else { "broken" });
    let started = Instant::now();
    let runs: Vec<(bool, String, Duration)> = stream::iter(tasks)
        .map(|task| run_one(client, task, body))
        .buffered(clients)
        .inspect_ok(|_| bar.inc(1))
        .try_collect()
        .await?;
    bar.finish_and_clear();
    let (mut passed, mut failed, mut latencies) = (Vec::new(), Vec::new(), Vec::new());
    for (task, (pass, how, latency)) in tasks.iter().zip(runs) {
        latencies.push(latency);
        if pass {
            passed.push(task.task_id.clone());
        } else {
            failed.push((task.task_id.clone(), how));
        }
    }
    let per_second = per_second(tasks.len(), started.elapsed());
    Ok(Set {
        programs: tasks.len(),
        passed,
        failed,
        per_second,
        latency_ms: Latency::of(latencies),
    })
}

async fn run_one(client: &Client, task: &Task, body: Body) -> Result<(bool, String, Duration)> {
    let graded = task.program(body);
    let started = Instant::now();
    let answer = client.evaluate(&Program::new(&graded.code)).await?;
    Ok((graded.passed(&answer), answer.summary(), started.elapsed()))
}

/// All failures.
fn failures(tasks: &[Task], canonical: &Set, broken: &Set) -> Vec<String> {
    let solved = canonical.failed.iter().map(|(id, how)| format!("{id} should pass: {how}"));
    let content = |id: &String| tasks.iter().any(|task| task.task_id == *id && task.accepts_none);
    let fooled = broken.passed.iter().filter(|id| !content(id));
    let fooled = fooled.map(|id| format!("{id} should fail with `return None`, but passed"));
    let strict = broken.failed.iter().filter(|(id, _)| content(id));
    let strict = strict.map(|(id, how)| format!("{id} should accept None, but failed: {how}"));
    solved.chain(fooled).chain(strict).collect()
}

fn print(report: &Report) {
    let header =
        ["set", "sent", "passed", "failed", "per s", "p50 ms", "p90 ms", "p99 ms", "max ms"];
    let mut table = report::table(header);
    for (name, set) in [("canonical", &report.canonical), ("broken", &report.broken)] {
        let ms = |pick: fn(&Latency) -> f64| {
            set.latency_ms.as_ref().map_or_else(String::new, |latency| column(pick(latency)))
        };
        table.add_row([
            name.to_owned(),
            set.programs.to_string(),
            set.passed.len().to_string(),
            set.failed.len().to_string(),
            format!("{:.1}", set.per_second),
            ms(|latency| latency.p50),
            ms(|latency| latency.p90),
            ms(|latency| latency.p99),
            ms(|latency| latency.max),
        ]);
    }
    println!("HumanEval on {}\n{table}", report.stage);
    if report.exit_codes == "n/a" {
        println!("This stage reports no exit code: only the program's last line was checked.");
    }
    match report.broken.passed.as_slice() {
        [] => println!("0 of the tests accept None: every broken program failed."),
        some => println!("{} of the tests accept None: {}", some.len(), some.join(", ")),
    }
    for error in &report.failures {
        println!("FAIL   {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(passed: &[&str], failed: &[&str]) -> Set {
        Set {
            programs: passed.len() + failed.len(),
            passed: passed.iter().map(ToString::to_string).collect(),
            failed: failed.iter().map(|id| (id.to_string(), "exited 1".to_owned())).collect(),
            per_second: 1.0,
            latency_ms: None,
        }
    }

    fn task(id: &str, accepts_none: bool) -> Task {
        let [prompt, entry_point, canonical_solution, test] = [const { String::new() }; 4];
        Task { task_id: id.into(), prompt, entry_point, canonical_solution, test, accepts_none }
    }

    #[test]
    fn every_way_to_be_wrong_is_a_failure() {
        let tasks = [task("a", false), task("n", true)];
        let all = set(&["a", "n"], &[]);
        assert_eq!(failures(&tasks, &all, &set(&["n"], &["a"])), [""; 0]);
        assert_eq!(failures(&tasks, &set(&["n"], &["a"]), &set(&["n"], &["a"])).len(), 1);
        assert_eq!(failures(&tasks, &all, &set(&["n", "a"], &[])).len(), 1);
        assert_eq!(failures(&tasks, &all, &set(&[], &["n", "a"])).len(), 1);
    }
}
