//! The Docker daemon: the few calls this engine makes, each with a deadline of its own.
//!
//! The rule it keeps: nothing that is asked of the daemon can hang the platform. A runtime that hangs
//! takes `docker inspect` with it, so even a question has a deadline.
//!
//! bollard's own time-out covers the headers of an answer only, and bollard never sends the version
//! of the interface it speaks, which is why the version is negotiated when the connection is made.

use std::time::Duration;

use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error;
use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerState, ImageInspect, SystemInfo,
};
use bollard::query_parameters::{
    AttachContainerOptions, CreateContainerOptions, ListContainersOptions, RemoveContainerOptions,
    WaitContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use tokio::io::AsyncWrite;

/// For a question.
const QUESTION: Duration = Duration::from_secs(10);
/// For making, starting or taking away a container, on a machine that is busy.
const WORK: Duration = Duration::from_secs(30);

/// What the daemon did not do, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DaemonError {
    /// The address names no socket on this machine.
    #[error(
        "{host} is not a socket on this machine\n  hint: set DOCKER_HOST to unix:///path; the \
         counters of the containers can only be read on Docker's own machine"
    )]
    Elsewhere {
        /// What was given.
        host: String,
    },
    /// Nobody answers.
    #[error("cannot {what}: Docker does not answer ({reason})\n  hint: start it, or run `doctor`")]
    Away {
        /// What was asked for.
        what: &'static str,
        /// What the connection said.
        reason: String,
    },
    /// It answers, but not this.
    #[error("cannot {what}: no answer from Docker within {} s", after.as_secs())]
    Late {
        /// What was asked for.
        what: &'static str,
        /// How long it had.
        after: Duration,
    },
    /// There is no such thing.
    #[error("cannot {what}: {reason}")]
    Unknown {
        /// What was asked for.
        what: &'static str,
        /// What the daemon said.
        reason: String,
    },
    /// It refused.
    #[error("cannot {what}: {reason}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// What the daemon said.
        reason: String,
    },
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
    /// Connects, and agrees on a version of the interface.
    ///
    /// # Errors
    ///
    /// When the address is not a local socket, or nobody answers there.
    pub async fn connect(host: &str) -> Result<Self, DaemonError> {
        let what = "reach Docker";
        let path = host.strip_prefix("unix://").filter(|path| path.starts_with('/'));
        let path = path.ok_or_else(|| DaemonError::Elsewhere { host: host.to_owned() })?;
        let docker = Docker::connect_with_unix(path, WORK.as_secs(), API_DEFAULT_VERSION)
            .map_err(|error| DaemonError::Away { what, reason: error.to_string() })?;
        let docker = within(what, QUESTION, docker.negotiate_version()).await?;
        Ok(Self { docker })
    }

    /// What the daemon says about itself and its machine.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn info(&self) -> Result<SystemInfo, DaemonError> {
        within("ask Docker about itself", QUESTION, self.docker.info()).await
    }

    /// The version of the interface that is spoken.
    pub(crate) fn api_version(&self) -> String {
        self.docker.client_version().to_string()
    }

    pub(crate) async fn image(&self, name: &str) -> Result<ImageInspect, DaemonError> {
        within("find the sandbox image", QUESTION, self.docker.inspect_image(name)).await
    }

    pub(crate) async fn create(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<String, DaemonError> {
        let options = CreateContainerOptions { name: Some(name.to_owned()), ..Default::default() };
        let made = self.docker.create_container(Some(options), body);
        Ok(within("make a container", WORK, made).await?.id)
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
            within("attach to a container", QUESTION, attached).await?;
        Ok(Attached { output: output.boxed(), input })
    }

    pub(crate) async fn start(&self, id: &str) -> Result<(), DaemonError> {
        within("start a container", WORK, self.docker.start_container(id, None)).await
    }

    /// All that the daemon knows about a container.
    ///
    /// # Errors
    ///
    /// When it does not answer, or there is no such container.
    pub async fn inspect(&self, id: &str) -> Result<ContainerInspectResponse, DaemonError> {
        within("look at a container", QUESTION, self.docker.inspect_container(id, None)).await
    }

    /// Waits until a container that has been killed is known to have ended. That it is not known in
    /// time is no fault: taking it away will show.
    pub(crate) async fn wait(&self, id: &str) {
        let options = None::<WaitContainerOptions>;
        let mut ended = self.docker.wait_container(id, options);
        // A container that did not exit with 0 is an error to bollard; it is as good.
        let _ended = tokio::time::timeout(QUESTION, ended.next()).await;
    }

    /// The state of a container that is about to end, once it has ended.
    pub(crate) async fn ended(&self, id: &str) -> Result<ContainerState, DaemonError> {
        let what = "see a container end";
        let poll = async {
            loop {
                let state = self.inspect(id).await?.state.unwrap_or_default();
                if state.running != Some(true) {
                    return Ok(state);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let late = |_| DaemonError::Late { what, after: QUESTION };
        tokio::time::timeout(QUESTION, poll).await.map_err(late)?
    }

    /// Expected a container, if it runs, and takes it away. That there is none is as good.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), DaemonError> {
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        let removed = self.docker.remove_container(id, Some(options));
        within("take a container away", WORK, removed).await
    }

    /// The ids and labels of all containers, running or not, that carry `label`.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(crate) async fn labelled(
        &self,
        label: &str,
    ) -> Result<Vec<(String, std::collections::HashMap<String, String>)>, DaemonError> {
        let filters = [("label".to_owned(), vec![label.to_owned()])].into();
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let listed = self.docker.list_containers(Some(options));
        let listed = within("list containers", QUESTION, listed).await?;
        let with_labels =
            |it: bollard::models::ContainerSummary| Some((it.id?, it.labels.unwrap_or_default()));
        Ok(listed.into_iter().filter_map(with_labels).collect())
    }
}

/// Waits for `answer`, but not for ever.
async fn within<T>(
    what: &'static str,
    after: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, DaemonError> {
    let answer = tokio::time::timeout(after, answer).await;
    answer.map_err(|_| DaemonError::Late { what, after })?.map_err(|error| match error {
        Error::DockerResponseServerError { status_code: 404, message } => {
            DaemonError::Unknown { what, reason: message }
        }
        Error::DockerResponseServerError { message, .. } => {
            DaemonError::Refused { what, reason: message }
        }
        Error::RequestTimeoutError => DaemonError::Late { what, after },
        error => DaemonError::Away { what, reason: error.to_string() },
    })
}
