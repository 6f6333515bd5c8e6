//! A program that must not keep its evaluation open: the duration of the request, by the ladder's
//! clock.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::ProbeRun;
use crate::attack::probe::program::Values;
use crate::attack::probe::report::Run;
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};

pub(super) async fn late(
    program: ProbeRun<'_>,
    testbed: &Testbed,
    seconds: u64,
) -> Result<Verdict> {
    let started = Instant::now();
    let run = testbed.run(program.code, &Values::default(), program.seconds).await?;
    Ok(judge(&run, started.elapsed(), Duration::from_secs(seconds)))
}

fn judge(run: &Run, took: Duration, limit: Duration) -> Verdict {
    if took > limit { Verdict::Escaped } else { run.contained(By::NothingLeft) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::client::{Answer, Plain};

    #[test]
    fn the_clock_decides() {
        let plain = Plain { output: "@m finished -\n".to_owned(), error: String::new() };
        let run = Run::new(Answer::Plain(plain), "@m");
        let limit = Duration::from_secs(15);
        assert_eq!(judge(&run, Duration::from_secs(16), limit), Verdict::Escaped);
        let in_time = judge(&run, Duration::from_secs(2), limit);
        assert_eq!(in_time, Verdict::Contained(By::NothingLeft));
    }
}
