//! All probes at one stage: many at once where they allow it, the others one after the other.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt as _;
use indicatif::ProgressBar;
use tokio::time::timeout;

use crate::evidence;
use crate::probe::header::FIRST_WALLED;
use crate::probe::{Host, Probe};
use crate::range::Range;
use crate::stages::Stage;
use crate::verdict::Verdict;

/// How many probes are under way at one moment. The stage has four workers.
const AT_ONCE: usize = 6;
/// No probe takes longer, whatever happens to it.
const DEADLINE: Duration = Duration::from_mins(2);

/// What became of each probe, by its id.
pub type Verdicts = BTreeMap<String, Verdict>;

/// What to shoot at.
#[derive(Debug, Clone)]
pub enum Aim {
    /// A stage that is started for this.
    Stage(Stage),
    /// One that runs already.
    At {
        /// Its number.
        stage: u16,
        /// Where it listens.
        url: String,
    },
}

impl Aim {
    async fn open(&self) -> Result<Range> {
        match self {
            Self::Stage(stage) => Range::open(stage).await,
            Self::At { stage, url } => Range::at(*stage, url),
        }
    }

    /// Whether a probe may be fired here at all.
    fn allows(&self, probe: &Probe) -> bool {
        match self {
            Self::Stage(_) => true,
            Self::At { stage, .. } => *stage >= FIRST_WALLED || probe.header.host == Host::Safe,
        }
    }
}

/// Fires all of `probes`, and counts them on `bar`.
///
/// # Errors
///
/// When the stage does not start. A probe that could not be judged is an error of its own.
pub async fn fire(aim: &Aim, probes: &[Probe], bar: &ProgressBar) -> Result<Verdicts> {
    let mut verdicts = Verdicts::new();
    let (alone, together): (Vec<_>, Vec<_>) = probes
        .iter()
        .filter(|probe| {
            let allowed = aim.allows(probe);
            if !allowed {
                let why = "confined: it does not run on an open host";
                verdicts.insert(probe.header.id.clone(), Verdict::NotApplicable(why));
                bar.inc(1);
            }
            allowed
        })
        .partition(|probe| probe.header.alone);
    let mut range = aim.open().await?;
    {
        let range = &range;
        let mut under_way = futures_util::stream::iter(together)
            .map(|probe| async move { (&probe.header.id, judged(probe, range).await) })
            .buffer_unordered(AT_ONCE);
        while let Some((id, verdict)) = under_way.next().await {
            bar.set_message(id.clone());
            bar.inc(1);
            verdicts.insert(id.clone(), verdict);
        }
    }
    for probe in alone {
        bar.set_message(probe.header.id.clone());
        let verdict = judged(probe, &range).await;
        bar.inc(1);
        if verdict == Verdict::Escaped && range.ground.is_cell() {
            // It had the place to itself, and may have left it in any state.
            drop(range.close().await);
            range = aim.open().await?;
        }
        verdicts.insert(probe.header.id.clone(), verdict);
    }
    range.close().await?;
    Ok(verdicts)
}

async fn judged(probe: &Probe, range: &Range) -> Verdict {
    match timeout(DEADLINE, evidence::fire(probe, range)).await {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(fault)) => Verdict::Error(format!("{fault:#}")),
        Err(_) => Verdict::Error(format!("no verdict within {} s", DEADLINE.as_secs())),
    }
}
