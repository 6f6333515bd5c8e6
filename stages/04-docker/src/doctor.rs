//! The checks of `doctor` for Docker on this machine.

use std::path::Path;

use bollard::models::SystemInfo;
use shared::Engine as _;
use shared::Hint;
use shared::cli::Diagnosis;

use crate::args::DockerArgs;
use crate::daemon::Daemon;
use crate::engine::{DockerEngine, SETUP_HINT};
use crate::error_chain::error_chain;
use crate::pin::{IMAGE_PIN, read_pin};
use crate::runtime::Runtime;

/// Checks everything that an engine on `runtime` needs, and then starts one, which runs a program. It
/// changes nothing: what dead instances have left stays for the next start.
pub async fn diagnose(args: &DockerArgs, runtime: Runtime) -> Vec<Diagnosis> {
    let daemon = match Daemon::connect(&args.docker_host).await {
        Ok(daemon) => daemon,
        Err(error) => return vec![missing("docker", &error, error.hint())],
    };
    let info = match daemon.info().await {
        Ok(info) => info,
        Err(error) => return vec![missing("docker", &error, error.hint())],
    };
    let version = info.server_version.as_deref().unwrap_or("of unknown version");
    let interface = daemon.api_version();
    let docker = format!("{version} at {}, interface {interface}", args.docker_host);
    let mut diagnoses = vec![
        Diagnosis::good("docker", docker),
        diagnose_runtime(&info, runtime),
        diagnose_seccomp(&info),
        diagnose_image(args, &daemon).await,
    ];
    diagnoses.push(match Box::pin(DockerEngine::open(args, runtime, false)).await {
        Ok(engine) => {
            let version = engine.cgroup_version().unwrap_or_default();
            engine.close().await;
            let found = format!("a program ran and its isolation was verified, cgroup v{version}");
            Diagnosis::good("sandbox", found)
        }
        Err(error) => missing("sandbox", &error, error.hint()),
    });
    diagnoses
}

fn missing(subject: &str, error: &dyn std::error::Error, hint: Option<&str>) -> Diagnosis {
    Diagnosis::missing(subject, error_chain(error), hint.unwrap_or(SETUP_HINT))
}

fn diagnose_runtime(info: &SystemInfo, runtime: Runtime) -> Diagnosis {
    let mut names: Vec<_> = info.runtimes.iter().flatten().map(|(name, _)| name.clone()).collect();
    names.sort();
    let found = format!("{}; Docker knows {}", runtime.name, names.join(", "));
    if names.iter().any(|name| name == runtime.name) {
        Diagnosis::good("runtime", found)
    } else {
        Diagnosis::missing("runtime", format!("no {found}"), SETUP_HINT)
    }
}

fn diagnose_seccomp(info: &SystemInfo) -> Diagnosis {
    let options = info.security_options.as_deref().unwrap_or_default();
    if options.iter().any(|option| option.contains("name=seccomp")) {
        Diagnosis::good("seccomp", "the kernel and dockerd filter system calls")
    } else {
        let remedy = "use a kernel with CONFIG_SECCOMP_FILTER and a dockerd built with seccomp";
        Diagnosis::missing("seccomp", "dockerd does not filter system calls", remedy)
    }
}

async fn diagnose_image(args: &DockerArgs, daemon: &Daemon) -> Diagnosis {
    let name = args.image().await;
    let id = match daemon.image(&name).await {
        Ok(image) => image.id.unwrap_or_default(),
        Err(error) => return missing("image", &error, None),
    };
    match read_pin(Path::new(IMAGE_PIN)).await {
        Ok(pin) if pin == id => Diagnosis::good("image", format!("{id}, as pinned")),
        Ok(pin) => {
            let found = format!("{name} is {id}, and {IMAGE_PIN} names {pin}");
            Diagnosis::warning("image", found, "leave --image out to use the pinned one")
        }
        Err(_) => {
            let found = format!("{name} is {id}, and no image is pinned");
            Diagnosis::warning("image", found, format!("{SETUP_HINT}: it writes {IMAGE_PIN}"))
        }
    }
}
