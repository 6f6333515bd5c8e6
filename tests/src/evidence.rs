//! How an escape is observed.
//!
//! Each kind of evidence lays something out on the ground, hands the probe what it may know of it,
//! runs it, and looks for itself at what happened. What the probe prints is believed in two things
//! only: that it ran, and what stopped it ([`crate::probe::report`]). The judgement itself is a
//! plain function, which a unit test shows to be able to say `escaped` and `contained`.

mod canary;
mod effect;
mod grade;
mod growth;
mod kernel;
mod late;
mod listener;
mod pair;
mod result;
mod sampler;

use anyhow::{Result, bail};

use crate::probe::{Body, Evidence, Probe};
use crate::range::Range;
use crate::verdict::Verdict;

/// A program to fire, and the wall-clock time that it asks for, in seconds.
#[derive(Debug, Clone, Copy)]
struct Shot<'a> {
    code: &'a str,
    seconds: u16,
}

/// Fires `probe` at the stage on this range, and judges.
///
/// # Errors
///
/// When the harness or the server could not do its part. That is never a verdict on the stage.
pub async fn fire(probe: &Probe, range: &Range) -> Result<Verdict> {
    let code = match &probe.body {
        Body::Program(code) => code,
        Body::Http(attack) => return attack(range).await,
    };
    let shot = Shot { code, seconds: probe.header.seconds };
    match &probe.header.evidence {
        Evidence::CanaryFile => canary::file(shot, range).await,
        Evidence::CanaryEnv => canary::environment(shot, range).await,
        Evidence::CanaryProcess => canary::process(shot, range).await,
        Evidence::CanaryService => canary::service(shot, range).await,
        Evidence::CanaryHome => canary::home(shot, range).await,
        Evidence::CanaryDescriptor => canary::descriptor(shot, range).await,
        Evidence::CanaryEvaluation => canary::evaluation(shot, range).await,
        Evidence::CanaryFact(fact) => canary::fact(shot, range, *fact).await,
        Evidence::Listener(net) => listener::reached(shot, range, *net).await,
        Evidence::ConnectBack => listener::connect_back(shot, range).await,
        Evidence::FileAppears(folder) => effect::file_appears(shot, range, folder.as_deref()).await,
        Evidence::FileChanged => effect::file_changed(shot, range).await,
        Evidence::Survivor => effect::survivor(shot, range).await,
        Evidence::ServerDies => effect::server_dies(shot, range).await,
        Evidence::Grows(resource, amount) => growth::grows(shot, range, *resource, *amount).await,
        Evidence::Late(seconds) => late::late(shot, range, *seconds).await,
        Evidence::Kernel => kernel::answered(shot, range).await,
        Evidence::Pair(order) => pair::passed(shot, range, *order).await,
        Evidence::Result { field, value } => result::says(shot, range, field, value).await,
        Evidence::Grade => grade::deceived(shot, range).await,
        Evidence::Resubmits => effect::resubmits(shot, range).await,
        Evidence::Http => bail!("evidence `http` is for the probes in tests/src/platform"),
    }
}
