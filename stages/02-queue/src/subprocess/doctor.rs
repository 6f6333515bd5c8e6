//! What the engine needs on this machine.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use shared::cli::{Diagnosis, StageArgs};
use shared::http::HttpServerFn;

use super::real_python;
use crate::command::command_output;
use crate::http_server::serve;

/// How long `prlimit` has to report its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

/// The settings of a stage that runs programs on the host: none.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct HostArgs {}

impl StageArgs for HostArgs {
    async fn doctor(&self) -> Vec<Diagnosis> {
        diagnose().await
    }

    fn http_server(&self) -> HttpServerFn {
        Arc::new(serve)
    }
}

/// Checks for Python and for `prlimit`.
pub async fn diagnose() -> Vec<Diagnosis> {
    let python = match real_python().await {
        Ok(path) => Diagnosis::good("python3", path.display().to_string()),
        Err(error) => {
            Diagnosis::missing("python3", error.to_string(), "install it: apt-get install python3")
        }
    };
    let version = command_output(Path::new("prlimit"), &["--version"], VERSION_TIMEOUT).await;
    let prlimit = match version {
        Ok(output) => {
            Diagnosis::good("prlimit", String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Err(error) => Diagnosis::missing(
            "prlimit",
            error.to_string(),
            "it sets the limits; install it: apt-get install util-linux",
        ),
    };
    vec![python, prlimit]
}
