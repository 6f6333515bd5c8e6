//! The settings of a container engine. No request can choose any of these.

use std::path::Path;

/// Where the set-up writes the id of the image it has built or fetched.
pub const PIN: &str = "/etc/crucible/image";
/// What the image is called when there is no pin.
pub const DEFAULT_IMAGE: &str = "crucible/python:local";

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
}

impl DockerArgs {
    /// The image that was asked for, or the one that the set-up has pinned.
    pub fn image(&self) -> String {
        self.image
            .clone()
            .or_else(|| pinned(Path::new(PIN)))
            .unwrap_or_else(|| DEFAULT_IMAGE.into())
    }
}

/// The id in a pin file.
pub(crate) fn pinned(file: &Path) -> Option<String> {
    let pin = std::fs::read_to_string(file).ok()?.trim().to_owned();
    (!pin.is_empty()).then_some(pin)
}
