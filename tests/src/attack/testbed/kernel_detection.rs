//! Whose kernel runs the programs of a stage: seen from outside, not asked.

use std::time::Duration;

use anyhow::{Result, bail};

use super::Testbed;
use crate::attack::probe::program::{Values, canary};
use crate::attack::probe::report::ProbeReport;

/// Gives itself a name, and is there for some time: a busy machine must not look like gVisor. A name
/// has 15 bytes.
const PROGRAM: &str = "\
import time
_LIBC.prctl(15, NAME.encode(), 0, 0, 0)
time.sleep(4)
finished()
";

/// Whether a process of the program's name is one of the ground's.
pub(super) async fn seen(testbed: &Testbed) -> Result<bool> {
    let name = canary()[..15].to_owned();
    let values = Values::default().with("NAME", name.clone());
    let running = testbed.fire(PROGRAM, &values, 20);
    tokio::pin!(running);
    let mut seen = false;
    let run = loop {
        tokio::select! {
            run = &mut running => break run?,
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                seen |= testbed.ground.processes().iter().any(|process| process.name == name);
            }
        }
    };
    if run.account != Some(ProbeReport::Finished) {
        bail!("cannot tell whose kernel runs programs: {}", run.answer.summary());
    }
    Ok(seen)
}
