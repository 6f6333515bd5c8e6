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
mod listener;
mod pair;
mod result;
mod sampler;

use anyhow::Result;

use crate::probe::{Evidence, Probe};
use crate::range::Range;
use crate::verdict::Verdict;

/// Fires `probe` at the stage on this range, and judges.
///
/// # Errors
///
/// When the harness or the server could not do its part. That is never a verdict on the stage.
pub async fn fire(probe: &Probe, range: &Range) -> Result<Verdict> {
    match &probe.header.evidence {
        Evidence::CanaryFile => canary::file(probe, range).await,
        Evidence::CanaryEnv => canary::environment(probe, range).await,
        Evidence::CanaryProcess => canary::process(probe, range).await,
        Evidence::CanaryService => canary::service(probe, range).await,
        Evidence::CanaryFact(fact) => canary::fact(probe, range, *fact).await,
        Evidence::Listener(net) => listener::reached(probe, range, *net).await,
        Evidence::ConnectBack => listener::connect_back(probe, range).await,
        Evidence::FileAppears => effect::file_appears(probe, range).await,
        Evidence::FileChanged => effect::file_changed(probe, range).await,
        Evidence::Survivor => effect::survivor(probe, range).await,
        Evidence::ServerDies => effect::server_dies(probe, range).await,
        Evidence::Grows(resource, amount) => growth::grows(probe, range, *resource, *amount).await,
        Evidence::Kernel => kernel::answered(probe, range).await,
        Evidence::Pair(order) => pair::passed(probe, range, *order).await,
        Evidence::Result { field, value } => result::says(probe, range, field, value).await,
        Evidence::Grade => grade::deceived(probe, range).await,
    }
}
