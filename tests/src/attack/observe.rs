//! How an escape is observed.
//!
//! Each kind of evidence lays something out on the ground, hands the probe what it may know of it,
//! runs it, and looks for itself at what happened. What the probe prints is believed in two things
//! only: that it ran, and what stopped it ([`crate::attack::probe::report`]). The judgement itself is a
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
mod timeout;

use anyhow::{Result, bail};

use crate::attack::probe::{Body, Evidence, Probe};
use crate::attack::testbed::Testbed;
use crate::attack::verdict::Verdict;

/// A program to fire, and the wall-clock time that it asks for, in seconds.
#[derive(Debug, Clone, Copy)]
struct ProbeRun<'a> {
    code: &'a str,
    seconds: u16,
}

/// Fires `probe` at the stage on this testbed, and judges.
///
/// # Errors
///
/// When the harness or the server could not do its part. That is never a verdict on the stage.
pub async fn run(probe: &Probe, testbed: &Testbed) -> Result<Verdict> {
    let code = match &probe.body {
        Body::Program(code) => code,
        Body::Http(attack) => return attack(testbed).await,
    };
    let run = ProbeRun { code, seconds: probe.header.seconds };
    match &probe.header.evidence {
        Evidence::CanaryFile => canary::file(run, testbed).await,
        Evidence::CanaryEnv => canary::environment(run, testbed).await,
        Evidence::CanaryProcess => canary::process(run, testbed).await,
        Evidence::CanaryService => canary::service(run, testbed).await,
        Evidence::CanaryHome => canary::home(run, testbed).await,
        Evidence::CanaryDescriptor => canary::descriptor(run, testbed).await,
        Evidence::CanaryEvaluation => canary::evaluation(run, testbed).await,
        Evidence::CanaryFact(fact) => canary::fact(run, testbed, *fact).await,
        Evidence::Listener(net) => listener::reached(run, testbed, *net).await,
        Evidence::ConnectBack => listener::connect_back(run, testbed).await,
        Evidence::FileAppears(dir) => effect::file_appears(run, testbed, dir.as_deref()).await,
        Evidence::FileChanged => effect::file_changed(run, testbed).await,
        Evidence::Survivor => effect::survivor(run, testbed).await,
        Evidence::ServerDies => effect::server_dies(run, testbed).await,
        Evidence::Grows(resource, amount) => growth::grows(run, testbed, *resource, *amount).await,
        Evidence::Late(seconds) => timeout::late(run, testbed, *seconds).await,
        Evidence::Kernel => kernel::answered(run, testbed).await,
        Evidence::Pair(order) => pair::passed(run, testbed, *order).await,
        Evidence::Result { field, value } => result::says(run, testbed, field, value).await,
        Evidence::Grade => grade::deceived(run, testbed).await,
        Evidence::Resubmits => effect::resubmits(run, testbed).await,
        Evidence::Http => bail!("evidence `http` is for the probes in tests/src/platform"),
    }
}
