//! Checks what the engine needs on this machine.

use shared::Engine as _;
use shared::cli::Diagnosis;
use shared::error::Hint as _;
use stage_04_docker::error_chain;
use stage_05_gvisor::{diagnose_release, runsc_version};

use super::options::{RunscError, RunscOptions};
use super::{RunscEngine, blocking, rootfs};

/// Reports what the engine lacks on this machine, and starts one, which runs a program.
pub async fn diagnose_runsc(options: &RunscOptions) -> Vec<Diagnosis> {
    let missing = |name: &'static str, error: &RunscError| {
        Diagnosis::missing(name, error_chain(error), error.hint().unwrap_or_default())
    };
    let mut diagnoses = Vec::new();
    let options = RunscOptions { warm_sandboxes: 0, ..options.clone() };
    let found = options.clone();
    match blocking(move || found.runsc()).await {
        Ok(path) => {
            diagnoses.push(Diagnosis::good("runsc", path.display().to_string()));
            // What cannot report its version is named by the start of an engine, below.
            let version = runsc_version(&path).await;
            diagnoses.extend(version.ok().map(|version| diagnose_release(&version)));
        }
        Err(error) => diagnoses.push(missing("runsc", &error)),
    }
    let rootfs = async {
        let profile = options.python_profile().await?;
        blocking(move || rootfs::check(&profile)).await
    };
    match rootfs.await {
        Ok(digest) => diagnoses.push(Diagnosis::good("rootfs", digest)),
        Err(error) => diagnoses.push(missing("rootfs", &error)),
    }
    diagnoses.push(match RunscEngine::start(&options, stage_04_docker::PROBE_LIMITS).await {
        Ok(engine) => {
            let platform = engine.platform().as_str();
            engine.close().await;
            let seen = format!("a program ran and its isolation was verified, platform {platform}");
            Diagnosis::good("sandbox", seen)
        }
        Err(error) => missing("sandbox", &error),
    });
    diagnoses
}
