//! `attack`: every probe at one stage, and what became of it.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::{Result, bail};
use clap::Args;
use comfy_table::ColumnConstraint;
use serde::Serialize;

use crate::attack::expectations::Expectations;
use crate::attack::fault_injection::Control;
use crate::attack::probe::header::FIRST_SANDBOXED;
use crate::attack::probe::{self, Group, Probe};
use crate::attack::run_probes::{self, AttackTarget, Verdicts};
use crate::attack::verdict::Verdict;
use crate::support::report::{self, Status};
use crate::support::{progress, stages};

/// Command-line options of `attack`.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Number of the stage
    #[arg(long, value_name = "N")]
    stage: u16,
    /// Attack this server, which must be that stage, instead of starting one
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Take this wall of the stage's containers down, to see what it was good for
    #[arg(long, value_name = "WALL", value_enum, conflicts_with = "url")]
    without: Option<Control>,
    /// Only the probes of this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Only this probe
    #[arg(long, value_name = "ID")]
    probe: Option<String>,
    /// Do not ask before a stage is attacked that has no walls of its own
    #[arg(long, short)]
    yes: bool,
    /// Print the verdicts as JSON
    #[arg(long)]
    json: bool,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Line<'a> {
    probe: &'a str,
    #[serde(flatten)]
    verdict: &'a Verdict,
    /// Whether this stage is expected to contain it.
    promised: bool,
}

/// Fires the probes and prints what became of them.
///
/// # Errors
///
/// When there is no such stage or probe, nobody agreed to the attack, or the stage does not start.
pub async fn run(options: Options) -> Result<Status> {
    let stage = stages::find(options.stage)?;
    let probes = chosen(&options)?;
    if stage.number < FIRST_SANDBOXED {
        agree(&options, probes.len())?;
    }
    let name = stage.name.clone();
    let aim = match (&options.url, options.without) {
        (Some(url), _) => AttackTarget::At { stage: stage.number, url: url.clone() },
        (None, Some(wall)) => AttackTarget::Without { stage, wall },
        (None, None) => AttackTarget::Stage(stage),
    };
    let bar = progress::bar(probes.len(), &name);
    let verdicts = run_probes::run(&aim, &probes, &bar).await;
    bar.finish_and_clear();
    tell(&options, &probes, &verdicts?)
}

/// The probes that were asked for.
fn chosen(options: &Options) -> Result<Vec<Probe>> {
    let group = options.group.as_deref().map(Group::parse).transpose();
    let group = group.map_err(|error| anyhow::anyhow!("--group {error}"))?;
    let mut probes = probe::all()?;
    probes.retain(|probe| {
        let header = &probe.header;
        group.is_none_or(|group| header.group() == group)
            && options.probe.as_ref().is_none_or(|id| header.id == *id)
    });
    if probes.is_empty() {
        bail!("no probe is called that; they lie in {}", probe::dir().display());
    }
    Ok(probes)
}

/// Says what is about to happen on an open stage, and waits for a yes.
fn agree(options: &Options, count: usize) -> Result<()> {
    let stage = options.stage;
    let what = if options.url.is_some() {
        format!(
            "Stage {stage} runs programs with all the rights of whoever started it, and this one\n\
             was not started by the ladder. Of {count} probes, those that only read and connect\n\
             will run there, on the open host. They change nothing, and talk to this machine only."
        )
    } else {
        format!(
            "Stage {stage} runs programs with all the rights of whoever started it. {count} hostile\n\
             programs are about to try what that is good for: read secrets, kill everything, fill\n\
             memory and disk. The stage is started inside walls of the ladder's own (a throw-away\n\
             file system, its own processes and network, limits), which keep these probes from\n\
             this machine. They would not keep a stranger's."
        )
    };
    if options.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!("{what}\nNobody is here to agree to that; say --yes to go on");
    }
    eprint!("{what}\nGo on? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        bail!("not attacked");
    }
    Ok(())
}

fn tell(options: &Options, probes: &[Probe], verdicts: &Verdicts) -> Result<Status> {
    let exceptions = Expectations::load()?;
    let mut lines = Vec::new();
    let mut kept = true;
    for probe in probes {
        let id = probe.header.id.as_str();
        let Some(verdict) = verdicts.get(id) else { bail!("{id} got no verdict") };
        let promised = exceptions.contains(&probe.header, options.stage);
        kept &= match verdict {
            Verdict::Escaped => !promised,
            Verdict::Error(_) => false,
            Verdict::Contained(_) | Verdict::NotApplicable(_) => true,
        };
        lines.push(Line { probe: id, verdict, promised });
    }
    if options.json {
        report::json(&lines)?;
    } else {
        table(&lines);
    }
    Ok(Status::of(kept))
}

fn table(lines: &[Line<'_>]) {
    let mut table = report::words(["probe", "verdict", "by"]);
    if let Some(ids) = table.column_mut(0) {
        ids.set_constraint(ColumnConstraint::ContentWidth);
    }
    let broken = |line: &Line<'_>| line.promised && *line.verdict == Verdict::Escaped;
    for line in lines {
        let marker = if broken(line) { " (!)" } else { "" };
        let word = format!("{}{marker}", line.verdict.word());
        let detail = line.verdict.detail().unwrap_or_default();
        table.add_row([line.probe.into(), report::painted(&word, line.verdict), detail.into()]);
    }
    println!("{table}\n");
    if lines.iter().any(broken) {
        println!("(!) this stage is expected to contain it");
    }
    let count = |word| lines.iter().filter(|line| line.verdict.word() == word).count();
    let counts =
        ["escaped", "contained", "n/a", "error"].map(|word| format!("{} {word}", count(word)));
    println!("{} probes: {}", lines.len(), counts.join(", "));
}
