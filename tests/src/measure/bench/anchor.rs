//! The reference of a stage: the same program without any code of this project around it.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bollard::Docker;
use bollard::container::{AttachContainerResults, LogOutput};
use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{AttachContainerOptions, RemoveContainerOptions};
use futures_util::{StreamExt as _, TryStreamExt as _};
use shared::Limits;
use stage_04_docker::DEFAULT_IMAGE;
use tokio::process::Command;

use super::CODE;
use super::engines::Direct;
use crate::measure::programs::reference::host_python;

/// One way to run [`CODE`] without a stage.
pub(super) enum Anchor {
    /// A bare process of the host.
    Process(std::path::PathBuf),
    /// The command line of a person, for an engine without Docker.
    DockerRun,
    /// A container with the engine's configuration, over one kept-alive socket.
    Container { docker: Docker, body: Box<ContainerCreateBody>, name: String },
}

impl Anchor {
    /// A bare process of the host.
    pub(super) async fn bare() -> Result<Self> {
        // The interpreter that the engine of stage 2 uses.
        Ok(Self::Process(host_python().await?))
    }

    /// The reference for this engine with these limits.
    pub(super) async fn beside(direct: &Direct, limits: &Limits) -> Result<Self> {
        let engine = match direct {
            Direct::Subprocess(_) => return Self::bare().await,
            Direct::Runsc(_) => return Ok(Self::DockerRun),
            Direct::Docker(engine) => engine,
            Direct::GVisor(engine) => engine.docker(),
        };
        let mut body = engine.specification(limits);
        // Without the engine's init: the container runs the program and nothing else.
        body.cmd = Some(vec!["-c".to_owned(), CODE.to_owned()]);
        (body.attach_stdin, body.open_stdin, body.stdin_once) = (None, None, None);
        let runtime = body.host_config.as_ref().and_then(|host| host.runtime.clone());
        let name = format!("the same container on {}, by hand", runtime.unwrap_or_default());
        let docker = Docker::connect_with_defaults().context("cannot find Docker")?;
        let docker = docker.negotiate_version().await.context("Docker does not respond")?;
        Ok(Self::Container { docker, body: Box::new(body), name })
    }

    /// Its description, for the report.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Process(_) => "a bare python3 -c",
            Self::DockerRun => "docker run --runtime=runsc",
            Self::Container { name, .. } => name,
        }
    }

    /// Runs the program and returns the time until its output and exit code were known.
    pub(super) async fn run(&self) -> Result<Duration> {
        match self {
            Self::Process(python) => {
                let mut command = Command::new(python);
                command.args(["-c", CODE]);
                process(command).await
            }
            Self::DockerRun => process(docker_run()).await,
            Self::Container { docker, body, .. } => container(docker, body).await,
        }
    }
}

/// A gVisor sandbox with the controls that command-line flags can set.
fn docker_run() -> Command {
    let mut command = Command::new("docker");
    command
        .args(["run", "--rm", "--runtime=runsc", "--network=none", "--read-only"])
        .args(["--cap-drop=ALL", "--user=65534:65534", DEFAULT_IMAGE])
        .args(["/usr/bin/python3", "-c", CODE]);
    command
}

async fn process(mut command: Command) -> Result<Duration> {
    let started = Instant::now();
    let output = command.stdin(Stdio::null()).output().await?;
    let took = started.elapsed();
    if !output.status.success() || output.stdout != b"1\n" {
        bail!("{:?} printed {output:?}", command.as_std());
    }
    Ok(took)
}

/// Creates, attaches, starts, reads to the end and waits; the removal is not counted, because a
/// stage responds before it.
async fn container(docker: &Docker, body: &ContainerCreateBody) -> Result<Duration> {
    let started = Instant::now();
    let id = docker.create_container(None, body.clone()).await?.id;
    let ran = attended(docker, &id).await;
    let took = started.elapsed();
    let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
    docker.remove_container(&id, Some(options)).await?;
    let (output, code) = ran?;
    if (output.as_slice(), code) != (&b"1\n"[..], 0) {
        bail!("by hand, the container ended with {code} and printed {output:?}");
    }
    Ok(took)
}

async fn attended(docker: &Docker, id: &str) -> Result<(Vec<u8>, i64)> {
    let options =
        AttachContainerOptions { stream: true, stdout: true, stderr: true, ..Default::default() };
    let AttachContainerResults { output, .. } = docker.attach_container(id, Some(options)).await?;
    docker.start_container(id, None).await?;
    let append = |mut all: Vec<u8>, chunk: LogOutput| async move {
        all.extend_from_slice(chunk.as_ref());
        Ok(all)
    };
    let output = output.try_fold(Vec::new(), append).await?;
    let code = match docker.wait_container(id, None).next().await {
        Some(Ok(ended)) => ended.status_code,
        // bollard reports an exit code other than 0 as an error.
        Some(Err(Error::DockerContainerWaitError { code, .. })) => code,
        Some(Err(error)) => return Err(error.into()),
        None => bail!("Docker reported no exit code of the container"),
    };
    Ok((output, code))
}
