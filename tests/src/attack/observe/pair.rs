//! Two programs that try to pass a message from one evaluation to another.
//!
//! The first knows the secret, because it is its own. The second knows only where to look. The
//! probe has escaped when the secret is in the second one's output.
//!
//! Two that are to run at the same time have to meet: the first reports that it is ready, which is when
//! the second is submitted, and holds what it has until the second has ended and the ladder cancels it. When the first ended before that, the
//! two have not met, and are run again.

use anyhow::{Context as _, Result, bail};

use super::ProbeRun;
use crate::attack::probe::Order;
use crate::attack::probe::program::{Values, canary, split_pair};
use crate::attack::probe::report::{ProbeReport, Run};
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};

/// How often two programs that have not met are run again.
const MAX_MEETINGS: usize = 3;

pub(super) async fn passed(
    program: ProbeRun<'_>,
    testbed: &Testbed,
    order: Order,
) -> Result<Verdict> {
    let (sender, receiver) = split_pair(testbed.language(), program.code)
        .context("a pair has a line `# --- second program ---`")?;
    if order == Order::Together && testbed.stage == 1 {
        return Ok(Verdict::NotApplicable("this stage runs one program at a time"));
    }
    let secret = canary();
    let place = canary();
    // Also as a number, for objects that have keys instead of names; random.
    let number = u32::from_str_radix(&place[..7], 16)?;
    let values = Values::default().with("PLACE", place).with("NUMBER", number);
    let knowing = values.clone().with("SECRET", secret.clone());
    let seconds = program.seconds;
    if order == Order::After {
        let first = testbed.run(sender, &knowing, seconds).await?;
        let second = testbed.run(receiver, &values, seconds).await?;
        return judge(&first, &second, &secret);
    }
    for _ in 0..MAX_MEETINGS {
        let mut first = testbed.begin(sender, &knowing, seconds).await?;
        testbed.until_it_reports(&mut first).await?;
        let second = testbed.run(receiver, &values, seconds).await?;
        let (first, was_running) = testbed.end_now(first).await?;
        let was_stopped = matches!(first.account, Some(ProbeReport::Stopped(_)));
        if was_running || was_stopped || second.shows(&secret) {
            return judge(&first, &second, &secret);
        }
    }
    bail!("the first program ended before the second did, {MAX_MEETINGS} times")
}

fn judge(first: &Run, second: &Run, secret: &str) -> Result<Verdict> {
    if second.shows(secret) {
        return Ok(Verdict::Escaped);
    }
    match (first.contained(By::FreshSandbox), second.contained(By::FreshSandbox)) {
        (Verdict::Error(what), _) => bail!("the first program: {what}"),
        (_, Verdict::Error(what)) => bail!("the second program: {what}"),
        // What the first could not leave behind, the second cannot find.
        (Verdict::Contained(by), _) if by != By::FreshSandbox => Ok(Verdict::Contained(by)),
        // The second found nothing, with any error: nothing was left behind.
        _ => Ok(Verdict::Contained(By::FreshSandbox)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::client::{Answer, Plain};

    fn run(output: &str) -> Run {
        let plain = Plain { output: output.to_owned(), error: String::new() };
        Run::new(Answer::Plain(plain), "@m")
    }

    #[test]
    fn the_secret_has_to_arrive_in_the_second() {
        let first = run("s3cret\n@m finished -\n");
        let judged = |second: &str| judge(&first, &run(second), "s3cret").unwrap();
        assert_eq!(judged("s3cret\n@m finished -\n"), Verdict::Escaped);
        assert_eq!(judged("@m stopped ENOENT\n"), Verdict::Contained(By::FreshSandbox));
        let refused = judge(&run("@m stopped EPERM\n"), &run("@m finished -\n"), "s3cret");
        assert_eq!(refused.unwrap(), Verdict::Contained(By::Refused));
    }

    #[test]
    fn two_that_did_not_run_prove_nothing() {
        assert!(judge(&run(""), &run("@m finished -\n"), "s3cret").is_err());
        assert!(judge(&run("@m finished -\n"), &run("Traceback"), "s3cret").is_err());
    }
}
