//! The probes as root, each in an execution of a sandbox that stays: nothing of the host is reached that a program
//! of an evaluation does not reach.
//!
//! Root inside is gVisor's, not the host's. A probe that is contained as a user without rights may be contained by
//! those rights alone; here it has all that a sandbox can give.

use indicatif::ProgressBar;
use ladder::attack::expectations::Expectations;
use ladder::attack::probe::{self, Evidence, Language, Probe};
use ladder::attack::run_probes::{self, AttackTarget};
use ladder::attack::verdict::Verdict;
use ladder::support::stages;

/// The first stage with sandboxes that stay.
const STAGE: u16 = 9;

/// Whether a probe attacks what is around a sandbox, and needs no evaluation for that.
fn attacks_the_host(probe: &Probe) -> bool {
    let needs_an_evaluation = matches!(
        probe.header.evidence,
        Evidence::Http
            | Evidence::Result { .. }
            | Evidence::Grade
            | Evidence::CanaryEvaluation
            | Evidence::Resubmits
            | Evidence::Late(_)
            | Evidence::Pair(_)
    );
    !needs_an_evaluation && probe.program(Language::Python).is_some()
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_no_probe_that_is_root_in_a_sandbox_that_stays_reaches_the_host() {
    let stage = stages::find(STAGE).unwrap();
    super::environments::build("agent").await;
    let mut probes = probe::all().unwrap();
    probes.retain(attacks_the_host);
    assert!(probes.len() > 60, "{} probes", probes.len());
    let target = AttackTarget::Kept(stage);
    let verdicts = run_probes::run(&target, &probes, &ProgressBar::hidden()).await.unwrap();
    let gaps = Expectations::load().unwrap().known_gaps;
    let is_known = |id: &str| gaps.iter().any(|gap| gap.probe == id && gap.on(STAGE));
    let problems: Vec<_> = verdicts
        .iter()
        .filter_map(|(id, verdict)| match verdict {
            Verdict::Escaped if !is_known(id) => Some(format!("{id} escapes")),
            Verdict::Error(error) => Some(format!("{id}: {error}")),
            _ => None,
        })
        .collect();
    let contained = verdicts.values().filter(|verdict| matches!(verdict, Verdict::Contained(_)));
    eprintln!("{} of {} contained", contained.count(), verdicts.len());
    assert!(problems.is_empty(), "{problems:#?}");
}
