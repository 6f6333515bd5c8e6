//! The checks of `doctor` for gVisor on this machine.

use jiff::ToSpan as _;
use jiff::civil::Date;
use shared::cli::Diagnosis;
use stage_04_docker::{Daemon, DockerArgs, error_chain};

use crate::isolation_check::check_flags;
use crate::runtime::{self, NAME, RUNSC};

const SETUP_HINT: &str = "run infrastructure/setup/setup.sh: it finds a platform that works";

/// Checks Docker, runsc and its platform, and starts a sandbox, each with a timeout.
pub async fn diagnose(args: &DockerArgs) -> Vec<Diagnosis> {
    let mut diagnoses = stage_04_docker::diagnose(args, RUNSC).await;
    let runtime = diagnoses.iter().position(|diagnosis| diagnosis.subject == "runtime");
    let index = runtime.map_or(0, |index| index + 1);
    let Ok(daemon) = Daemon::connect(&args.docker_host).await else { return diagnoses };
    let Ok(info) = daemon.info().await else { return diagnoses };
    let runtime = info.runtimes.as_ref().and_then(|runtimes| runtimes.get(NAME));
    let arguments = runtime.and_then(|runtime| runtime.runtime_args.clone()).unwrap_or_default();
    let found = match runtime::version(&info).await {
        Ok(version) => {
            vec![Diagnosis::good("runsc", version.clone()), diagnose_release(&version)]
        }
        Err(error) => vec![Diagnosis::missing("runsc", error_chain(&error), SETUP_HINT)],
    };
    let flags = [diagnose_platform(&arguments), diagnose_flags(&arguments)];
    diagnoses.splice(index..index, found.into_iter().chain(flags));
    diagnoses
}

/// Whether a release of runsc is recent. gVisor's releases are named by their dates; an isolation that
/// gets no more corrections is a weaker one every month.
pub fn diagnose_release(version: &str) -> Diagnosis {
    diagnose_release_at(version, jiff::Zoned::now().date())
}

fn diagnose_release_at(version: &str, today: Date) -> Diagnosis {
    const REMEDY: &str =
        "install a newer runsc: run infrastructure/setup/setup.sh, or see gvisor.dev";
    let digits = version.split(|c: char| !c.is_ascii_digit()).find(|part| part.len() == 8);
    let Some(date) = digits.and_then(|digits| Date::strptime("%Y%m%d", digits).ok()) else {
        let found = format!("{version:?} does not name the date of its release");
        return Diagnosis::warning("release", found, REMEDY);
    };
    if date.saturating_add(1.year()) < today {
        let found = format!("of {date}, which is more than a year ago");
        return Diagnosis::warning("release", found, REMEDY);
    }
    Diagnosis::good("release", format!("of {date}"))
}

/// The flags with which Docker starts runsc.
fn diagnose_flags(arguments: &[String]) -> Diagnosis {
    match check_flags(arguments) {
        Ok(()) => Diagnosis::good("flags", "no network, and none that weakens a sandbox"),
        Err(error) => Diagnosis::missing("flags", error_chain(&error), SETUP_HINT),
    }
}

/// The platform is how gVisor intercepts a program's system calls.
fn diagnose_platform(arguments: &[String]) -> Diagnosis {
    let platform = arguments.iter().find_map(|argument| argument.strip_prefix("--platform="));
    match platform {
        Some("kvm") => {
            let found = "kvm, which can hang without limit on virtual machines";
            Diagnosis::warning("platform", found, SETUP_HINT)
        }
        Some(platform) => Diagnosis::good("platform", platform),
        None => Diagnosis::good("platform", "runsc's own default"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use shared::cli::Severity;

    use super::*;

    #[test]
    fn a_release_that_is_over_a_year_old_is_a_warning() {
        let today = date(2026, 11, 27);
        for (version, state) in [
            ("release-20260102.0", Severity::Good),
            ("0.0~20251127.0-1", Severity::Good),
            ("0.0~20251126.0-1", Severity::Warning),
            ("0.0~20221219.0-1+b3", Severity::Warning),
            ("release-99999999.0", Severity::Warning),
            ("unknown", Severity::Warning),
        ] {
            assert_eq!(diagnose_release_at(version, today).state, state, "{version}");
        }
    }

    #[test]
    fn flags_that_weaken_a_sandbox_are_named() {
        let state = |flags: [&str; 2]| diagnose_flags(&flags.map(str::to_owned)).state;
        assert_eq!(state(["--platform=ptrace", "--network=none"]), Severity::Good);
        assert_eq!(state(["--network=none", "--network=host"]), Severity::Missing);
    }
}
