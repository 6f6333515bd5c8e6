//! `ladder matrix`: all probes against all stages. `ladder compare`: the cells in which two stages
//! differ.

mod consistency;

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::MultiProgress;
use serde::Serialize;

use crate::attack::expectations::Expectations;
use crate::attack::probe::{self, Probe};
use crate::attack::run_probes::{self, AttackTarget, Verdicts};
use crate::attack::verdict::Verdict;
use crate::support::progress;
use crate::support::report::{self, Status};
use crate::support::stages::{self, Stage};

/// Command-line options of `matrix`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Command-line options of `compare`.
#[derive(Debug, Clone, Args)]
pub struct Compare {
    /// Number of the first stage
    one: u16,
    /// Number of the second stage
    other: u16,
    /// Print the cells that differ as JSON
    #[arg(long)]
    json: bool,
}

/// How many stages are attacked at the same time. With more, a small machine is so busy that two
/// programs of a pair do not run at the same time.
const MAX_CONCURRENT: usize = 3;

/// Every probe on some stages.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// The probes, in the order of their ids.
    pub probes: Vec<Probe>,
    /// The stages, in their order, each with its verdicts.
    pub columns: Vec<(Stage, Verdicts)>,
}

impl Matrix {
    /// Runs every probe against each of `stages`, some of them at the same time.
    ///
    /// # Errors
    ///
    /// When a stage does not start. A probe that could not be judged is a cell of its own.
    pub async fn measure(stages: Vec<Stage>) -> Result<Self> {
        let probes = probe::all()?;
        let bars = MultiProgress::new();
        let columns = stages.into_iter().map(|stage| {
            let bar = bars.add(progress::bar(probes.len(), &stage.name));
            let probes = &probes;
            async move {
                let verdicts =
                    run_probes::run(&AttackTarget::Stage(stage.clone()), probes, &bar).await;
                bar.finish_and_clear();
                let verdicts = verdicts.with_context(|| format!("cannot attack {}", stage.name))?;
                anyhow::Ok((stage, verdicts))
            }
        });
        // In the order of the stages, not of completion.
        let columns = stream::iter(columns).buffered(MAX_CONCURRENT).try_collect().await?;
        Ok(Self { probes, columns })
    }

    /// The cell of this probe on this stage.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn cell(&self, probe: &str, stage: u16) -> Result<&Verdict> {
        let column = self.columns.iter().find(|(it, _)| it.number == stage);
        let (_, verdicts) = column.with_context(|| format!("no column for stage {stage}"))?;
        verdicts.get(probe).with_context(|| format!("{probe} has no cell on stage {stage}"))
    }

    /// The whole matrix as text, one line for each probe. The width of a column does not depend on
    /// its content, so that a changed cell is one changed line.
    ///
    /// # Errors
    ///
    /// When a cell is missing.
    pub fn text(&self) -> Result<String> {
        let mut text = format!("{:<36}", "");
        for (stage, _) in &self.columns {
            write!(text, "{:<18}", format!("{:02}", stage.number))?;
        }
        text.truncate(text.trim_end().len());
        for probe in &self.probes {
            let id = probe.header.id.as_str();
            let mut line = format!("{id:<36}");
            for (stage, _) in &self.columns {
                write!(line, "{:<18}", self.cell(id, stage.number)?.cell())?;
            }
            write!(text, "\n{}", line.trim_end())?;
        }
        for word in WORDS {
            let mut line = format!("{:<36}", format!("total {word}"));
            for (_, verdicts) in &self.columns {
                let count = verdicts.values().filter(|verdict| verdict.word() == word).count();
                write!(line, "{count:<18}")?;
            }
            write!(text, "\n{}", line.trim_end())?;
        }
        text.push('\n');
        Ok(text)
    }

    /// Probes that escape although the stage must contain them, and cells without a verdict.
    ///
    /// # Errors
    ///
    /// When a cell is missing.
    pub fn failures(&self, exceptions: &Expectations) -> Result<Vec<String>> {
        let mut failures = Vec::new();
        for (stage, _) in &self.columns {
            for probe in &self.probes {
                let id = &probe.header.id;
                match self.cell(id, stage.number)? {
                    Verdict::Escaped if exceptions.must_contain(&probe.header, stage.number) => {
                        failures.push(format!("{id} escapes on stage {}", stage.number));
                    }
                    Verdict::Error(what) => {
                        failures.push(format!("{id} on stage {}: {what}", stage.number));
                    }
                    _ => {}
                }
            }
        }
        Ok(failures)
    }
}

const WORDS: [&str; 4] = ["escaped", "contained", "n/a", "error"];

/// One line of the JSON report.
#[derive(Debug, Serialize)]
struct Cell<'a> {
    probe: &'a str,
    stage: u16,
    #[serde(flatten)]
    verdict: &'a Verdict,
}

/// Measures and prints the matrix.
///
/// # Errors
///
/// When a stage does not start.
pub async fn run(options: Options) -> Result<Status> {
    let matrix = Matrix::measure(stages::all()?).await?;
    if options.json {
        let mut cells = Vec::new();
        for probe in &matrix.probes {
            for (stage, _) in &matrix.columns {
                let (probe, stage) = (probe.header.id.as_str(), stage.number);
                cells.push(Cell { probe, stage, verdict: matrix.cell(probe, stage)? });
            }
        }
        report::json(&cells)?;
    } else {
        table(&matrix)?;
    }
    let failures = matrix.failures(&Expectations::load()?)?;
    for error in &failures {
        eprintln!("{error}");
    }
    Ok(Status::of(failures.is_empty()))
}

/// 80 columns have room for a word; `attack --stage N` shows the reasons.
fn table(matrix: &Matrix) -> Result<()> {
    let mut header = vec!["probe".to_owned()];
    header.extend(matrix.columns.iter().map(|(stage, _)| format!("{:02}", stage.number)));
    let mut table = report::grid(header);
    for probe in &matrix.probes {
        let id = probe.header.id.as_str();
        let mut row = vec![id.into()];
        for (stage, _) in &matrix.columns {
            let verdict = matrix.cell(id, stage.number)?;
            row.push(report::painted(short(verdict), verdict));
        }
        table.add_row(row);
    }
    println!("{table}");
    println!("\nESC escaped, ok contained, - not applicable, ? no verdict");
    for (stage, verdicts) in &matrix.columns {
        let count = |word| verdicts.values().filter(|verdict| verdict.word() == word).count();
        let counts = WORDS.map(|word| format!("{} {word}", count(word)));
        println!("{:<24} {}", stage.name, counts.join(", "));
    }
    Ok(())
}

fn short(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Escaped => "ESC",
        Verdict::Contained(_) => "ok",
        Verdict::NotApplicable(_) => "-",
        Verdict::Error(_) => "?",
    }
}

/// Measures two stages and prints the cells in which they differ.
///
/// # Errors
///
/// When there is no such stage, they are the same, or one does not start.
pub async fn compare(options: Compare) -> Result<Status> {
    if options.one == options.other {
        bail!("name two different stages, as in `compare 4 5`");
    }
    let stages = vec![stages::find(options.one)?, stages::find(options.other)?];
    let matrix = Matrix::measure(stages).await?;
    let differing = matrix.differing(options.one, options.other)?;
    if options.json {
        report::json(&differing)?;
    } else {
        let [one, other] = [options.one, options.other].map(|number| format!("{number:02}"));
        let mut table = report::words(["probe", &one, &other]);
        for line in &differing {
            let cells =
                [&line.before, &line.after].map(|verdict| report::painted(verdict.cell(), verdict));
            let [before, after] = cells;
            table.add_row([line.probe.into(), before, after]);
        }
        println!("{table}\n\n{} of {} differ", differing.len(), matrix.probes.len());
    }
    Ok(Status::of(matrix.failures(&Expectations::load()?)?.is_empty()))
}

/// A probe with different verdicts on two stages.
#[derive(Debug, Serialize)]
pub struct Difference<'a> {
    /// Its id.
    pub probe: &'a str,
    /// The verdict on the first stage.
    pub before: &'a Verdict,
    /// The verdict on the second stage.
    pub after: &'a Verdict,
}

impl Matrix {
    /// The probes with different verdicts on these stages.
    ///
    /// # Errors
    ///
    /// When a cell is missing.
    pub fn differing(&self, one: u16, other: u16) -> Result<Vec<Difference<'_>>> {
        let mut differing = Vec::new();
        for probe in &self.probes {
            let id = probe.header.id.as_str();
            let (before, after) = (self.cell(id, one)?, self.cell(id, other)?);
            if before != after {
                differing.push(Difference { probe: id, before, after });
            }
        }
        Ok(differing)
    }
}
