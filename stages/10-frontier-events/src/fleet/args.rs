//! The flags of the roles.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::{ValueEnum, value_parser};
use http::Uri;
use shared::cli::Settings;
use stage_06_advanced::EngineKind;

use crate::broker::QueueUrl;

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Serves clients and runs their programs; with a broker, so do workers on other machines
    All,
    /// Serves clients; workers on other machines run the programs
    Api,
    /// Runs programs for an API, and serves nobody
    Worker,
}

/// The flags of the roles.
#[derive(Debug, Clone, clap::Args)]
pub struct FleetArgs {
    /// What this process does
    #[arg(long, global = true, value_enum, value_name = "ROLE", env = "CRUCIBLE_ROLE",
          default_value_t = Role::All)]
    pub role: Role,
    /// Address of the API that a worker works for: <http://HOST:PORT> or <https://HOST:PORT>; with API Gateway's name of a
    /// deployment stage behind it, if it has one
    #[arg(long, global = true, value_name = "URL", env = "CRUCIBLE_API")]
    pub api: Option<Uri>,
    /// File with the key of a worker: one with the scope worker [default: none, for an API that is open on this
    /// machine]
    #[arg(long, global = true, value_name = "FILE", env = "CRUCIBLE_API_KEY_FILE")]
    pub api_key_file: Option<PathBuf>,
    /// File with the certificates that may sign that of the API [default: those of this system]
    #[arg(long, global = true, value_name = "FILE", env = "CRUCIBLE_API_CA")]
    pub api_ca: Option<PathBuf>,
    /// Name of a worker for people, also of the one in an API with --role all [default: the name of its machine]
    #[arg(long, global = true, value_name = "NAME", env = "CRUCIBLE_WORKER_NAME", value_parser = worker_name)]
    pub worker_name: Option<String>,
    /// For an API: seconds without a sign of life after which a worker has lost what it runs
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_LEASE_SECONDS",
          default_value_t = 15, value_parser = value_parser!(u32).range(2..=600))]
    pub lease_seconds: u32,
    /// For an API: seconds after which a ticket is published again that an idle worker should have claimed
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_REPUBLISH_SECONDS",
          default_value_t = 35, value_parser = value_parser!(u32).range(1..=3_600))]
    pub republish_seconds: u32,
    /// The key of a worker, once it is read.
    #[arg(skip)]
    pub(crate) key: Arc<OnceLock<Option<String>>>,
    /// The certificates that may sign that of the API, once they are read.
    #[arg(skip)]
    pub(crate) ca: Arc<OnceLock<Vec<u8>>>,
}

/// Why a role cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum RoleError {
    /// A role that needs a broker has none.
    #[error("--role {0} needs a broker that other machines can reach, and --queue is memory")]
    NoBroker(&'static str),
    /// A worker without an API.
    #[error("--role worker needs the address of its API")]
    NoApi,
    /// An API that is not used.
    #[error("--api is for --role worker")]
    UnusedApi,
    /// A worker with an address to listen on.
    #[error("--role worker serves nobody, and --listen is given")]
    Listens,
    /// An address that is none.
    #[error("--api is no address of an API: http://HOST:PORT and https://HOST:PORT/STAGE are")]
    NoAddress,
    /// A key that would be sent in clear text.
    #[error(
        "{0} can be reached over the network only, and the key would be sent there unencrypted"
    )]
    Unencrypted(Uri),
    /// A file that cannot be read.
    #[error("cannot read {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// A file that has no key.
    #[error("{} has no key: one line that begins with crk_", .0.display())]
    NoKey(PathBuf),
}

impl shared::Hint for RoleError {
    fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoBroker(_) => "give --queue nats://HOST:PORT or sqs://REGION",
            Self::NoApi => "add --api URL",
            Self::UnusedApi => "leave it out, or add --role worker",
            Self::Listens => "leave --listen out",
            Self::NoAddress => {
                "give scheme, host and port, without a user, a password or a path of more than one name"
            }
            Self::Unencrypted(_) => "give the API a certificate (--tls-cert) and use https://",
            Self::File { .. } => "the file has to be readable for the user that starts the worker",
            Self::NoKey(_) => {
                "make one on the API's machine: keys create --name NAME --scope worker"
            }
        })
    }
}

impl FleetArgs {
    /// How long a session is its worker's own.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds.into())
    }

    /// When a ticket is published again.
    pub fn republish(&self) -> Duration {
        Duration::from_secs(self.republish_seconds.into())
    }

    /// Refuses flags that do not go together.
    ///
    /// # Errors
    ///
    /// What to change.
    pub fn check(&self, settings: &Settings, queue: &QueueUrl) -> Result<(), RoleError> {
        let is_memory = matches!(queue, QueueUrl::Memory);
        if self.role != Role::Worker && self.api.is_some() {
            return Err(RoleError::UnusedApi);
        }
        match self.role {
            Role::Api if is_memory => Err(RoleError::NoBroker("api")),
            Role::Worker if is_memory => Err(RoleError::NoBroker("worker")),
            Role::All | Role::Api => Ok(()),
            Role::Worker => self.check_worker(settings),
        }
    }

    fn check_worker(&self, settings: &Settings) -> Result<(), RoleError> {
        let api = self.api.as_ref().ok_or(RoleError::NoApi)?;
        if settings.listen.is_some() {
            return Err(RoleError::Listens);
        }
        let authority = api.authority().map(http::uri::Authority::as_str).unwrap_or_default();
        let is_plain = is_stage(api.path()) && api.query().is_none();
        let is_http = matches!(api.scheme_str(), Some("http" | "https"));
        if !is_plain || !is_http || authority.contains('@') {
            return Err(RoleError::NoAddress);
        }
        // Attack: a worker sends its key over a network in clear text -> test `a_key_is_not_sent_in_clear_text`.
        if api.scheme_str() == Some("http") && self.api_key_file.is_some() && !is_loopback(api) {
            return Err(RoleError::Unencrypted(api.clone()));
        }
        Ok(())
    }

    /// Reads the files, while the process may.
    ///
    /// # Errors
    ///
    /// When one cannot be read, or has no key.
    pub fn read_files(&self) -> Result<(), RoleError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| RoleError::File { path: path.clone(), source })
        };
        if let Some(path) = &self.api_key_file {
            let text = String::from_utf8_lossy(&read(path)?).trim().to_owned();
            let is_key =
                text.starts_with("crk_") && text.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_key {
                return Err(RoleError::NoKey(path.clone()));
            }
            self.key.get_or_init(|| Some(text));
        }
        if let Some(path) = &self.api_ca {
            let pem = read(path)?;
            self.ca.get_or_init(|| pem);
        }
        Ok(())
    }
}

/// Whether a path is empty or the name of a deployment stage, which API Gateway has before the paths of a REST API.
fn is_stage(path: &str) -> bool {
    let name = path.strip_prefix('/').unwrap_or(path);
    let name = name.strip_suffix('/').unwrap_or(name);
    let is_named = !name.is_empty() || matches!(path, "" | "/");
    is_named && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The name of an engine in what it says about its sandbox.
pub fn engine_name(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Gvisor | EngineKind::GvisorDocker => "gvisor",
        EngineKind::Docker => "docker",
        EngineKind::Subprocess => "subprocess",
    }
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The name of this machine.
pub(crate) fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| !c.is_control()).take(100).collect();
    if name.is_empty() { "worker".to_owned() } else { name }
}

/// What a name of a worker may be.
fn worker_name(text: &str) -> Result<String, String> {
    let is_name = (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if is_name {
        Ok(text.to_owned())
    } else {
        Err("give a name of 1 to 100 characters, without control characters".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_may_be_behind_the_name_of_a_deployment_stage() {
        for path in ["", "/", "/v1", "/v1/", "/the_workers-2"] {
            assert!(is_stage(path), "{path}");
        }
        for path in ["/a/b", "//", "/v1//", "/..", "/v1%2Fworkers", "/v1;x", "/é"] {
            assert!(!is_stage(path), "{path}");
        }
    }
}
