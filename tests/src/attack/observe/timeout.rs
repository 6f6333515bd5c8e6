//! A program that must not keep its evaluation open: the duration of the request, by the ladder's clock, beside that of
//! an ordinary program at the same time.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::ProbeRun;
use crate::attack::probe::program::Values;
use crate::attack::probe::report::Run;
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};

/// The time limit of an ordinary program.
const ORDINARY_SECONDS: u16 = 25;
/// What an ordinary program takes on a busy machine is added to the limit, so many times: a probe that is ended needs a
/// sandbox, and its end, as that does.
const ORDINARY_TIMES: u32 = 4;

pub(super) async fn late(
    program: ProbeRun<'_>,
    testbed: &Testbed,
    seconds: u64,
) -> Result<Verdict> {
    let before = ordinary(testbed).await?;
    let started = Instant::now();
    let run = testbed.run(program.code, &Values::default(), program.seconds).await?;
    let took = started.elapsed();
    let ordinary = before.max(ordinary(testbed).await?);
    Ok(judge(&run, took, Duration::from_secs(seconds) + ordinary * ORDINARY_TIMES))
}

/// How long a program takes that ends at once.
async fn ordinary(testbed: &Testbed) -> Result<Duration> {
    let started = Instant::now();
    testbed.run_by_default("finished()", &Values::default(), ORDINARY_SECONDS).await?;
    Ok(started.elapsed())
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
