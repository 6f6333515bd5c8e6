//! System calls that no program needs: were they refused, and by which kernel?
//!
//! A call that fails with `EPERM`, `EACCES` or `ENOSYS` was refused. Any other result, an error or
//! success, comes from the code behind the call, so that a bug in that code is within reach. That
//! is an escape only when the kernel is the host's: gVisor's kernel implements many calls itself.
//! Which kernel it is, is detected from outside ([`Testbed::host_kernel_runs_it`]).

use anyhow::Result;

use super::ProbeRun;
use crate::attack::probe::program::Values;
use crate::attack::probe::report::{ProbeReport, Run, stopped_by};
use crate::attack::testbed::Testbed;
use crate::attack::verdict::{By, Verdict};

/// The errors of a filter, a missing right or a missing feature.
const REFUSALS: [&str; 6] =
    ["EPERM", "EACCES", "ENOSYS", "EAFNOSUPPORT", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT"];

pub(super) async fn answered(program: ProbeRun<'_>, testbed: &Testbed) -> Result<Verdict> {
    let of_the_host = testbed.host_kernel_runs_it().await?;
    let run = testbed.run(program.code, &Values::default(), program.seconds).await?;
    Ok(judge(&run, of_the_host))
}

// ANCHOR: judge
fn judge(run: &Run, of_the_host: bool) -> Verdict {
    let Some(ProbeReport::Answered(answers)) = &run.account else {
        return match run.contained(By::Refused) {
            Verdict::Contained(By::Refused) => Verdict::Error("made no system call".to_owned()),
            other => other,
        };
    };
    let refused = |answer: &String| REFUSALS.contains(&answer.as_str());
    match answers.iter().find(|answer| !refused(answer)) {
        Some(_) if of_the_host => Verdict::Escaped,
        Some(_) => Verdict::Contained(By::Sentry),
        None => {
            let by = answers.first().and_then(|answer| stopped_by(answer));
            Verdict::Contained(by.unwrap_or(By::Refused))
        }
    }
}
// ANCHOR_END: judge

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::client::{Answer, Plain};

    fn judged(output: &str, of_the_host: bool) -> Verdict {
        let plain = Plain { output: output.to_owned(), error: String::new() };
        judge(&Run::new(Answer::Plain(plain), "@m"), of_the_host)
    }

    #[test]
    fn a_call_that_reached_the_hosts_kernel_is_an_escape() {
        for answer in ["OK", "EINVAL", "EFAULT", "EPERM,EBADF"] {
            let output = format!("@m answered {answer}\n");
            assert_eq!(judged(&output, true), Verdict::Escaped, "{answer}");
            assert_eq!(judged(&output, false), Verdict::Contained(By::Sentry), "{answer}");
        }
    }

    #[test]
    fn a_refusal_is_none() {
        assert_eq!(judged("@m answered EPERM\n", true), Verdict::Contained(By::Refused));
        assert_eq!(judged("@m answered ENOSYS\n", true), Verdict::Contained(By::NoSuchCall));
    }

    #[test]
    fn silence_is_an_error() {
        for output in ["", "@m finished -\n"] {
            assert!(matches!(judged(output, true), Verdict::Error(_)), "{output:?}");
        }
    }
}
