//! `ladder attack`: all probes against one stage, with the verdict on each.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use comfy_table::ColumnConstraint;
use serde::Serialize;

use crate::attack::expectations::Expectations;
use crate::attack::fault_injection::Control;
use crate::attack::fault_injection::runsc::RunscControl;
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
    /// Run the probes in this environment of the server, those that are written in its language
    #[arg(long, value_name = "NAME", conflicts_with_all = ["without", "without_runsc"])]
    environment: Option<String>,
    /// Disable this control of the stage's containers, to see which probes it stops
    #[arg(long, value_name = "CONTROL", value_enum, conflicts_with = "url")]
    without: Option<Control>,
    /// Leave this control out of the sandboxes of a stage that drives runsc, to see which probes it stops
    #[arg(long, value_name = "CONTROL", value_enum, conflicts_with_all = ["url", "without"])]
    without_runsc: Option<RunscControl>,
    /// Only the probes of this group
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Only this probe
    #[arg(long, value_name = "ID")]
    probe: Option<String>,
    /// Do not ask for confirmation before a stage without a sandbox is attacked
    #[arg(long, short)]
    yes: bool,
    /// Print the verdicts as JSON
    #[arg(long)]
    json: bool,
    /// Write the verdicts to this file as JSON as well
    #[arg(long, value_name = "FILE", env = "CRUCIBLE_LADDER_REPORT")]
    report: Option<PathBuf>,
}

/// One line of the report.
#[derive(Debug, Serialize)]
struct Line<'a> {
    probe: &'a str,
    #[serde(flatten)]
    verdict: &'a Verdict,
    /// Whether this stage is expected to contain it.
    must_contain: bool,
}

/// Runs the probes and prints their verdicts.
///
/// # Errors
///
/// When there is no such stage or probe, the attack was not confirmed, or the stage does not start.
pub async fn run(options: Options) -> Result<Status> {
    let probes = selected(&options)?;
    if options.stage < FIRST_SANDBOXED {
        confirm(&options, probes.len())?;
    }
    let (name, target) = target(&options)?;
    let bar = progress::bar(probes.len(), &name);
    let verdicts = run_probes::run(&target, &probes, &bar).await;
    bar.finish_and_clear();
    report_verdicts(&options, &probes, &verdicts?)
}

/// What is attacked, and its name. A server that runs is no package of this workspace: the ladder needs no
/// cargo for it, which its user may not be able to start.
fn target(options: &Options) -> Result<(String, AttackTarget)> {
    if let Some(url) = &options.url {
        let target = AttackTarget::At {
            stage: options.stage,
            url: url.clone(),
            environment: options.environment.clone(),
        };
        return Ok((format!("stage {}", options.stage), target));
    }
    let stage = stages::find(options.stage)?;
    let name = stage.name.clone();
    let target = match (options.without, options.without_runsc) {
        (None, None) if let Some(environment) = options.environment.clone() => {
            AttackTarget::In { stage, environment }
        }
        (Some(control), _) => AttackTarget::Without { stage, control },
        (None, Some(control)) => AttackTarget::WithoutRunscControl { stage, control },
        (None, None) => AttackTarget::Stage(stage),
    };
    Ok((name, target))
}

/// The selected probes.
fn selected(options: &Options) -> Result<Vec<Probe>> {
    let group = options.group.as_deref().map(Group::parse).transpose();
    let group = group.map_err(|error| anyhow::anyhow!("--group {error}"))?;
    let mut probes = probe::all()?;
    probes.retain(|probe| {
        let header = &probe.header;
        group.is_none_or(|group| header.group() == group)
            && options.probe.as_ref().is_none_or(|id| header.id == *id)
    });
    if probes.is_empty() {
        bail!("there is no such probe; they are in {}", probe::dir().display());
    }
    Ok(probes)
}

/// Describes what is about to happen on a stage without a sandbox, and asks for confirmation.
fn confirm(options: &Options, count: usize) -> Result<()> {
    let stage = options.stage;
    let what = if options.url.is_some() {
        format!(
            "Stage {stage} runs programs with all rights of the user that started it, and this server\n\
             was not started by the ladder. Of {count} probes, those that only read and connect\n\
             will run there, on the host itself. They change nothing, and connect to this machine\n\
             only."
        )
    } else {
        format!(
            "Stage {stage} runs programs with all rights of the user that started it. {count} hostile\n\
             programs will use them: read secrets, kill all processes, fill memory and disk. The\n\
             ladder starts the stage in a jail of its own (a temporary file system, separate\n\
             processes and network, limits), which protects this machine from these probes, but\n\
             not from programs that were written to break out of it."
        )
    };
    if options.yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        bail!("{what}\nThere is no terminal to confirm that on; pass --yes to continue");
    }
    eprint!("{what}\nContinue? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        bail!("not attacked");
    }
    Ok(())
}

fn report_verdicts(options: &Options, probes: &[Probe], verdicts: &Verdicts) -> Result<Status> {
    let exceptions = Expectations::load()?;
    let mut lines = Vec::new();
    let mut passed = true;
    for probe in probes {
        let id = probe.header.id.as_str();
        let Some(verdict) = verdicts.get(id) else { bail!("{id} has no verdict") };
        let must_contain = exceptions.must_contain(&probe.header, options.stage);
        passed &= match verdict {
            Verdict::Escaped => !must_contain,
            Verdict::Error(_) => false,
            Verdict::Contained(_) | Verdict::NotApplicable(_) => true,
        };
        lines.push(Line { probe: id, verdict, must_contain });
    }
    if let Some(path) = &options.report {
        let written = std::fs::write(path, serde_json::to_vec(&lines)?);
        written.with_context(|| format!("cannot write {}", path.display()))?;
    }
    if options.json {
        report::json(&lines)?;
    } else {
        table(&lines);
    }
    Ok(Status::of(passed))
}

fn table(lines: &[Line<'_>]) {
    let mut table = report::words(["probe", "verdict", "by"]);
    if let Some(ids) = table.column_mut(0) {
        ids.set_constraint(ColumnConstraint::ContentWidth);
    }
    let unexpected = |line: &Line<'_>| line.must_contain && *line.verdict == Verdict::Escaped;
    for line in lines {
        let marker = if unexpected(line) { " (!)" } else { "" };
        let word = format!("{}{marker}", line.verdict.word());
        let detail = line.verdict.detail().unwrap_or_default();
        table.add_row([line.probe.into(), report::painted(&word, line.verdict), detail.into()]);
    }
    println!("{table}\n");
    if lines.iter().any(unexpected) {
        println!("(!) this stage has to contain it");
    }
    let count = |word| lines.iter().filter(|line| line.verdict.word() == word).count();
    let counts =
        ["escaped", "contained", "n/a", "error"].map(|word| format!("{} {word}", count(word)));
    println!("{} probes: {}", lines.len(), counts.join(", "));
}
