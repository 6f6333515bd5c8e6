//! The Docker daemon: the few calls that this engine makes, each with a timeout of its own.
//!
//! The rule it keeps: no call to the daemon can hang the platform. When a runtime hangs, `docker
//! inspect` hangs with it, so even a query has a timeout.
//!
//! bollard's own timeout ends when the headers of a response have arrived, and bollard never sends the
//! version of the API that it speaks, which is why the version is negotiated when the connection is
//! made.

use std::collections::HashMap;
use std::time::Duration;

use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerState, ContainerSummary, ImageInspect,
    SystemInfo,
};
use bollard::query_parameters::{
    AttachContainerOptions, CreateContainerOptions, EventsOptions, KillContainerOptions,
    ListContainersOptions, RemoveContainerOptions, WaitContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use shared::Hint;
use tokio::io::AsyncWrite;

/// For a call that changes nothing.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
/// For creating, starting or removing a container, on a machine that is busy.
const MUTATION_TIMEOUT: Duration = Duration::from_secs(30);
/// The exit code of a container whose first process was killed.
const KILLED: i64 = 137;
/// How long after such an end the daemon may report that memory was the reason.
const OOM_REPORT_TIMEOUT: Duration = Duration::from_secs(2);
/// Between two looks at a container that is about to end.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Why a call to the daemon failed. The message may be shown to a client; the source may not.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The address is not a socket on this machine.
    #[error("{host:?} is not a socket on this machine")]
    NotLocal {
        /// The address.
        host: String,
    },
    /// There is no connection to the daemon.
    #[error("cannot {operation}: Docker does not answer")]
    Unreachable {
        /// What was tried.
        operation: &'static str,
        /// The error of the connection.
        source: Error,
    },
    /// The daemon did not respond in time.
    #[error("cannot {operation}: no response from Docker within {} s", after.as_secs())]
    Timeout {
        /// What was tried.
        operation: &'static str,
        /// The timeout.
        after: Duration,
    },
    /// The daemon does not have the image or the container.
    #[error("cannot {operation}: Docker does not have it")]
    NotFound {
        /// What was tried.
        operation: &'static str,
        /// The daemon's error.
        source: Error,
    },
    /// The daemon responded with another error.
    #[error("cannot {operation}: Docker reports an error")]
    Api {
        /// What was tried.
        operation: &'static str,
        /// The daemon's error.
        source: Error,
    },
    /// Docker does not remove what has ended.
    #[error("cannot create a container: Docker has not removed those before it within {} s", after.as_secs())]
    NotRemoved {
        /// How long the new one has waited.
        after: Duration,
    },
    /// Every user for containers is in use.
    #[error("cannot create a container: every user for containers is in use")]
    NoUser,
    /// The program is for an environment that the engine does not have.
    #[error("this server has no such environment")]
    NoEnvironment,
    /// The server is shutting down.
    #[error("cannot {operation}: the server is shutting down")]
    ShuttingDown {
        /// What was tried.
        operation: &'static str,
    },
}

impl Hint for DaemonError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NotLocal { .. } => Some(
                "set DOCKER_HOST to unix:///path: the counters of the containers can only be read \
                 on Docker's own machine",
            ),
            Self::Unreachable { .. } => Some("start Docker, or run `doctor`"),
            Self::Timeout { .. } => Some("see whether `docker ps` hangs; if so, restart Docker"),
            Self::NoUser => Some("set another range of users with --first-user"),
            Self::NotRemoved { .. } => Some(
                "look at `docker ps --all`, and at the log of Docker; the removals are retried",
            ),
            Self::NotFound { .. }
            | Self::Api { .. }
            | Self::NoEnvironment
            | Self::ShuttingDown { .. } => None,
        }
    }
}

/// A container's three streams.
pub(crate) struct Attached {
    pub(crate) output: BoxStream<'static, Result<LogOutput, Error>>,
    pub(crate) input: std::pin::Pin<Box<dyn AsyncWrite + Send>>,
}

/// A connection to the daemon.
#[derive(Debug, Clone)]
pub struct Daemon {
    docker: Docker,
}

impl Daemon {
    /// Connects, and negotiates the version of the API.
    ///
    /// # Errors
    ///
    /// When the address is not a local socket, or no daemon answers there.
    pub async fn connect(host: &str) -> Result<Self, DaemonError> {
        let operation = "connect to Docker";
        let path = host.strip_prefix("unix://").filter(|path| path.starts_with('/'));
        let path = path.ok_or_else(|| DaemonError::NotLocal { host: host.to_owned() })?;
        let docker =
            Docker::connect_with_unix(path, MUTATION_TIMEOUT.as_secs(), API_DEFAULT_VERSION)
                .map_err(|source| DaemonError::Unreachable { operation, source })?;
        let docker = call(operation, QUERY_TIMEOUT, docker.negotiate_version()).await?;
        Ok(Self { docker })
    }

    /// The daemon's description of itself and its machine.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub async fn info(&self) -> Result<SystemInfo, DaemonError> {
        call("read Docker's information", QUERY_TIMEOUT, self.docker.info()).await
    }

    /// The negotiated version of the API.
    pub(crate) fn api_version(&self) -> String {
        self.docker.client_version().to_string()
    }

    pub(crate) async fn image(&self, name: &str) -> Result<ImageInspect, DaemonError> {
        call("find the sandbox image", QUERY_TIMEOUT, self.docker.inspect_image(name)).await
    }

    pub(crate) async fn create(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<String, DaemonError> {
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
        let created = self.docker.create_container(Some(options), body);
        Ok(call("create a container", MUTATION_TIMEOUT, created).await?.id)
    }

    pub(crate) async fn attach(&self, id: &str) -> Result<Attached, DaemonError> {
        let options = AttachContainerOptions {
            stream: true,
            stdin: true,
            stdout: true,
            stderr: true,
            ..Default::default()
        };
        let attached = self.docker.attach_container(id, Some(options));
        let AttachContainerResults { output, input } =
            call("attach to a container", QUERY_TIMEOUT, attached).await?;
        Ok(Attached { output: output.boxed(), input })
    }

    pub(crate) async fn start(&self, id: &str) -> Result<(), DaemonError> {
        let started = self.docker.start_container(id, None);
        call("start a container", MUTATION_TIMEOUT, started).await
    }

    /// The daemon's description of a container.
    ///
    /// # Errors
    ///
    /// When the call fails, or there is no such container.
    pub async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse, DaemonError> {
        let inspected = self.docker.inspect_container(id, None);
        call("inspect a container", QUERY_TIMEOUT, inspected).await
    }

    /// Waits until the daemon knows that a killed container has ended. There is no error: if it does
    /// not know in time, the call that removes the container fails.
    pub(crate) async fn wait(&self, id: &str) {
        let mut ended = self.docker.wait_container(id, None::<WaitContainerOptions>);
        // For bollard a container that did not exit with 0 is an error; here it has ended all the same.
        tokio::time::timeout(QUERY_TIMEOUT, ended.next()).await.ok();
    }

    /// The state of a container that is about to end, once it has ended. `is_explained`: that memory was the reason is
    /// known already, or that it was not.
    pub(crate) async fn ended(
        &self,
        id: &str,
        is_explained: bool,
    ) -> Result<ContainerState, DaemonError> {
        let poll = async {
            loop {
                let state = self.inspect(id).await?.state.unwrap_or_default();
                if state.running != Some(true) {
                    return Ok(state);
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        let operation = "wait for a container's end";
        let timed_out = |_| DaemonError::Timeout { operation, after: QUERY_TIMEOUT };
        let mut state = tokio::time::timeout(QUERY_TIMEOUT, poll).await.map_err(timed_out)??;
        if !is_explained && state.exit_code == Some(KILLED) && state.oom_killed != Some(true) {
            state.oom_killed = Some(self.reports_oom(id).await);
        }
        Ok(state)
    }

    /// Whether the daemon has an event about a want of memory, or gets one soon. Containerd reports that and the end each
    /// on its own, and the state of a container has it only when the end came second.
    async fn reports_oom(&self, id: &str) -> bool {
        let filters = [("container", id), ("event", "oom")];
        let filters = filters.map(|(name, value)| (name.to_owned(), vec![value.to_owned()]));
        let options = EventsOptions {
            since: Some("1".to_owned()), // second of the epoch: all that the daemon still has
            filters: Some(filters.into()),
            ..Default::default()
        };
        let mut events = Box::pin(self.docker.events(Some(options)));
        let first = tokio::time::timeout(OOM_REPORT_TIMEOUT, events.next()).await;
        matches!(first, Ok(Some(Ok(_))))
    }

    /// Sends a signal to a container's first process.
    pub(crate) async fn signal(&self, id: &str, signal: &str) -> Result<(), DaemonError> {
        let options = KillContainerOptions { signal: signal.to_owned() };
        let sent = self.docker.kill_container(id, Some(options));
        call("signal to a container", QUERY_TIMEOUT, sent).await
    }

    /// Kills a container, if it runs, and removes it.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), DaemonError> {
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        let removed = self.docker.remove_container(id, Some(options));
        call("remove a container", MUTATION_TIMEOUT, removed).await
    }

    /// The ids and labels of all containers, running or not, that have `label`.
    pub(crate) async fn labelled(
        &self,
        label: &str,
    ) -> Result<Vec<(String, HashMap<String, String>)>, DaemonError> {
        let filters = [("label".to_owned(), vec![label.to_owned()])].into();
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let listed = self.docker.list_containers(Some(options));
        let containers = call("list containers", QUERY_TIMEOUT, listed).await?;
        let id_and_labels = |container: ContainerSummary| {
            Some((container.id?, container.labels.unwrap_or_default()))
        };
        Ok(containers.into_iter().filter_map(id_and_labels).collect())
    }
}

/// Waits for `response` until the timeout, and sorts the errors.
async fn call<T>(
    operation: &'static str,
    after: Duration,
    response: impl Future<Output = Result<T, Error>>,
) -> Result<T, DaemonError> {
    let timed_out = || DaemonError::Timeout { operation, after };
    let response = tokio::time::timeout(after, response).await.map_err(|_| timed_out())?;
    response.map_err(|source| match source {
        Error::DockerResponseServerError { status_code: 404, .. } => {
            DaemonError::NotFound { operation, source }
        }
        Error::DockerResponseServerError { .. } => DaemonError::Api { operation, source },
        Error::RequestTimeoutError => timed_out(),
        source => DaemonError::Unreachable { operation, source },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Docker's own words name paths and ids of the host: they are the source, and for the log.
    #[test]
    fn what_a_client_reads_of_an_error_has_no_path_of_the_host() {
        let message = "mkdir /var/lib/docker/overlay2/0123: no space left on device".to_owned();
        let source = Error::DockerResponseServerError { status_code: 500, message };
        let error = DaemonError::Api { operation: "create a container", source };
        let read = shared::Verdict::engine_error(&error).error.unwrap();
        assert_eq!(read, "cannot create a container: Docker reports an error");
        assert!(crate::error_chain(&error).contains("no space left on device"));
    }
}
