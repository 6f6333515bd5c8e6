//! How an escape is observed.
//!
//! Each kind of evidence prepares something in the host environment, gives the probe its constants,
//! runs it, and observes the effect from outside. The output of the probe is trusted in two things
//! only: that it ran, and which error stopped it ([`crate::attack::probe::report`]). The verdict is
//! computed by a pure function, with a unit test for both results, `escaped` and `contained`.

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

/// A program to run, and its time limit in seconds.
#[derive(Debug, Clone, Copy)]
struct ProbeRun<'a> {
    code: &'a str,
    seconds: u16,
}

/// Runs `probe` against the stage of this testbed, and returns the verdict.
///
/// # Errors
///
/// When the ladder or the server failed. That is never a verdict on the stage.
pub async fn run(probe: &Probe, testbed: &Testbed) -> Result<Verdict> {
    if let Body::Http(attack) = &probe.body {
        return attack(testbed).await;
    }
    let Some(code) = probe.program(testbed.language()) else {
        return Ok(Verdict::NotApplicable("no program in the language of the environment"));
    };
    let program = ProbeRun { code, seconds: probe.header.seconds };
    match &probe.header.evidence {
        Evidence::CanaryFile => canary::file(program, testbed).await,
        Evidence::CanaryEnv => canary::environment(program, testbed).await,
        Evidence::CanaryProcess => canary::process(program, testbed).await,
        Evidence::CanaryService => canary::service(program, testbed).await,
        Evidence::CanaryHome => canary::home(program, testbed).await,
        Evidence::CanaryDescriptor => canary::descriptor(program, testbed).await,
        Evidence::CanaryEvaluation => canary::evaluation(program, testbed).await,
        Evidence::CanaryFact(fact) => canary::fact(program, testbed, *fact).await,
        Evidence::Listener(net) => listener::reached(program, testbed, *net).await,
        Evidence::ConnectBack => listener::connect_back(program, testbed).await,
        Evidence::FileAppears(dir) => effect::file_appears(program, testbed, dir.as_deref()).await,
        Evidence::FileChanged => effect::file_changed(program, testbed).await,
        Evidence::Survivor => effect::survivor(program, testbed).await,
        Evidence::ServerDies => effect::server_dies(program, testbed).await,
        Evidence::Grows(resource, amount) => {
            growth::grows(program, testbed, *resource, *amount).await
        }
        Evidence::Late(seconds) => timeout::late(program, testbed, *seconds).await,
        Evidence::Kernel => kernel::answered(program, testbed).await,
        Evidence::Pair(order) => pair::passed(program, testbed, *order).await,
        Evidence::Result { field, value } => result::says(program, testbed, field, value).await,
        Evidence::Grade => grade::deceived(program, testbed).await,
        Evidence::Resubmits => effect::resubmits(program, testbed).await,
        Evidence::Http => {
            bail!("evidence `http` is for the probes in tests/src/attack/http_attacks")
        }
    }
}
