//! The options of a container engine. No request can choose any of these.

use std::path::Path;
use std::sync::Arc;

use shared::cli::{Diagnosis, StageArgs};
use shared::http::HttpServerFn;

use crate::RUNC;
use crate::doctor::diagnose;
use crate::pin::{DEFAULT_IMAGE, IMAGE_PIN, read_pin};
use crate::profile::PythonEnvironment;
use crate::users::DEFAULT_FIRST_USER;

/// Which Docker, and which image.
#[derive(Debug, Clone, clap::Args)]
pub struct DockerArgs {
    /// Image that programs run in, by id or by name [default: the id in /etc/crucible/image, else
    /// crucible/python:local]
    #[arg(long, global = true, value_name = "IMAGE", env = "CRUCIBLE_SANDBOX_IMAGE")]
    pub image: Option<String>,
    /// Socket of the Docker daemon, which has to be on this machine
    #[arg(
        long,
        global = true,
        value_name = "SOCKET",
        env = "DOCKER_HOST",
        default_value = "unix:///var/run/docker.sock"
    )]
    pub docker_host: String,
    /// First of the 65,536 users that programs run as, one user for each container or sandbox that
    /// runs
    #[arg(
        long,
        global = true,
        value_name = "UID",
        env = "CRUCIBLE_FIRST_USER",
        default_value_t = DEFAULT_FIRST_USER,
        value_parser = clap::value_parser!(u32).range(1000..4_294_900_000)
    )]
    pub first_user: u32,
    /// Whether the files that programs leave in [`crate::OUTPUT_DIR`] are taken: by a stage that can
    /// store them.
    #[arg(skip)]
    pub keeps_output_files: bool,
    /// Environments of Python beside the default, for a stage that has some.
    #[arg(skip)]
    pub environments: Vec<PythonEnvironment>,
}

/// No option given: the image of the pin, and Docker's usual socket.
impl Default for DockerArgs {
    fn default() -> Self {
        let docker_host = "unix:///var/run/docker.sock".to_owned();
        let first_user = DEFAULT_FIRST_USER;
        let environments = Vec::new();
        Self { image: None, docker_host, first_user, keeps_output_files: false, environments }
    }
}

impl StageArgs for DockerArgs {
    async fn doctor(&self) -> Vec<Diagnosis> {
        diagnose(self, RUNC).await
    }

    fn http_server(&self) -> HttpServerFn {
        Arc::new(stage_02_queue::serve)
    }
}

impl DockerArgs {
    /// The image of the option; without one the pinned image, and without a pin
    /// [`DEFAULT_IMAGE`].
    pub async fn image(&self) -> String {
        match &self.image {
            Some(image) => image.clone(),
            None => read_pin(Path::new(IMAGE_PIN)).await.unwrap_or_else(|_| DEFAULT_IMAGE.into()),
        }
    }
}
