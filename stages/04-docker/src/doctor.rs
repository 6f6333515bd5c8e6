//! What `doctor` says about Docker on this machine.

use std::path::Path;

use bollard::models::SystemInfo;
use shared::cli::Diagnosis;

use crate::args::{DockerArgs, PIN, pinned};
use crate::daemon::Daemon;
use crate::engine::{DockerEngine, Runtime};

const SET_UP: &str = "run infrastructure/setup/setup.sh";

/// Looks at everything an engine on `runtime` needs, and at last starts one, which runs a program.
pub async fn diagnose(args: &DockerArgs, runtime: Runtime) -> Vec<Diagnosis> {
    let daemon = match Daemon::connect(&args.docker_host).await {
        Ok(daemon) => daemon,
        Err(error) => return vec![Diagnosis::missing("docker", error.to_string(), SET_UP)],
    };
    let info = match daemon.info().await {
        Ok(info) => info,
        Err(error) => return vec![Diagnosis::missing("docker", error.to_string(), SET_UP)],
    };
    let mut findings = vec![
        Diagnosis::good(
            "docker",
            format!(
                "{} at {}, interface {}",
                info.server_version.as_deref().unwrap_or("of unknown version"),
                args.docker_host,
                daemon.api_version()
            ),
        ),
        runtimes(&info, runtime),
        seccomp(&info),
        image(args, &daemon).await,
    ];
    findings.push(match Box::pin(DockerEngine::start(args, runtime)).await {
        Ok(engine) => {
            use shared::Engine as _;
            let version = engine.layout.as_ref().map_or(0, crate::counters::CgroupLayout::version);
            engine.close().await;
            let seen = format!("a program ran and its walls were seen, control groups v{version}");
            Diagnosis::good("sandbox", seen)
        }
        Err(error) => Diagnosis::missing("sandbox", error.to_string(), SET_UP),
    });
    findings
}

fn runtimes(info: &SystemInfo, runtime: Runtime) -> Diagnosis {
    let mut known: Vec<_> = info.runtimes.iter().flatten().map(|(name, _)| name.clone()).collect();
    known.sort();
    let seen = format!("{}; Docker knows {}", runtime.name, known.join(", "));
    if known.iter().any(|name| name == runtime.name) {
        Diagnosis::good("runtime", seen)
    } else {
        Diagnosis::missing("runtime", format!("no {seen}"), SET_UP)
    }
}

fn seccomp(info: &SystemInfo) -> Diagnosis {
    let options = info.security_options.as_deref().unwrap_or_default();
    if options.iter().any(|option| option.contains("name=seccomp")) {
        Diagnosis::good("seccomp", "the kernel and dockerd filter system calls")
    } else {
        let remedy = "use a kernel with CONFIG_SECCOMP_FILTER and a dockerd built with seccomp";
        Diagnosis::missing("seccomp", "dockerd does not filter system calls", remedy)
    }
}

async fn image(args: &DockerArgs, daemon: &Daemon) -> Diagnosis {
    let name = args.image();
    let found = match daemon.image(&name).await {
        Ok(image) => image.id.unwrap_or_default(),
        Err(error) => return Diagnosis::missing("image", error.to_string(), SET_UP),
    };
    match pinned(Path::new(PIN)) {
        Some(pin) if pin == found => Diagnosis::good("image", format!("{found}, as pinned")),
        Some(pin) => {
            let seen = format!("{name} is {found}, and {PIN} says {pin}");
            Diagnosis::warning("image", seen, "leave --image out to use the pinned one")
        }
        None => {
            let seen = format!("{name} is {found}, and nothing is pinned");
            Diagnosis::warning("image", seen, format!("{SET_UP}: it writes {PIN}"))
        }
    }
}
