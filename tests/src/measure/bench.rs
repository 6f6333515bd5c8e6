//! `ladder bench`: the overhead of a stage, measured in the same run as its reference values.
//!
//! For each stage four things take turns, so that other load on the machine affects all of them
//! alike: a **bare** `python3`, the interpreter itself and no version manager's shim for it; the
//! **anchor** (the same program without any code of this project: a bare `python3`, or
//! the same container controlled directly over a kept-alive Docker socket, or `docker run`), the
//! **engine** (called directly, in this process), and the **stage** (over HTTP, with `Prefer:
//! wait`). The targets are ratios of these, so that they hold on any machine. Then four clients at the same time. Where sandboxes are started beforehand, all are
//! ready when a turn starts; with four clients there are far more turns than warm sandboxes.
//!
//! What this does not measure: cold starts of the server, large programs, and machines that are
//! busy with something else. The report of a debug build says that its figures mean little.

mod anchor;
mod engines;
mod targets;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::Value;
use shared::{Evaluation, Evidence, Limits, Outcome};
use tokio::time::sleep;

use crate::support::client::{Answer, Client, Program};
use crate::support::percentile::{Latency, column, hundredths, per_second};
use crate::support::progress;
use crate::support::report::{self, Status};
use crate::support::server::Launch;
use crate::support::stages;

use anchor::Anchor;
use engines::{Direct, FIRST_WITH_WARM_SANDBOXES};
use targets::Target;

/// The program of every run.
const CODE: &str = "print(1)";
/// The stages that are measured when none is named: those with an engine of their own.
const STAGES: [u16; 4] = [2, 4, 5, 6];
/// A container is removed after its response. The next run waits for that, so that the removal does
/// not slow it down.
const PAUSE_INTERVAL: Duration = Duration::from_millis(250);
/// The same where the used sandbox has to be replaced by a new warm one.
const REFILL_INTERVAL: Duration = Duration::from_millis(600);
/// Clients at the same time, in the second half.
const CONCURRENT_CLIENTS: usize = 4;
/// Runs with four clients, at least: many times the number of warm sandboxes.
const SUSTAINED_RUNS: usize = 120;
/// The same for stages without warm sandboxes, which take long.
const SHORT_RUNS: usize = CONCURRENT_CLIENTS * 5;

/// Options of `ladder bench`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Measure only this stage (can be repeated) [default: 2, 4, 5 and 6]
    #[arg(long, value_name = "N")]
    stage: Vec<u16>,
    /// How often each of the three takes its turn
    #[arg(long, value_name = "COUNT", default_value_t = 40,
          value_parser = clap::value_parser!(u16).range(3..=10_000))]
    rounds: u16,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `release`, or `debug`, whose figures mean little.
    pub build: &'static str,
    /// Processors of the machine.
    pub processors: usize,
    /// Load of the machine before the first run, over the last minute.
    pub load: String,
    /// One entry for each stage.
    pub stages: Vec<Measured>,
    /// The performance targets, and whether each is met.
    pub targets: Vec<Target>,
}

/// What was measured of one stage.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// The stage's number.
    pub stage: u16,
    /// The stage's package.
    pub name: String,
    /// The latency of a bare `python3`, in milliseconds: the unit of the machine.
    pub bare_ms: Latency,
    /// What the anchor is.
    pub anchor: String,
    /// The anchor's latency, in milliseconds.
    pub anchor_ms: Latency,
    /// The engine's, called directly, in milliseconds.
    pub engine_ms: Latency,
    /// The stage's, over HTTP with one client, in milliseconds.
    pub stage_ms: Latency,
    /// How much longer than the engine the stage takes at the median, in milliseconds.
    pub overhead_ms: f64,
    /// How much of the stage's latency lies outside of its own engine, by its own clock, at the
    /// median, in milliseconds. Noise in the engine does not affect it.
    pub around_engine_ms: f64,
    /// Evaluations in a second with four clients.
    pub four_clients_per_second: f64,
    /// The same for the anchor, with four at the same time.
    pub anchor_four_per_second: f64,
    /// Turns over HTTP without a warm sandbox, where there should be one.
    pub cold: usize,
}

/// Runs the command.
///
/// # Errors
///
/// When a stage or an engine does not start, or a run has the wrong output.
pub async fn run(options: Options) -> Result<Status> {
    let rounds = usize::from(options.rounds);
    let numbers = if options.stage.is_empty() { &STAGES[..] } else { &options.stage };
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default().to_owned();
    let mut stages = Vec::new();
    for number in numbers {
        stages.push(Box::pin(measure(*number, rounds)).await?);
    }
    let targets = stages.iter().flat_map(targets::of).chain(targets::between(&stages)).collect();
    let report = Report {
        build: if cfg!(debug_assertions) { "debug" } else { "release" },
        processors: std::thread::available_parallelism().map_or(0, usize::from),
        load,
        stages,
        targets,
    };
    if options.json {
        report::json(&report)?;
    } else {
        print(&report);
    }
    Ok(Status::of(report.targets.iter().all(|target| target.met)))
}

async fn measure(number: u16, rounds: usize) -> Result<Measured> {
    let stage = stages::find(number)?;
    progress::phase(&format!("{}: starting it, and its engine beside it", stage.name));
    let server = Launch::new(&stage).start().await?;
    let client = Client::new(number, server.url())?;
    // The first evaluation shows the limits of the stage, and warms everything up.
    let limits = over_http(&client).await?.limits;
    let direct = Direct::start(number, limits).await?;
    let anchor = Anchor::beside(&direct, &limits).await?;
    let is_warm = number >= FIRST_WITH_WARM_SANDBOXES;
    let bare = Anchor::bare().await?;
    let bench = Bench { bare, direct, anchor, client, limits, is_warm };
    progress::phase(&format!("{}: {rounds} rounds, one at a time", stage.name));
    let bar = progress::bar(rounds, &stage.name);
    let samples = bench.take_turns(rounds, &bar).await?;
    bar.finish_and_clear();
    progress::phase(&format!("{}: {CONCURRENT_CLIENTS} at once", stage.name));
    let [anchor_four_per_second, four_clients_per_second] = bench.four_at_once(rounds).await?;
    let Bench { direct, anchor, client, .. } = bench;
    direct.close().await;
    drop(client);
    server.stop().await?;
    let cold = samples.cold;
    let [bare_ms, anchor_ms, engine_ms, stage_ms, around_engine_ms] = samples.latencies()?;
    Ok(Measured {
        stage: number,
        name: stage.name,
        bare_ms,
        anchor: anchor.name().to_owned(),
        anchor_ms,
        engine_ms,
        stage_ms,
        overhead_ms: hundredths(stage_ms.p50 - engine_ms.p50),
        around_engine_ms: around_engine_ms.p50,
        four_clients_per_second,
        anchor_four_per_second,
        cold,
    })
}

/// The four that take turns.
struct Bench {
    bare: Anchor,
    direct: Direct,
    anchor: Anchor,
    client: Client,
    limits: Limits,
    /// Whether sandboxes are started beforehand.
    is_warm: bool,
}

impl Bench {
    async fn take_turns(&self, rounds: usize, bar: &ProgressBar) -> Result<Samples> {
        self.direct.run(CODE, self.limits).await?;
        self.anchor.run().await?;
        let pause = if self.is_warm { REFILL_INTERVAL } else { PAUSE_INTERVAL };
        let mut samples = Samples::default();
        for round in 0..rounds {
            for turn in 0..4 {
                sleep(pause).await;
                self.direct.warm().await?;
                // Each goes first and last equally often.
                match (round + turn) % 4 {
                    3 => samples.bare.push(self.bare.run().await?),
                    0 => samples.anchor.push(self.anchor.run().await?),
                    1 => samples.engine.push(self.direct.run(CODE, self.limits).await?),
                    _ => samples.add(timed(over_http(&self.client)).await, self.is_warm)?,
                }
            }
            bar.inc(1);
        }
        Ok(samples)
    }

    /// How many runs of the anchor, and how many of the stage, end in a second with four clients.
    /// Each has its runs in two halves, in turns.
    async fn four_at_once(&self, rounds: usize) -> Result<[f64; 2]> {
        let runs = rounds.max(SHORT_RUNS);
        let counts = if self.is_warm { [SHORT_RUNS, runs.max(SUSTAINED_RUNS)] } else { [runs; 2] };
        let halves = counts.map(|count| count.div_ceil(2));
        let mut took = [Duration::ZERO; 2];
        for _ in 0..2 {
            sleep(PAUSE_INTERVAL * 4).await;
            took[0] += run_concurrently(halves[0], || self.anchor.run()).await?;
            sleep(PAUSE_INTERVAL * 4).await;
            took[1] += run_concurrently(halves[1], || over_http(&self.client)).await?;
        }
        Ok([0, 1].map(|side| per_second(halves[side] * 2, took[side])))
    }
}

/// What the four took, each time.
#[derive(Default)]
struct Samples {
    bare: Vec<Duration>,
    anchor: Vec<Duration>,
    engine: Vec<Duration>,
    stage: Vec<Duration>,
    around_engine: Vec<Duration>,
    cold: usize,
}

impl Samples {
    fn add(
        &mut self,
        (ended, took): (Result<Evaluation>, Duration),
        should_be_warm: bool,
    ) -> Result<()> {
        let Evaluation { timing, evidence, .. } = ended?;
        let counters = evidence.unwrap_or_else(|| Evidence::new("nothing")).counters;
        let was_waiting = counters.get("sandbox.warm").and_then(Value::as_bool);
        self.cold += usize::from(should_be_warm && was_waiting != Some(true));
        let began = timing.started_at.context("an evaluation that never started")?;
        let ended = timing.finished_at.context("an evaluation that never ended")?;
        let inside = Duration::try_from(ended.duration_since(began)).unwrap_or_default();
        self.stage.push(took);
        self.around_engine.push(took.saturating_sub(inside));
        Ok(())
    }

    fn latencies(self) -> Result<[Latency; 5]> {
        let of = |samples| Latency::of(samples).context("there were no rounds");
        let Self { bare, anchor, engine, stage, around_engine, .. } = self;
        Ok([of(bare)?, of(anchor)?, of(engine)?, of(stage)?, of(around_engine)?])
    }
}

async fn over_http(client: &Client) -> Result<Evaluation> {
    let Answer::Evaluation(evaluation) = client.evaluate(&Program::new(CODE)).await? else {
        bail!("this stage responds without an evaluation, so there is nothing to compare");
    };
    if (evaluation.outcome, evaluation.stdout.text.as_str()) != (Some(Outcome::Exited), "1\n") {
        bail!("`{CODE}` ended as {evaluation:?}");
    }
    Ok(*evaluation)
}

/// How long `count` runs take, four at a time.
async fn run_concurrently<T, F>(count: usize, run: impl Fn() -> F) -> Result<Duration>
where
    F: Future<Output = Result<T>>,
{
    let started = Instant::now();
    let runs = stream::iter(0..count).map(|_| run()).buffer_unordered(CONCURRENT_CLIENTS);
    runs.try_for_each(|_| async { Ok(()) }).await?;
    Ok(started.elapsed())
}

fn print(report: &Report) {
    let Report { build, processors, load, stages, targets } = report;
    println!("`{CODE}` on {processors} processors, load {load} before, {build} build");
    let mut table = report::table(["", "p50 ms", "p95 ms", "4 at once /s"]);
    for it in stages {
        for (what, latency, four) in [
            ("a bare python3 -c".to_owned(), it.bare_ms, None),
            (it.anchor.clone(), it.anchor_ms, Some(it.anchor_four_per_second)),
            (format!("{}: its engine, called directly", it.name), it.engine_ms, None),
            (format!("{}: over HTTP", it.name), it.stage_ms, Some(it.four_clients_per_second)),
        ] {
            let four = four.map_or_else(String::new, |rate| format!("{rate:.1}"));
            let (p50, p95) = (column(latency.p50), column(latency.p95));
            table.add_row([what, p50, p95, four]);
        }
    }
    println!("{table}");
    for it in stages {
        println!("{}: {:.1} ms are spent outside of its engine", it.name, it.around_engine_ms);
    }
    println!();
    for Target { text, measured, met } in targets {
        println!("{}  {text}: {measured}", if *met { "met   " } else { "MISSED" });
    }
    if *build == "debug" {
        println!("\nThis is a debug build: for figures worth quoting, `just bench`.");
    }
}

/// How long `work` takes.
async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let started = Instant::now();
    let done = work.await;
    (done, started.elapsed())
}
