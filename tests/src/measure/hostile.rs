//! `hostile-clients`: clients that occupy a stage in four ways, each alone and all together, and what an
//! honest client and a running program notice of it.
//!
//! The honest client has the same address as the hostile ones, and a new connection for each request: the
//! worst place to be in.

mod clients;

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use self::clients::{Crowd, hold};
use crate::measure::footprint::{Footprint, descendants};
use crate::support::client::{Client, Program};
use crate::support::percentile::millis;
use crate::support::report::{self, Status};
use crate::support::target::Target;

/// The longest that an honest request may take.
const MAX_LATENCY: Duration = Duration::from_millis(100);
/// What the stage may take above idle, in bytes, all its processes together.
const MAX_GROWTH: u64 = 256 << 20;
/// How exact the limits of running programs are, as a share of the limit.
const MAX_DEVIATION: f64 = 0.1;
/// Processor and wall-clock time that the running programs may use, in seconds.
const LIMIT_SECONDS: f64 = 2.0;
/// How long hostile clients stay before the measurement begins.
const CROWD_DELAY: Duration = Duration::from_millis(1500);
/// Between two honest requests.
const REQUEST_INTERVAL: Duration = Duration::from_millis(50);
/// Evaluations with as much output as is stored.
const LARGE_EVALUATIONS: usize = 8;

/// The options of `hostile-clients`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// The engine of the stage: its default, or `subprocess`
    #[arg(long, value_name = "ENGINE")]
    engine: Option<String>,
    /// Clients that request something large and read nothing
    #[arg(long, value_name = "N", default_value_t = 2048)]
    unread: usize,
    /// Clients that keep the last byte of a body
    #[arg(long, value_name = "N", default_value_t = 300)]
    held: usize,
    /// Clients that list everything at the same time, and read it
    #[arg(long, value_name = "N", default_value_t = 8)]
    lists: usize,
    /// Clients that follow all events
    #[arg(long, value_name = "N", default_value_t = 1000)]
    streams: usize,
    /// How long each crowd is measured, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    seconds: u64,
    /// Report as JSON, and fail only when a request is not answered or the memory is exceeded: for a
    /// machine that does other work as well
    #[arg(long)]
    json: bool,
}

/// What was measured beside one crowd.
#[derive(Debug, Serialize)]
struct Measured {
    crowd: &'static str,
    /// Hostile connections at the beginning.
    connections: usize,
    /// Honest requests.
    requests: usize,
    /// Those that were answered 200.
    answered: usize,
    median_ms: f64,
    max_ms: f64,
    /// What the programs used of their two seconds: wall-clock and processor time.
    wall_ms: u64,
    cpu_ms: u64,
    /// The most memory above idle that was seen.
    growth_mib: u64,
}

/// Runs the command.
///
/// # Errors
///
/// When the stage cannot be started, or does not stop in order.
pub async fn run(options: Options) -> Result<Status> {
    clients::raise_descriptors()?;
    let cpu = format!("--cpu-seconds={LIMIT_SECONDS}");
    let mut arguments = vec![cpu.as_str()];
    if let Some(engine) = &options.engine {
        arguments.extend(["--engine", engine.as_str()]);
        if engine == "subprocess" {
            arguments.push("--unsafe");
        }
    }
    let session = options.target.open(&arguments).await?;
    let server = session.server.as_ref().context("give no --url: the processes are measured")?;
    let (url, pid) = (server.url().to_owned(), server.pid());
    let address = url.trim_start_matches("http://").to_owned();
    let idle = memory(pid)?;
    store_large(&session.client).await?;
    let Options { unread, held, lists, streams, .. } = options;
    let none = Crowd::default();
    let crowds = [
        ("nobody", none),
        ("no reads", Crowd { unread, ..none }),
        ("held bodies", Crowd { held, ..none }),
        ("lists", Crowd { lists, ..none }),
        ("streams", Crowd { streams, ..none }),
        ("all", Crowd { unread, held, lists, streams }),
    ];
    let mut measured = Vec::new();
    for (name, crowd) in crowds {
        eprintln!("{name} ...");
        let window = Duration::from_secs(options.seconds);
        let hostile = hold(&address, crowd).await;
        sleep(if hostile.is_empty() { Duration::ZERO } else { CROWD_DELAY }).await;
        let one = beside(&session.client, &url, pid, window, idle);
        measured.push(Measured { crowd: name, connections: hostile.len(), ..one.await? });
        drop(hostile);
        sleep(CROWD_DELAY).await; // the next crowd finds the places free
    }
    session.close().await?;
    let passed = measured.iter().all(|one| one.passes(options.json));
    if options.json {
        report::json(&measured)?;
    } else {
        print(&measured);
    }
    Ok(Status::of(passed))
}

/// Evaluations whose output is control characters: six bytes each in JSON.
async fn store_large(client: &Client) -> Result<()> {
    let code = "import sys\nfor out in sys.stdout, sys.stderr: out.write('\\x01' * (1 << 20))";
    for _ in 0..LARGE_EVALUATIONS {
        client.evaluate(&Program::new(code)).await?;
    }
    Ok(())
}

/// Sends honest requests for a while, beside a program that sleeps and one that calculates.
async fn beside(
    client: &Client,
    url: &str,
    pid: u32,
    window: Duration,
    idle: u64,
) -> Result<Measured> {
    let sleeps = Program {
        timeout_seconds: Some(LIMIT_SECONDS),
        ..Program::new("import time; time.sleep(60)")
    };
    let burns = Program { timeout_seconds: Some(60.0), ..Program::new("while True: pass") };
    let programs = async { tokio::try_join!(client.submit(&sleeps, 0), client.submit(&burns, 0)) };
    let (sleeps, burns) = programs.await?;
    let (mut times, mut requests, mut peak) = (Vec::new(), 0, 0);
    let started = Instant::now();
    while started.elapsed() < window {
        for path in ["/health", "/queue"] {
            requests += 1;
            let sent = Instant::now();
            let answer = clients::get(&format!("{url}{path}")).await;
            if answer.is_ok_and(|status| status == 200) {
                times.push(sent.elapsed());
            }
        }
        peak = peak.max(memory(pid)?);
        sleep(REQUEST_INTERVAL).await;
    }
    times.sort_unstable();
    let (sleeps, burns) = (client.finished(sleeps).await?, client.finished(burns).await?);
    Ok(Measured {
        crowd: "",
        connections: 0,
        requests,
        answered: times.len(),
        median_ms: times.get(times.len() / 2).copied().map(millis).unwrap_or_default(),
        max_ms: times.last().copied().map(millis).unwrap_or_default(),
        wall_ms: sleeps.usage.map_or(0, |usage| usage.wall_ms),
        cpu_ms: burns.usage.and_then(|usage| usage.cpu_ms).unwrap_or(0),
        growth_mib: peak.saturating_sub(idle) >> 20,
    })
}

/// The memory of the processes of the stage, without the programs that it runs: of all that run its
/// binary, whatever they call themselves.
fn memory(pid: u32) -> Result<u64> {
    let binary = |pid: u32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let own = binary(pid);
    let others = descendants(pid).into_iter().filter(|one| binary(one.pid) == own);
    let others = others.filter_map(|one| Footprint::of(one.pid).ok());
    Ok(Footprint::of(pid)?.rss_bytes + others.map(|one| one.rss_bytes).sum::<u64>())
}

impl Measured {
    /// Whether nobody was hurt. On a busy machine times say nothing.
    fn passes(&self, is_busy: bool) -> bool {
        let limit_ms = LIMIT_SECONDS * 1000.0;
        let is_exact = |used_ms: u64| {
            #[allow(clippy::cast_precision_loss, reason = "milliseconds of seconds")]
            let deviation = (used_ms as f64 - limit_ms).abs() / limit_ms;
            deviation <= MAX_DEVIATION
        };
        let is_quick = self.max_ms <= millis(MAX_LATENCY);
        let is_right = self.answered == self.requests && self.growth_mib <= MAX_GROWTH >> 20;
        is_right && (is_busy || is_quick && is_exact(self.wall_ms) && is_exact(self.cpu_ms))
    }
}

fn print(measured: &[Measured]) {
    let header = ["beside", "clients", "answered", "median", "max ms", "wall ms", "cpu ms", "MiB"];
    let mut table = report::table(header);
    for one in measured {
        table.add_row([
            one.crowd.to_owned(),
            one.connections.to_string(),
            format!("{}/{}", one.answered, one.requests),
            format!("{:.1}", one.median_ms),
            format!("{:.1}", one.max_ms),
            one.wall_ms.to_string(),
            one.cpu_ms.to_string(),
            one.growth_mib.to_string(),
        ]);
    }
    println!("{table}");
    println!(
        "Marks: all answered within {} ms, limits of {LIMIT_SECONDS} s exact to a tenth, at most {} MiB above idle.",
        MAX_LATENCY.as_millis(),
        MAX_GROWTH >> 20
    );
}
