//! `ladder cpython`: CPython's own tests, in a sandbox and on the host, test by test.
//!
//! A sandbox that is not quite Linux shows here first. Both sides run the same files of the same
//! image with the same harness (`tests/cpython/verdicts.py`), so a difference is caused by the
//! sandbox.
//!
//! What this does not show: whether a difference matters. The known ones are in `differences.rs`
//! with their reasons; any other is a failure.

mod differences;
mod host;
mod parse;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde::Serialize;
use uuid::Uuid;

use crate::support::client::{Client, Program};
use crate::support::progress;
use crate::support::report::{self, Status};
use crate::support::target::Target;

use differences::{Difference, Module, compare};
use host::Host;
use parse::{Results, Verdict};

/// The file with the id of the image with CPython's tests, written by the set-up.
const PIN: &str = "/etc/crucible/image-testsuite";
/// The modules whose tests are compared. `test_multiprocessing_spawn` and `_forkserver` are left out: they
/// start some thousand interpreters, of which many take longer than a test may on a busy machine.
const MODULES: [&str; 12] = [
    "test.test_json",
    "test.test_re",
    "test.test_datetime",
    "test.test_collections",
    "test.test_asyncio.test_events",
    "test.test_subprocess",
    "test.test_multiprocessing_fork",
    "test.test_multiprocessing_main_handling",
    "test.test_signal",
    "test.test_socket",
    "test.test_tempfile",
    "test.test_threading",
];
/// The first stage whose programs run in an image.
const FIRST_WITH_IMAGE: u16 = 4;
/// How long one test may take, in seconds. The slowest takes about three.
const TEST_TIMEOUT_SECONDS: u64 = 30;
/// How long one module may take, in seconds.
const MODULE_TIMEOUT_SECONDS: u64 = 900;
/// How many tests of one module may hang or crash before the module is abandoned.
const MAX_HUNG_TESTS: usize = 10;
/// A test suite is trusted, and gets higher limits.
const LIMITS: &str = "--timeout-seconds=900 --max-timeout-seconds=900 --cpu-seconds=900 \
    --memory-bytes=1073741824 --pids=256 --output-bytes=33554432 --disk-bytes=268435456 \
    --open-files=1024 --workers=1";

/// Options of `ladder cpython`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// Image with CPython's tests in it [default: the id in /etc/crucible/image-testsuite]
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Compare only this module (can be repeated) [default: those of the course]
    #[arg(long, value_name = "MODULE", value_parser = module_name)]
    module: Vec<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// The name of a module becomes part of a program, so it is validated.
fn module_name(text: &str) -> Result<String, String> {
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if text.split('.').all(plain) {
        Ok(text.to_owned())
    } else {
        Err("give a Python module, such as test.test_json".to_owned())
    }
}

/// The results of all modules.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The stage's package.
    pub stage: String,
    /// The image on both sides.
    pub image: String,
    /// One entry for each module.
    pub modules: Vec<Module>,
}

/// Runs the command.
///
/// # Errors
///
/// When the stage, the image or the host's side is not available, or a module does not end.
pub async fn run(options: Options) -> Result<Status> {
    let Target { stage, url } = &options.target;
    if *stage < FIRST_WITH_IMAGE {
        bail!("stage {stage} runs programs on the host, not in an image; give --stage 4 or later");
    }
    if url.is_some() {
        bail!("this needs a server with limits and an image of its own; leave --url out");
    }
    let image = options.image.clone().map_or_else(pinned, Ok)?;
    let host = Host::prepare(&image).await?;
    let image_flag = format!("--image={image}");
    let arguments: Vec<_> = LIMITS.split_whitespace().chain([image_flag.as_str()]).collect();
    let session = options.target.open(&arguments).await?;
    let names = match options.module.as_slice() {
        [] => MODULES.map(str::to_owned).to_vec(),
        some => some.to_vec(),
    };
    let bar = progress::bar(names.len() * 2, "CPython's tests");
    let mut modules = Vec::new();
    for name in names {
        bar.set_message(name.clone());
        let on_host = collect(&name, &Side::Host(&host)).await?;
        bar.inc(1);
        let inside = collect(&name, &Side::Stage(&session.client)).await?;
        bar.inc(1);
        modules.push(compare(name, &on_host, &inside)?);
    }
    bar.finish_and_clear();
    let report = Report { stage: session.name.clone(), image, modules };
    session.close().await?;
    if options.json {
        report::json(&report)?;
    } else {
        print(&report);
    }
    let all = report.modules.iter().flat_map(|module| &module.differences);
    Ok(Status::of(all.into_iter().all(|difference| difference.why.is_some())))
}

fn pinned() -> Result<String> {
    let pin = std::fs::read_to_string(PIN).with_context(|| {
        format!("cannot read {PIN}; run `bash infrastructure/setup/setup.sh --with-tests`")
    })?;
    Ok(pin.trim().to_owned())
}

/// The two places where a program runs.
enum Side<'a> {
    Host(&'a Host),
    Stage(&'a Client),
}

impl Side<'_> {
    /// Runs `code`. Returns its output, and how it ended.
    async fn run(&self, code: String) -> Result<(String, String)> {
        match self {
            Self::Host(host) => host.run(&code, MODULE_TIMEOUT_SECONDS).await,
            Self::Stage(client) => {
                let answer = client.evaluate(&Program::new(code)).await?;
                Ok((answer.stdout().to_owned(), answer.summary()))
            }
        }
    }
}

/// Runs a module to its end. When a test hangs or crashes the process, the next run continues with
/// the remaining tests.
async fn collect(module: &str, side: &Side<'_>) -> Result<Results> {
    let (mut all, mut lost) = (Results::default(), 0);
    loop {
        let marker = format!("verdict-{} ", Uuid::now_v7().simple());
        let (stdout, how) = side.run(program(module, &marker, &all)).await?;
        let results = Results::parse(&stdout, &marker)?;
        all.verdicts.extend(results.verdicts);
        let Some(test) = results.unfinished else {
            if results.python.is_none() {
                bail!("{module} ended before its tests did: {how}");
            }
            return Ok(Results { python: results.python, ..all });
        };
        lost += 1;
        if lost > MAX_HUNG_TESTS {
            bail!(
                "{module}: more than {MAX_HUNG_TESTS} tests hang or crash; the last one was {test}"
            );
        }
        let message =
            format!("within {TEST_TIMEOUT_SECONDS} s, or the process ended first ({how})");
        all.verdicts.insert(test, Verdict { verdict: "did not end".to_owned(), message });
    }
}

/// `verdicts.py` with its assignments in front.
fn program(module: &str, marker: &str, done: &Results) -> String {
    let mut code = "import os\nos.chdir('/tmp')\n".to_owned();
    let mut assign = |name: &str, value: serde_json::Value| {
        // JSON strings, numbers and lists are valid Python.
        let _ = writeln!(code, "{name} = {value}"); // writing to a String cannot fail
    };
    assign("MODULE", module.into());
    assign("MARK", marker.into());
    assign("DEADLINE", TEST_TIMEOUT_SECONDS.into());
    assign("LEAVE_OUT", done.verdicts.keys().cloned().collect());
    code + include_str!("../../cpython/verdicts.py")
}

fn print(report: &Report) {
    let mut table = report::words(["module", "on the host", "in the sandbox", "differ"]);
    let words = |counts: &BTreeMap<String, usize>| {
        let words: Vec<_> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
        words.join(", ")
    };
    for module in &report.modules {
        let differ = module.differences.len().to_string();
        let name = module.name.trim_start_matches("test.").to_owned();
        table.add_row([name, words(&module.host), words(&module.sandbox), differ]);
    }
    let python = report.modules.first().map_or("", |module| &module.python);
    println!("CPython {python}'s own tests on {}\n{table}", report.stage);
    let all: Vec<_> = report.modules.iter().flat_map(|module| &module.differences).collect();
    let mut reasons: Vec<_> = all.iter().map(|difference| difference.why).collect();
    reasons.sort_unstable();
    reasons.dedup();
    for reason in reasons {
        println!("\n{}", reason.unwrap_or("UNEXPLAINED:"));
        for Difference { test, host, sandbox, .. } in
            all.iter().filter(|difference| difference.why == reason)
        {
            println!(
                "  {test}\n    host: {}\n    sandbox: {}",
                sentence(host.as_ref()),
                sentence(sandbox.as_ref())
            );
        }
    }
}

fn sentence(verdict: Option<&Verdict>) -> String {
    match verdict {
        Some(Verdict { verdict, message }) if message.is_empty() => verdict.clone(),
        Some(Verdict { verdict, message }) => format!("{verdict}: {message}"),
        None => "did not run".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_a_name_and_nothing_else() {
        assert!(module_name("test.test_asyncio.test_events").is_ok());
        for bad in ["", "a..b", "os; x", "a.b'", "1a", "a b", "a/b"] {
            assert!(module_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_left_out_is_python() {
        let test = "a.b (x='\"')".to_owned();
        let done = Results { verdicts: [(test, Verdict::default())].into(), ..Results::default() };
        let code = program("test.test_json", "marker ", &done);
        assert!(code.contains("\nLEAVE_OUT = [\"a.b (x='\\\"')\"]\n"), "{code}");
    }
}
