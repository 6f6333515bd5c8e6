//! `ladder storage`: what durable storage costs, measured beside storage in memory and beside one flush to
//! the same disk.
//!
//! One program occupies the only worker, so that what is measured is accepting and reading, and not
//! running. The figures that are compared come from one run: a flush takes as long as it takes on this
//! disk, and so does the flush within a submission.
//!
//! What this does not measure: a disk that is busy with something else, and a cache that is cold.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use futures_util::{StreamExt as _, TryFutureExt as _, TryStreamExt as _, stream};
use reqwest::Method;
use serde::Serialize;

use crate::support::client::{Client, Program};
use crate::support::percentile::{Latency, hundredths, per_second};
use crate::support::progress;
use crate::support::report::{self, Status};
use crate::support::server::{Launch, Server};
use crate::support::stages;

/// The stage with durable storage.
const STAGE: u16 = 9;
/// Clients at the same time.
const CLIENTS: usize = 64;
/// Flushes, submissions and pages that are measured one after the other.
const SAMPLES: usize = 200;
/// Submissions of all clients together, and reads.
const SUBMISSIONS: usize = 6_400;
const READS: usize = 20_000;
/// What a submission may take at the median beside a flush, in milliseconds.
const MAX_ADDED_MS: f64 = 3.0;
/// Submissions that share a flush, at least.
const MIN_SHARED: f64 = 10.0;
/// Reads of one evaluation in a second, at least.
const MIN_READS_PER_SECOND: f64 = 5_000.0;
/// How long each step may take. One that takes longer has not measured anything.
const STEP_TIMEOUT: Duration = Duration::from_mins(5);
/// The longest that a page of a filled list may take at p99, in milliseconds.
const MAX_PAGE_MS: f64 = 10.0;
/// A page that finds what it lists by an index of labels, and one by an index of outcomes.
const PAGES: [&str; 2] =
    ["/eval?outcome=memory_exceeded&label=suite:s5&limit=20", "/eval?status=failed&limit=20"];

/// Options of `ladder storage`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Measure the list on this data directory as well, which `just fill-database` has filled
    #[arg(long, value_name = "DIR")]
    filled: Vec<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    build: &'static str,
    /// One flush of 4 KiB, in milliseconds.
    flush_ms: Latency,
    sqlite: Measured,
    memory: Measured,
    /// The pages of each filled directory.
    pages: Vec<Page>,
    met: Vec<(String, bool)>,
}

/// What was measured with one kind of storage.
#[derive(Debug, Serialize)]
struct Measured {
    /// `POST /eval` by one client, in milliseconds.
    submit_ms: Latency,
    /// Submissions that 64 clients have accepted in a second.
    submissions_per_second: f64,
    /// Submissions for each flush meanwhile; none in memory.
    submissions_per_flush: Option<f64>,
    /// `GET /eval/{id}` by 64 clients, in a second.
    reads_per_second: f64,
}

#[derive(Debug, Serialize)]
struct Page {
    directory: PathBuf,
    evaluations: u64,
    path: &'static str,
    latency_ms: Latency,
}

/// Runs the command.
///
/// # Errors
///
/// When the stage does not start, or does not answer.
pub async fn run(options: Options) -> Result<Status> {
    let scratch = tempfile::tempdir().context("cannot make a directory")?;
    progress::phase("flushing to the disk");
    let flush_ms = flushes(scratch.path())?;
    let mut measured = Vec::new();
    for storage in ["sqlite", "memory"] {
        measured.push(measure(storage, &scratch.path().join(storage)).await?);
    }
    let [sqlite, memory] =
        <[Measured; 2]>::try_from(measured).map_err(|_| anyhow::anyhow!("two"))?;
    let mut pages = Vec::new();
    for directory in &options.filled {
        pages.extend(list(directory).await?);
    }
    let met = targets(&flush_ms, &sqlite, &memory, &pages);
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let report = Report { build, flush_ms, sqlite, memory, pages, met };
    if options.json {
        report::json(&report)?;
    } else {
        print(&report);
    }
    Ok(Status::of(report.met.iter().all(|(_, met)| *met)))
}

fn targets(
    flush: &Latency,
    sqlite: &Measured,
    memory: &Measured,
    pages: &[Page],
) -> Vec<(String, bool)> {
    let added = hundredths(sqlite.submit_ms.p50 - memory.submit_ms.p50 - flush.p50);
    let shared = sqlite.submissions_per_flush.unwrap_or(0.0);
    let reads = sqlite.reads_per_second;
    let mut targets = vec![
        (
            format!("a durable submission adds at most {MAX_ADDED_MS} ms to a flush: {added} ms"),
            added <= MAX_ADDED_MS,
        ),
        (
            format!("64 clients share each flush, {MIN_SHARED} or more of them: {shared}"),
            shared >= MIN_SHARED,
        ),
        (
            format!("at least {MIN_READS_PER_SECOND} reads in a second: {reads}"),
            reads >= MIN_READS_PER_SECOND,
        ),
    ];
    targets.extend(pages.iter().map(|page| {
        let (count, p99) = (page.evaluations, page.latency_ms.p99);
        let text = format!("{} of {count}: at most {MAX_PAGE_MS} ms at p99: {p99} ms", page.path);
        (text, p99 <= MAX_PAGE_MS)
    }));
    targets
}

fn print(report: &Report) {
    let flush_ms = report.flush_ms.p50;
    println!("{} build; one flush (fdatasync) takes {flush_ms} ms at the median", report.build);
    let submit = hundredths(report.sqlite.submit_ms.p50 / flush_ms);
    let rate = hundredths(report.sqlite.submissions_per_second * flush_ms / 1000.0);
    println!(
        "sqlite: a submission takes {submit} flushes; {CLIENTS} clients submit {rate} in the time of one"
    );
    for (name, measured) in [("sqlite", &report.sqlite), ("memory", &report.memory)] {
        println!(
            "{name}: a submission {} ms, {} /s by {CLIENTS} clients; {} reads /s",
            measured.submit_ms.p50, measured.submissions_per_second, measured.reads_per_second
        );
    }
    for (text, met) in &report.met {
        println!("{} {text}", if *met { "met   " } else { "MISSED" });
    }
}

/// Flushes of a page to the disk of `directory`.
fn flushes(directory: &Path) -> Result<Latency> {
    let mut file = std::fs::File::create(directory.join("flushed"))?;
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        let started = Instant::now();
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        samples.push(started.elapsed());
    }
    Latency::of(samples).context("nothing was measured")
}

async fn start(directory: &Path, storage: &str) -> Result<(Server, Client)> {
    let stage = stages::find(STAGE)?;
    let flags = ["--engine", "subprocess", "--unsafe", "--single-process", "--workers", "1"];
    let large = ["--queue-capacity", "100000", "--storage-entries", "10000000"];
    let more = ["--storage-bytes", "1000000000000", "--max-timeout-seconds", "3600"];
    let rest = ["--drain-seconds", "0.1", "--storage", storage, "--data-dir"];
    let arguments = flags.into_iter().chain(large).chain(more).chain(rest);
    let launch = arguments.fold(Launch::new(&stage), Launch::arg).arg(directory);
    let server = launch.start().await?;
    let client = Client::new(STAGE, server.url())?;
    Ok((server, client))
}

/// Runs one step, shows that it runs, and fails when it does not end.
async fn step<T>(what: String, work: impl Future<Output = Result<T>>) -> Result<T> {
    let started = Instant::now();
    progress::phase(&what);
    let done = tokio::time::timeout(STEP_TIMEOUT, work).await;
    let done = done.with_context(|| format!("{what}: not done after {STEP_TIMEOUT:?}"))?;
    progress::phase(&format!("  done in {:.1} s", started.elapsed().as_secs_f64()));
    done
}

async fn measure(storage: &str, directory: &Path) -> Result<Measured> {
    let what = format!("starting stage {STAGE} with --storage {storage} (it may have to be built)");
    progress::phase(&what);
    let (server, client) = start(directory, storage).await?;
    // All others wait for it.
    let occupied =
        Program { timeout_seconds: Some(3600.0), ..Program::new("import time; time.sleep(3600)") };
    client.submit(&occupied, 0).await?;
    let program = Program::new("pass");
    let what = format!("{storage}: {SAMPLES} submissions of one client");
    let bar = progress::bar(SAMPLES, "submissions of one");
    let samples = step(what, async {
        let mut samples = Vec::new();
        for _ in 0..SAMPLES {
            let started = Instant::now();
            client.submit(&program, 0).await?;
            samples.push(started.elapsed());
            bar.inc(1);
        }
        Ok(samples)
    });
    let samples = samples.await?;
    let before = flushed(&client).await?;
    let what = format!("{storage}: {SUBMISSIONS} submissions of {CLIENTS} clients");
    let bar = progress::bar(SUBMISSIONS, "submissions");
    let submit = |_| client.submit(&program, 0).inspect_ok(|_| bar.inc(1));
    let submitted = stream::iter(0..SUBMISSIONS).map(submit).buffer_unordered(CLIENTS);
    let started = Instant::now();
    let accepted: Vec<_> = step(what, submitted.try_collect()).await?;
    let (elapsed, flushes) = (started.elapsed(), flushed(&client).await? - before);
    let submissions = f64::from(u32::try_from(SUBMISSIONS)?);
    let what = format!("{storage}: {READS} reads of {CLIENTS} clients");
    let bar = progress::bar(READS, "reads");
    let read = |number: usize| {
        let path = format!("/eval/{}", accepted[number % accepted.len()].id);
        get(&client, path).inspect_ok(|_| bar.inc(1))
    };
    let reads = stream::iter(0..READS).map(read).buffer_unordered(CLIENTS);
    let started = Instant::now();
    let read = step(what, reads.try_fold(0, |count, _| async move { Ok(count + 1) })).await?;
    let reads_per_second = per_second(read, started.elapsed());
    progress::phase("stopping the stage");
    server.stop().await.ok(); // the program that occupies the worker is ended
    Ok(Measured {
        submit_ms: Latency::of(samples).context("nothing was measured")?,
        submissions_per_second: per_second(SUBMISSIONS, elapsed),
        submissions_per_flush: (storage == "sqlite")
            .then(|| hundredths(submissions / flushes.max(1.0))),
        reads_per_second,
    })
}

async fn get(client: &Client, path: String) -> Result<Duration> {
    let started = Instant::now();
    let response = client.request(Method::GET, &path).send().await?;
    ensure!(response.status().is_success(), "{path} was answered {}", response.status());
    response.bytes().await?;
    Ok(started.elapsed())
}

/// Transactions that were committed, and so flushed.
async fn flushed(client: &Client) -> Result<f64> {
    let metrics = client.request(Method::GET, "/metrics").send().await?.text().await?;
    let name = "crucible_storage_commit_seconds_count ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.context("the stage does not count its commits")?.parse().context("not a number")
}

/// Pages of the list of a filled directory, one after the other.
async fn list(directory: &Path) -> Result<Vec<Page>> {
    progress::phase(&format!("starting on {}", directory.display()));
    let (server, client) = start(directory, "sqlite").await?;
    let status = client.request(Method::GET, "/status").send().await?.text().await?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    let evaluations = status["storage"]["entries"].as_u64().unwrap_or(0);
    let mut pages = Vec::new();
    for path in PAGES {
        let what = format!("{SAMPLES} times {path} of {evaluations} evaluations");
        let samples = step(what, async {
            let mut samples = Vec::new();
            for _ in 0..SAMPLES {
                samples.push(get(&client, path.to_owned()).await?);
            }
            Ok(samples)
        });
        let samples = samples.await?;
        let latency_ms = Latency::of(samples).context("nothing was measured")?;
        pages.push(Page { directory: directory.to_owned(), evaluations, path, latency_ms });
    }
    server.stop().await?;
    Ok(pages)
}
