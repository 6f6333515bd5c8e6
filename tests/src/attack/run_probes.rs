//! All probes at one stage: many at once where they allow it, the others one after the other.

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
use crate::attack::observe;
use crate::attack::probe::header::FIRST_SANDBOXED;
use crate::attack::probe::{Evidence, Host, Probe, Resource};
use crate::attack::testbed::Testbed;
use crate::attack::verdict::Verdict;
use crate::support::stages::Stage;

/// How many probes are under way at one moment. Some run two programs.
const MAX_CONCURRENT: usize = 5;
/// How many cells there are at one moment for probes that want one to themselves.
const CELLS: usize = 3;
/// No probe takes longer, whatever happens to it.
const DEADLINE: Duration = Duration::from_mins(2);

/// What became of each probe, by its id.
pub type Verdicts = BTreeMap<String, Verdict>;

/// What to shoot at.
#[derive(Debug, Clone)]
pub enum AttackTarget {
    /// A stage that is started for this.
    Stage(Stage),
    /// The same, with a wall of its containers taken down once it runs.
    Without {
        /// The stage.
        stage: Stage,
        /// The wall.
        wall: Control,
    },
    /// One that runs already.
    At {
        /// Its number.
        stage: u16,
        /// Where it listens.
        url: String,
    },
}

impl AttackTarget {
    async fn open(&self) -> Result<Testbed> {
        match self {
            Self::Stage(stage) => Testbed::open(stage).await,
            Self::Without { stage, wall } => Testbed::without(stage, *wall).await,
            Self::At { stage, url } => Testbed::at(*stage, url),
        }
    }

    fn stage(&self) -> u16 {
        match self {
            Self::Stage(stage) | Self::Without { stage, .. } => stage.number,
            Self::At { stage, .. } => *stage,
        }
    }

    /// Whether the ground is a cell: then there can be as many of them as one likes.
    fn in_cells(&self) -> bool {
        matches!(self, Self::Stage(_)) && self.stage() < FIRST_SANDBOXED
    }

    /// Whether a probe may be fired here at all.
    fn allows(&self, probe: &Probe) -> bool {
        match self {
            Self::Stage(_) | Self::Without { .. } => true,
            Self::At { stage, .. } => *stage >= FIRST_SANDBOXED || probe.header.host == Host::Safe,
        }
    }
}

/// Fires all of `probes`, and counts them on `bar`.
///
/// # Errors
///
/// When the stage does not start. A probe that could not be judged is an error of its own.
pub async fn run(aim: &AttackTarget, probes: &[Probe], bar: &ProgressBar) -> Result<Verdicts> {
    let (allowed, refused): (Vec<_>, Vec<_>) = probes.iter().partition(|probe| aim.allows(probe));
    let (measured, allowed): (Vec<_>, Vec<_>) =
        allowed.into_iter().partition(|probe| all_idle(probe));
    let (alone, together) = allowed.into_iter().partition(|probe| probe.header.alone);
    let mut verdicts: Verdicts = by_themselves(aim, measured, bar).await?;
    verdicts.extend(together_or_not(aim, together, bar).await?);
    verdicts.extend(by_themselves(aim, alone, bar).await?);
    for probe in refused {
        let why = "confined: it does not run on an open host";
        verdicts.insert(probe.header.id.clone(), Verdict::NotApplicable(why));
        bar.inc(1);
    }
    Ok(verdicts)
}

/// Many at once. A stage that runs one program at a time gets as many servers instead.
async fn together_or_not(
    aim: &AttackTarget,
    probes: Vec<&Probe>,
    bar: &ProgressBar,
) -> Result<Verdicts> {
    if probes.is_empty() {
        return Ok(Verdicts::new());
    }
    let servers = if aim.in_cells() && aim.stage() == 1 { MAX_CONCURRENT } else { 1 };
    let at_once = MAX_CONCURRENT / servers;
    let ranges = try_join_all((0..servers).map(|_| aim.open())).await?;
    let waiting = Mutex::new(probes.into_iter());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    let lanes = ranges.iter().flat_map(|testbed| std::iter::repeat_n(testbed, at_once));
    let lanes = lanes.map(|testbed| async {
        let mut verdicts = Verdicts::new();
        while let Some(probe) = next() {
            verdicts.insert(probe.header.id.clone(), judged(probe, testbed, bar).await);
        }
        verdicts
    });
    let verdicts = join_all(lanes).await.into_iter().flatten().collect();
    for testbed in ranges {
        testbed.close().await?;
    }
    Ok(verdicts)
}

/// One after the other; or each in a cell of its own, where the ground is one.
async fn by_themselves(
    aim: &AttackTarget,
    probes: Vec<&Probe>,
    bar: &ProgressBar,
) -> Result<Verdicts> {
    let mut verdicts = Verdicts::new();
    if aim.in_cells() {
        let cells = probes.into_iter().map(|probe| async move {
            let testbed = aim.open().await?;
            let verdict = judged(probe, &testbed, bar).await;
            testbed.close().await?;
            anyhow::Ok((probe.header.id.clone(), verdict))
        });
        let mut cells = futures_util::stream::iter(cells).buffer_unordered(CELLS);
        while let Some(verdict) = cells.next().await {
            verdicts.extend([verdict?]);
        }
    } else if !probes.is_empty() {
        let testbed = aim.open().await?;
        for probe in probes {
            verdicts.insert(probe.header.id.clone(), judged(probe, &testbed, bar).await);
        }
        testbed.close().await?;
    }
    Ok(verdicts)
}

/// Whether a probe needs processors that nobody else uses, on whichever stage: who gets no more than
/// one because the machine is busy looks contained.
fn all_idle(probe: &Probe) -> bool {
    matches!(probe.header.evidence, Evidence::Grows(Resource::Cpu, _))
}

/// Held by all who use the machine, and by nobody else while somebody needs all of it.
static EXCLUSIVE_CPU: RwLock<()> = RwLock::const_new(());

async fn judged(probe: &Probe, testbed: &Testbed, bar: &ProgressBar) -> Verdict {
    let (mut _shared, mut _whole) = (None, None);
    if all_idle(probe) {
        _whole = Some(EXCLUSIVE_CPU.write().await);
    } else {
        _shared = Some(EXCLUSIVE_CPU.read().await);
    }
    bar.set_message(probe.header.id.clone());
    let verdict = match timeout(DEADLINE, observe::run(probe, testbed)).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) => Verdict::Error(format!("{error:#}")),
        Err(_) => Verdict::Error(format!("no verdict within {} s", DEADLINE.as_secs())),
    };
    bar.inc(1);
    verdict
}
