//! `ladder soak`: the same stage after thousands of evaluations. Its memory stays constant, and
//! nothing is left over: no thread, descriptor, process, file or container.
//!
//! Everything is observed from outside. The ladder becomes a child subreaper before it starts the
//! stage, so a process that outlives its program *and* the stage becomes a child of the ladder.
//!
//! What this does not see: memory of other daemons, such as Docker's.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::time::sleep;

use crate::measure::footprint::{Footprint, Process, descendants};
use crate::measure::owned_sandboxes;
use crate::measure::workload::WorkloadKind;
use crate::support::client::Client;
use crate::support::percentile::per_second;
use crate::support::progress;
use crate::support::report::{self, Status};
use crate::support::server::{Launch, Server};
use crate::support::stages;

/// How much memory may grow between the end of the warm-up and the end. A leak of 1 KiB for each
/// evaluation shows after 4,100 of them; the fluctuation of an allocator stays below it.
const MAX_GROWTH_BYTES: u64 = 4 << 20;
/// A stage retains the last 1,000 evaluations. Until then memory grows as intended.
const WARM_UP_EVALUATIONS: usize = 1200;
/// The first stage that runs programs in containers.
const FIRST_WITH_CONTAINERS: u16 = 4;
/// How long threads of a pool, idle connections and exiting children may take to disappear.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(20);

/// Options of `ladder soak`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Number of the stage
    #[arg(long, value_name = "N")]
    stage: u16,
    /// Evaluations after the warm-up (which is a fifth of them, at most 1200)
    #[arg(long, value_name = "COUNT", default_value_t = 10_000,
          value_parser = clap::value_parser!(u32).range(10..))]
    count: u32,
    /// Programs sent at the same time
    #[arg(long, value_name = "C", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=64))]
    clients: u16,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// The result.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The stage's package.
    pub stage: String,
    /// Evaluations after the warm-up.
    pub evaluations: usize,
    /// Evaluations that ended in a second, after the warm-up.
    pub per_second: f64,
    /// The server after its warm-up, idle.
    pub before: Footprint,
    /// The server at the end, idle.
    pub after: Footprint,
    /// Resident memory at each tenth of the way, in bytes.
    pub rss_bytes: Vec<u64>,
    /// What the server left behind when it was stopped.
    pub left: Leftovers,
    /// The failures, as messages.
    pub failures: Vec<String>,
}

/// What is left over after the exit of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Leftovers {
    /// Processes that it or a program started.
    pub processes: Vec<Process>,
    /// File names in its temporary directory.
    pub files: Vec<String>,
    /// Names of its containers.
    pub containers: Vec<String>,
}

/// Runs the command.
///
/// # Errors
///
/// When the stage cannot be started, or violates its API.
pub async fn run(options: Options) -> Result<Status> {
    let count = usize::try_from(options.count)?;
    let report = soak(options.stage, count, usize::from(options.clients)).await?;
    if options.json {
        report::json(&report)?;
    } else {
        print(&report);
    }
    Ok(Status::of(report.failures.is_empty()))
}

/// Sends `count` evaluations through a new server and finds what they leave over.
///
/// # Errors
///
/// When the stage cannot be started, or violates its API.
pub async fn soak(number: u16, count: usize, clients: usize) -> Result<Report> {
    if number < 2 {
        bail!("stage {number} cannot cancel evaluations; give --stage 2 or a later one");
    }
    adopt_orphans()?;
    let stage = stages::find(number)?;
    let scratch = tempfile::tempdir().context("cannot make a directory for temporary files")?;
    let server = Launch::new(&stage).env("TMPDIR", scratch.path()).start().await?;
    let pid = server.pid();

    evaluate(number, &server, (count / 5).min(WARM_UP_EVALUATIONS), clients, "warm-up").await?;
    let before = settled(number, pid, None).await?;
    let (started, mut rss_bytes) = (Instant::now(), vec![before.rss_bytes]);
    for part in 0..10 {
        let share = count * (part + 1) / 10 - count * part / 10;
        evaluate(number, &server, share, clients, &format!("soaking {}/10", part + 1)).await?;
        rss_bytes.push(Footprint::of(pid)?.rss_bytes);
    }
    let per_second = per_second(count, started.elapsed());
    let after = settled(number, pid, Some(&before)).await?;

    let mut failures = growth_failures(&before, &after);
    if let Err(error) = server.stop().await {
        failures.push(format!("{error:#}"));
    }
    let left = left_behind(scratch.path(), number, pid).await?;
    failures.extend(left.failures());
    let stage = stage.name;
    Ok(Report { stage, evaluations: count, per_second, before, after, rss_bytes, left, failures })
}

/// From now on, orphaned descendants become children of this process.
fn adopt_orphans() -> Result<()> {
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own)).context("cannot become a child subreaper")
}

async fn evaluate(
    stage: u16,
    server: &Server,
    count: usize,
    clients: usize,
    what: &str,
) -> Result<()> {
    // A separate client, so that its idle connections do not count as descriptors afterwards.
    let client = Client::new(stage, server.url())?;
    let bar = progress::bar(count, what);
    let client = &client;
    let done = stream::iter((0..count).map(WorkloadKind::at))
        .map(|work| work.run(client))
        .buffer_unordered(clients)
        .inspect_ok(|()| bar.inc(1))
        .try_collect::<()>()
        .await;
    bar.finish_and_clear();
    done.with_context(|| format!("the stage's standard error ends with: {}", server.stderr()))
}

async fn footprint(number: u16, server: u32) -> Result<Footprint> {
    let containers = containers(number, server).await?.len();
    Ok(Footprint { containers, ..Footprint::of(server)? })
}

async fn containers(number: u16, server: u32) -> Result<Vec<String>> {
    if number < FIRST_WITH_CONTAINERS {
        return Ok(Vec::new());
    }
    owned_sandboxes::of_process(server).await
}

/// The server's footprint when idle: when it does not shrink any more, or is not above `goal`.
async fn settled(number: u16, server: u32, goal: Option<&Footprint>) -> Result<Footprint> {
    let started = Instant::now();
    let mut last = footprint(number, server).await?;
    loop {
        sleep(CLEANUP_TIMEOUT / 10).await;
        let now = footprint(number, server).await?;
        let rests = goal.map_or(last.has_no_more_than(&now), |goal| now.has_no_more_than(goal));
        if rests || started.elapsed() > CLEANUP_TIMEOUT {
            return Ok(now);
        }
        last = now;
    }
}

fn growth_failures(before: &Footprint, after: &Footprint) -> Vec<String> {
    let growth = after.rss_bytes.saturating_sub(before.rss_bytes);
    let mut failures = Vec::new();
    if growth > MAX_GROWTH_BYTES {
        failures.push(format!(
            "memory grew by {} KiB, more than {}",
            growth >> 10,
            MAX_GROWTH_BYTES >> 10
        ));
    }
    for (what, before, after) in [
        ("threads", before.threads, after.threads),
        ("descriptors", before.descriptors, after.descriptors),
        ("processes", before.processes, after.processes),
        ("containers", before.containers, after.containers),
    ] {
        if after > before {
            failures.push(format!("{after} {what} after the soak, {before} before"));
        }
    }
    failures
}

/// Searches until nothing is left, at most for [`CLEANUP_TIMEOUT`]. Then kills the remaining
/// processes.
async fn left_behind(scratch: &Path, number: u16, server: u32) -> Result<Leftovers> {
    let started = Instant::now();
    loop {
        let mut left = Leftovers::now(scratch)?;
        left.containers = containers(number, server).await?;
        if left == Leftovers::default() || started.elapsed() > CLEANUP_TIMEOUT {
            left.end_processes();
            return Ok(left);
        }
        sleep(CLEANUP_TIMEOUT / 40).await;
    }
}

impl Leftovers {
    fn now(scratch: &Path) -> Result<Self> {
        let mut processes = descendants(std::process::id());
        processes.retain(|process| !process.zombie);
        let entries = std::fs::read_dir(scratch).context("cannot list temporary files")?;
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let files = names.collect::<std::io::Result<_>>()?;
        Ok(Self { processes, files, containers: Vec::new() })
    }

    /// They are descendants of this process, so their pids cannot have been reused.
    fn end_processes(&self) {
        for process in &self.processes {
            if let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) {
                // It may have ended by itself in the meantime.
                kill_process(pid, Signal::KILL).ok();
            }
        }
    }

    fn failures(&self) -> Vec<String> {
        let processes = self.processes.iter();
        let processes = processes
            .map(|process| format!("process {} ({}) is left over", process.pid, process.name));
        let files = self.files.iter().map(|name| format!("the temporary file {name} is left over"));
        let containers = self.containers.iter();
        let containers = containers.map(|name| format!("the container {name} is left over"));
        processes.chain(files).chain(containers).collect()
    }
}

fn print(report: &Report) {
    let Report { stage, evaluations, per_second, before, after, failures, .. } = report;
    let mut table = report::table(["", "before", "after"]);
    let kib = |bytes: u64| format!("{} KiB", bytes >> 10);
    table.add_row(["resident memory".to_owned(), kib(before.rss_bytes), kib(after.rss_bytes)]);
    for (what, before, after) in [
        ("threads", before.threads, after.threads),
        ("descriptors", before.descriptors, after.descriptors),
        ("processes below it", before.processes, after.processes),
        ("containers", before.containers, after.containers),
    ] {
        table.add_row([what.to_owned(), before.to_string(), after.to_string()]);
    }
    println!("{evaluations} evaluations on {stage}, {per_second} per second\n{table}");
    if failures.is_empty() {
        println!("Memory stayed constant, and nothing is left over.");
    }
    for error in failures {
        println!("FAIL   {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Footprint =
        Footprint { rss_bytes: 20 << 20, threads: 4, descriptors: 12, processes: 0, containers: 0 };

    #[test]
    fn growth_of_each_kind_is_a_failure() {
        assert_eq!(growth_failures(&IDLE, &IDLE), [""; 0]);
        let bit = Footprint { rss_bytes: IDLE.rss_bytes + MAX_GROWTH_BYTES, ..IDLE };
        assert_eq!(growth_failures(&IDLE, &bit), [""; 0]);
        for worse in [
            Footprint { rss_bytes: bit.rss_bytes + 1, ..IDLE },
            Footprint { threads: 5, ..IDLE },
            Footprint { descriptors: 13, ..IDLE },
            Footprint { processes: 1, ..IDLE },
            Footprint { containers: 1, ..IDLE },
        ] {
            assert_eq!(growth_failures(&IDLE, &worse).len(), 1, "{worse:?}");
        }
    }

    #[tokio::test]
    async fn a_process_that_outlives_its_parent_is_found_and_ended() {
        adopt_orphans().unwrap();
        let scratch = tempfile::tempdir().unwrap();
        std::fs::write(scratch.path().join("forgotten"), "").unwrap();
        // The shell prints the pid of the process that it leaves behind.
        let mut shell = std::process::Command::new("sh");
        let printed =
            shell.args(["-c", "setsid sleep 600 >&- 2>&- & echo $!"]).output().unwrap().stdout;
        let orphan: u32 = String::from_utf8(printed).unwrap().trim().parse().unwrap();
        let look = || {
            let mut left = Leftovers::now(scratch.path()).unwrap();
            // Other tests in this process have their own children.
            left.processes.retain(|process| process.pid == orphan);
            left
        };
        assert_eq!(look().failures().len(), 2, "{:?}", look());
        look().end_processes();
        while !look().processes.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
    }
}
