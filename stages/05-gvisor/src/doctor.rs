//! The checks of `doctor` for gVisor on this machine.

use shared::cli::Diagnosis;
use stage_04_docker::{Daemon, DockerArgs, error_chain};

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
    let version = match runtime::version(&info).await {
        Ok(version) => Diagnosis::good("runsc", version),
        Err(error) => Diagnosis::missing("runsc", error_chain(&error), SETUP_HINT),
    };
    diagnoses.splice(index..index, [version, diagnose_platform(&arguments)]);
    diagnoses
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
