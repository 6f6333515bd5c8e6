//! What a stage is held against: the same program with none of our code around it.

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

/// One way to run [`CODE`] by hand.
pub(super) enum Anchor {
    /// A bare process of the host.
    Process(std::path::PathBuf),
    /// What a person would type, for an engine that needs no Docker.
    DockerRun,
    /// The engine's own container, but for what runs in it, over one kept-alive socket.
    Container { docker: Docker, body: Box<ContainerCreateBody>, name: String },
}

impl Anchor {
    /// What stands beside this engine with these limits.
    pub(super) async fn beside(direct: &Direct, limits: &Limits) -> Result<Self> {
        let engine = match direct {
            Direct::Subprocess(_) => return Ok(Self::Process(interpreter().await?)),
            Direct::Runsc(_) => return Ok(Self::DockerRun),
            Direct::Docker(engine) => engine,
            Direct::GVisor(engine) => engine.docker(),
        };
        let mut body = engine.specification(limits);
        // No loader, and so nothing to send to it: the container does the program and nothing else.
        body.cmd = Some(vec!["-c".to_owned(), CODE.to_owned()]);
        (body.attach_stdin, body.open_stdin, body.stdin_once) = (None, None, None);
        let runtime = body.host_config.as_ref().and_then(|host| host.runtime.clone());
        let name = format!("the same container on {}, by hand", runtime.unwrap_or_default());
        let docker = Docker::connect_with_defaults().context("cannot find Docker")?;
        let docker = docker.negotiate_version().await.context("Docker does not answer")?;
        Ok(Self::Container { docker, body: Box::new(body), name })
    }

    /// What it is, for the report.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Process(_) => "a bare python3 -c",
            Self::DockerRun => "docker run --runtime=runsc",
            Self::Container { name, .. } => name,
        }
    }

    /// Runs the program and says how long it took until its output and its exit code were known.
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

/// The interpreter that the engine of stage 2 finds, not a version manager's shim for it.
async fn interpreter() -> Result<std::path::PathBuf> {
    let mut ask = Command::new("python3");
    let said = ask.args(["-I", "-c", "import sys; print(sys.executable)"]).output().await;
    let said = said.context("cannot run python3")?.stdout;
    Ok(String::from_utf8_lossy(&said).trim().into())
}

/// A sandbox of gVisor's with the walls that flags can give.
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
        bail!("{:?} said {output:?}", command.as_std());
    }
    Ok(took)
}

/// Creates, attaches, starts, reads to the end and waits; taking it away is not counted, as a stage
/// answers before it does that.
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
        // That is how bollard says that an exit code is not 0.
        Some(Err(Error::DockerContainerWaitError { code, .. })) => code,
        Some(Err(error)) => return Err(error.into()),
        None => bail!("Docker did not say how the container ended"),
    };
    Ok((output, code))
}
