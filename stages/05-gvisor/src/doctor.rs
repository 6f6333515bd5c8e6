//! What `doctor` says about gVisor on this machine.

use shared::cli::Diagnosis;
use stage_04_docker::{Daemon, DockerArgs};

use crate::runtime::{self, NAME, RUNSC};

const SET_UP: &str = "run infrastructure/setup/setup.sh: it finds a platform that works";

/// Looks at Docker, at runsc and its platform, and starts a sandbox, all with deadlines.
pub async fn diagnose(args: &DockerArgs) -> Vec<Diagnosis> {
    let mut findings = stage_04_docker::diagnose(args, RUNSC).await;
    let at = findings.iter().position(|it| it.subject == "runtime").map_or(0, |at| at + 1);
    let Ok(daemon) = Daemon::connect(&args.docker_host).await else { return findings };
    let Ok(info) = daemon.info().await else { return findings };
    let arguments = info.runtimes.as_ref().and_then(|known| known.get(NAME)?.runtime_args.clone());
    findings.insert(at, platform(&arguments.unwrap_or_default()));
    findings.insert(
        at,
        match runtime::version(info).await {
            Ok(version) => Diagnosis::good("runsc", version),
            Err(error) => Diagnosis::missing("runsc", error, SET_UP),
        },
    );
    findings
}

/// The platform is how gVisor takes a program's system calls.
fn platform(arguments: &[String]) -> Diagnosis {
    let platform = arguments.iter().find_map(|argument| argument.strip_prefix("--platform="));
    match platform {
        Some("kvm") => Diagnosis::warning(
            "platform",
            "kvm, which was seen to hang for ever on virtual machines",
            SET_UP,
        ),
        Some(platform) => Diagnosis::good("platform", platform),
        None => Diagnosis::good("platform", "runsc's own default"),
    }
}
