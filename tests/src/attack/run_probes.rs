//! All probes against one stage: many at the same time where they allow it, the others one by one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt as _;
use futures_util::future::{join_all, try_join_all};
use indicatif::ProgressBar;
use tokio::sync::RwLock;
use tokio::time::timeout;

use crate::attack::fault_injection::Control;
use crate::attack::fault_injection::runsc::RunscControl;
use crate::attack::observe;
use crate::attack::probe::header::FIRST_SANDBOXED;
use crate::attack::probe::{Evidence, Host, Probe, Resource};
use crate::attack::testbed::Testbed;
use crate::attack::verdict::Verdict;
use crate::support::stages::Stage;

/// How many probes run at the same time. Some run two programs.
const MAX_CONCURRENT: usize = 5;
/// How many jails exist at the same time, for probes that each need their own.
const MAX_JAILS: usize = 3;
/// After this time a probe has no verdict.
const PROBE_TIMEOUT: Duration = Duration::from_mins(2);

/// The verdict on each probe, by its id.
pub type Verdicts = BTreeMap<String, Verdict>;

/// What is attacked.
#[derive(Debug, Clone)]
pub enum AttackTarget {
    /// A stage that is started for the attack.
    Stage(Stage),
    /// The same, with what the probes run in.
    In {
        /// The stage.
        stage: Stage,
        /// The name of the environment.
        environment: String,
    },
    /// The same, whose probes are executed by root in sandboxes that stay.
    Kept(Stage),
    /// The same, with a control of its containers disabled after its start.
    Without {
        /// The stage.
        stage: Stage,
        /// The control.
        control: Control,
    },
    /// The same, with a control of its sandboxes left out that it drives runsc for.
    WithoutRunscControl {
        /// The stage.
        stage: Stage,
        /// The control.
        control: RunscControl,
    },
    /// A server that already runs.
    At {
        /// The number of its stage.
        stage: u16,
        /// Its URL.
        url: String,
        /// What the probes run in, if that is not the default.
        environment: Option<String>,
    },
}

impl AttackTarget {
    async fn open(&self) -> Result<Testbed> {
        match self {
            Self::Stage(stage) => Testbed::open(stage).await,
            Self::Kept(stage) => Ok(Testbed::open(stage).await?.as_root_in_kept_sandboxes()),
            Self::Without { stage, control } => Testbed::without(stage, *control).await,
            Self::WithoutRunscControl { stage, control } => {
                Testbed::without_runsc(stage, *control).await
            }
            Self::In { stage, environment } => {
                Testbed::open(stage).await?.in_environment(environment).await
            }
            Self::At { stage, url, environment: None } => Testbed::at(*stage, url),
            Self::At { stage, url, environment: Some(environment) } => {
                Testbed::at(*stage, url)?.in_environment(environment).await
            }
        }
    }

    fn stage(&self) -> u16 {
        match self {
            Self::Stage(stage)
            | Self::Kept(stage)
            | Self::In { stage, .. }
            | Self::Without { stage, .. }
            | Self::WithoutRunscControl { stage, .. } => stage.number,
            Self::At { stage, .. } => *stage,
        }
    }

    /// Whether the stage runs in a jail, of which there can be several.
    fn in_jails(&self) -> bool {
        matches!(self, Self::Stage(_)) && self.stage() < FIRST_SANDBOXED
    }

    /// Whether a probe may run on this target.
    fn allows(&self, probe: &Probe) -> bool {
        match self {
            Self::Stage(_)
            | Self::Kept(_)
            | Self::In { .. }
            | Self::Without { .. }
            | Self::WithoutRunscControl { .. } => true,
            Self::At { stage, .. } => *stage >= FIRST_SANDBOXED || probe.header.host == Host::Safe,
        }
    }
}

/// Runs all of `probes`, and counts them on `bar`.
///
/// # Errors
///
/// When the stage does not start. A probe without a verdict is [`Verdict::Error`].
pub async fn run(target: &AttackTarget, probes: &[Probe], bar: &ProgressBar) -> Result<Verdicts> {
    let (allowed, refused): (Vec<_>, Vec<_>) =
        probes.iter().partition(|probe| target.allows(probe));
    let (measured, allowed): (Vec<_>, Vec<_>) =
        allowed.into_iter().partition(|probe| needs_idle_machine(probe, target.stage()));
    let (alone, together) = allowed.into_iter().partition(|probe| probe.header.alone);
    let mut verdicts: Verdicts = run_alone(target, measured, bar).await?;
    verdicts.extend(run_concurrently(target, together, bar).await?);
    verdicts.extend(run_alone(target, alone, bar).await?);
    for probe in refused {
        let why = "confined: it does not run without a jail";
        verdicts.insert(probe.header.id.clone(), Verdict::NotApplicable(why));
        bar.inc(1);
    }
    Ok(verdicts)
}

/// Many at the same time. A stage that runs one program at a time gets several servers instead.
async fn run_concurrently(
    target: &AttackTarget,
    probes: Vec<&Probe>,
    bar: &ProgressBar,
) -> Result<Verdicts> {
    if probes.is_empty() {
        return Ok(Verdicts::new());
    }
    let servers = if target.in_jails() && target.stage() == 1 { MAX_CONCURRENT } else { 1 };
    let concurrent = MAX_CONCURRENT / servers;
    let testbeds = try_join_all((0..servers).map(|_| target.open())).await?;
    let waiting = Mutex::new(probes.into_iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let lanes = testbeds.iter().flat_map(|testbed| std::iter::repeat_n(testbed, concurrent));
    let lanes = lanes.map(|testbed| async {
        let mut verdicts = Verdicts::new();
        while let Some(probe) = next() {
            verdicts.insert(probe.header.id.clone(), verdict_on(probe, testbed, bar).await);
        }
        verdicts
    });
    let verdicts = join_all(lanes).await.into_iter().flatten().collect();
    for testbed in testbeds {
        testbed.close().await?;
    }
    Ok(verdicts)
}

/// One after the other, or each in its own jail.
async fn run_alone(
    target: &AttackTarget,
    probes: Vec<&Probe>,
    bar: &ProgressBar,
) -> Result<Verdicts> {
    let mut verdicts = Verdicts::new();
    if target.in_jails() {
        let jails = probes.into_iter().map(|probe| async move {
            let testbed = target.open().await?;
            let verdict = verdict_on(probe, &testbed, bar).await;
            testbed.close().await?;
            anyhow::Ok((probe.header.id.clone(), verdict))
        });
        let mut jails = futures_util::stream::iter(jails).buffer_unordered(MAX_JAILS);
        while let Some(verdict) = jails.next().await {
            verdicts.extend([verdict?]);
        }
    } else if !probes.is_empty() {
        let testbed = target.open().await?;
        for probe in probes {
            verdicts.insert(probe.header.id.clone(), verdict_on(probe, &testbed, bar).await);
        }
        testbed.close().await?;
    }
    Ok(verdicts)
}

/// The stage with a limit on memory that the host does not enforce exactly: Docker's limit on a sandbox of gVisor
/// has room for gVisor's kernel, and the stage ends a program before that, when it looks in time.
const SAMPLES_MEMORY: u16 = 5;

/// Whether a probe needs an idle machine. On a busy one, a probe for processors gets no more than one and looks
/// contained, and one for memory is ended late where nothing but the stage does so.
fn needs_idle_machine(probe: &Probe, stage: u16) -> bool {
    match probe.header.evidence {
        Evidence::Grows(Resource::Cpu, _) => true,
        Evidence::Grows(Resource::Memory, _) => stage == SAMPLES_MEMORY,
        _ => false,
    }
}

/// Read lock: normal probes, any number at a time. Write lock: one probe that needs an idle machine, and no
/// other. It covers all stages that are attacked at the same time.
static EXCLUSIVE: RwLock<()> = RwLock::const_new(());

async fn verdict_on(probe: &Probe, testbed: &Testbed, bar: &ProgressBar) -> Verdict {
    let (mut _shared, mut _whole) = (None, None);
    if needs_idle_machine(probe, testbed.stage) {
        _whole = Some(EXCLUSIVE.write().await);
    } else {
        _shared = Some(EXCLUSIVE.read().await);
    }
    bar.set_message(probe.header.id.clone());
    let verdict = match timeout(PROBE_TIMEOUT, observe::run(probe, testbed)).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) => Verdict::Error(format!("{error:#}")),
        Err(_) => Verdict::Error(format!("no verdict within {} s", PROBE_TIMEOUT.as_secs())),
    };
    bar.inc(1);
    verdict
}
