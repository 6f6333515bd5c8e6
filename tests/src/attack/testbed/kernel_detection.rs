//! Which kernel runs the programs of a stage: the host's or gVisor's, as observed from outside.

use std::time::Duration;

use anyhow::{Result, bail};

use super::Testbed;
use crate::attack::probe::program::{Values, canary};
use crate::attack::probe::report::ProbeReport;

/// In Python, which the default environment of every stage has: the kernel is the same in all of them. Names
/// itself (with at most 15 bytes) and stays for some time: a busy machine must not look like
/// gVisor.
const PROGRAM: &str = "\
import time
_LIBC.prctl(15, NAME.encode(), 0, 0, 0)
time.sleep(4)
finished()
";

/// Whether the host environment has a process with the program's name.
pub(super) async fn seen(testbed: &Testbed) -> Result<bool> {
    let name = canary()[..15].to_owned();
    let values = Values::default().with("NAME", name.clone());
    let running = testbed.run_by_default(PROGRAM, &values, 20);
    tokio::pin!(running);
    let mut seen = false;
    let run = loop {
        tokio::select! {
            run = &mut running => break run?,
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                seen |= testbed.host.processes().iter().any(|process| process.name == name);
            }
        }
    };
    if run.account != Some(ProbeReport::Finished) {
        bail!("cannot detect which kernel runs programs: {}", run.answer.summary());
    }
    Ok(seen)
}
