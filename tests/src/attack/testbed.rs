//! The testbed: one stage under attack, and the ground around it that the attacks are after.
//!
//! The ground of a stage that leaves the host open is a [`jail`]; that of every other stage is the
//! host itself, because there the stage expectations to be the wall, and needs Docker's socket.

pub mod cgroup;
pub mod containers;
pub mod facts;
pub mod host_environment;
pub mod jail;
mod kernel_detection;
pub mod network;
pub mod secrets;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use reqwest::Method;
use shared::{Evaluation, Status};
use tokio::sync::OnceCell;

use crate::attack::fault_injection::{Control, DockerProxy};
use crate::attack::probe::header::FIRST_SANDBOXED;
use crate::attack::probe::program::{Values, assemble, canary};
use crate::attack::probe::report::Run;
use crate::support::client::{Answer, Client, Program};
use crate::support::server::{Launch, Server};
use crate::support::stages::Stage;

use cgroup::Counters;
use host_environment::HostEnvironment;
use jail::Plan;
use network::Relay;
use secrets::Secrets;

/// One stage under attack.
#[derive(Debug)]
pub struct Testbed {
    // Fields are dropped in their order: first the relay, then the server, and then the ground.
    relay: Option<Relay>,
    server: Option<Server>,
    proxy: Option<DockerProxy>,
    /// The stage's number.
    pub stage: u16,
    /// Speaks the stage's API.
    pub client: Client,
    /// What is around it.
    pub ground: HostEnvironment,
    /// What lies around the server, if it was the harness that started it.
    pub secrets: Option<Secrets>,
    /// Where the server listens, seen from the ground.
    pub address: SocketAddr,
    /// Where it is reached from here.
    pub client_address: SocketAddr,
    host_kernel: OnceCell<bool>,
}

/// A probe that a worker has.
#[derive(Debug)]
pub struct Started {
    evaluation: Evaluation,
    marker: String,
}

impl Testbed {
    /// Starts `stage` on a ground that suits it.
    ///
    /// # Errors
    ///
    /// When it does not start, or its jail cannot be made.
    pub async fn open(stage: &Stage) -> Result<Self> {
        if stage.number >= FIRST_SANDBOXED {
            return Self::on_host(stage, Launch::new(stage)).await;
        }
        let (secrets, decoy, home) = (Secrets::new()?, canary(), Path::new("/root"));
        let plan = Plan::new(canary(), decoy.clone())?;
        let launch =
            secrets.configure_launch(busy(Launch::new(stage), stage), home, plan.prefix()?)?;
        let server = launch.start().await?;
        let jail = plan.built(server.pid())?;
        let ground = HostEnvironment::jail(jail, decoy);
        secrets.write_credentials(&ground.outside(home))?;
        let relay = Relay::start(ground.network(), address_of(server.url())?).await?;
        let mut testbed = Self::new(stage.number, ground, relay.url())?;
        testbed.address = address_of(server.url())?;
        (testbed.relay, testbed.server, testbed.secrets) =
            (Some(relay), Some(server), Some(secrets));
        Ok(testbed)
    }

    /// Starts a stage that has walls of its own, on this host, in the way that `launch` says.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn on_host(stage: &Stage, launch: Launch) -> Result<Self> {
        let (secrets, ground) = (Secrets::new()?, HostEnvironment::host()?);
        let home = ground.dir().join("home");
        secrets.write_credentials(&home)?;
        let server =
            secrets.configure_launch(busy(launch, stage), &home, Vec::new())?.start().await?;
        let mut testbed = Self::new(stage.number, ground, server.url())?;
        (testbed.server, testbed.secrets) = (Some(server), Some(secrets));
        Ok(testbed)
    }

    /// Starts a stage that has walls of its own, and takes one of them down as soon as it runs.
    ///
    /// # Errors
    ///
    /// When it does not start, or has no such walls.
    pub async fn without(stage: &Stage, wall: Control) -> Result<Self> {
        if stage.number < FIRST_SANDBOXED {
            bail!("{} has no walls to take down", stage.name);
        }
        let proxy = DockerProxy::start()?;
        let mut testbed = Self::on_host(stage, proxy.between(Launch::new(stage))).await?;
        proxy.disable(wall);
        testbed.proxy = Some(proxy);
        Ok(testbed)
    }

    /// A stage that already runs, at `url`. Its ground is this host.
    ///
    /// # Errors
    ///
    /// When the URL is none, or the ground cannot be prepared.
    pub fn at(stage: u16, url: &str) -> Result<Self> {
        Self::new(stage, HostEnvironment::host()?, url)
    }

    /// A server of ours that stands in the place of stage number `stage`. Its ground is this host.
    ///
    /// # Errors
    ///
    /// When the ground cannot be prepared.
    pub fn around(stage: u16, server: Server) -> Result<Self> {
        let mut testbed = Self::at(stage, server.url())?;
        testbed.server = Some(server);
        Ok(testbed)
    }

    fn new(stage: u16, ground: HostEnvironment, url: &str) -> Result<Self> {
        let (client, client_address) = (Client::new(stage, url)?, address_of(url)?);
        Ok(Self {
            relay: None,
            server: None,
            proxy: None,
            stage,
            client,
            ground,
            secrets: None,
            address: client_address,
            client_address,
            host_kernel: OnceCell::new(),
        })
    }

    /// Submits a probe with these constants, and waits for its end.
    ///
    /// # Errors
    ///
    /// When the server does not do its part.
    pub async fn fire(&self, code: &str, values: &Values, seconds: u16) -> Result<Run> {
        let assembled = assemble(code, values);
        let mut program = Program::new(assembled.code);
        program.timeout_seconds = Some(f64::from(seconds));
        let answer = self.client.evaluate(&program).await?;
        Ok(Run::new(answer, &assembled.marker))
    }

    /// Submits a probe, and waits until a worker has it.
    ///
    /// # Errors
    ///
    /// When the server does not do its part, or is a stage 1, which can only wait for the end.
    pub async fn begin(&self, code: &str, values: &Values, seconds: u16) -> Result<Started> {
        let assembled = assemble(code, values);
        let mut program = Program::new(assembled.code);
        program.timeout_seconds = Some(f64::from(seconds));
        let mut evaluation = self.client.submit(&program, 0).await?;
        while evaluation.status == Status::Queued {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let path = format!("/eval/{}", evaluation.id);
            let response = self.client.request(Method::GET, &path).send().await?;
            evaluation = response.error_for_status()?.json().await?;
        }
        Ok(Started { evaluation, marker: assembled.marker })
    }

    /// Waits for the end of what was begun.
    ///
    /// # Errors
    ///
    /// When the server does not do its part.
    pub async fn end(&self, started: Started) -> Result<Run> {
        let evaluation = self.client.finished(started.evaluation).await?;
        Ok(Run::new(Answer::Evaluation(Box::new(evaluation)), &started.marker))
    }

    /// The server's own process, as the ground numbers it.
    ///
    /// # Errors
    ///
    /// When it was started by somebody else, or has ended.
    pub fn server_process(&self) -> Result<u32> {
        let outer = self.server.as_ref().map(Server::pid);
        match self.ground.as_jail() {
            Some(jail) => jail.stage(),
            None => outer.context("the server was started by somebody else"),
        }
    }

    /// What that sandbox of the stage uses that uses most. None while there are none.
    ///
    /// # Errors
    ///
    /// When Docker does not answer.
    pub async fn containers(&self) -> Result<Option<Counters>> {
        containers::counters(self.server.as_ref().map(Server::pid)).await
    }

    /// What the stage's programs have written outside of their scratch space, in MiB. None while there
    /// is nobody who could. `taken` is the space that the host has lost meanwhile.
    ///
    /// # Errors
    ///
    /// When Docker does not answer.
    pub async fn written(&self, taken: u64) -> Result<Option<u64>> {
        containers::written(self.server.as_ref().map(Server::pid), taken).await
    }

    /// Whether the kernel of this host is the one that the stage's programs talk to. Found out once,
    /// by a program that gives itself a name: a process of that name is there, or it is not.
    ///
    /// # Errors
    ///
    /// When that program does not run.
    pub async fn host_kernel_runs_it(&self) -> Result<bool> {
        self.host_kernel.get_or_try_init(|| kernel_detection::seen(self)).await.copied()
    }

    /// The end of what the server wrote to standard error. None when it is not ours.
    pub fn stderr(&self) -> Option<String> {
        self.server.as_ref().map(Server::stderr)
    }

    /// Takes the stage down.
    ///
    /// # Errors
    ///
    /// When a stage that is not in a jail does not end in order: then it may have left something.
    /// When a wall was to be down, and none was: then nothing that was seen means what it seems to.
    pub async fn close(self) -> Result<()> {
        let Self { client, ground, server, relay, proxy, .. } = self;
        // Idle connections would keep the server waiting.
        drop((client, relay));
        match server {
            // A jail ends as a whole, whatever is in it.
            Some(server) if ground.is_cell() => drop(server),
            Some(server) => server.stop().await?,
            None => {}
        }
        if proxy.is_some_and(|proxy| proxy.altered() == 0) {
            bail!("the stage ordered no container from Docker, so that no wall was taken down");
        }
        Ok(())
    }
}

/// With a worker for every program that probes may have under way at one moment: two that are to
/// run together must not wait for each other.
fn busy(launch: Launch, stage: &Stage) -> Launch {
    if stage.number == 1 { launch } else { launch.arg("--workers").arg("10") }
}

fn address_of(url: &str) -> Result<SocketAddr> {
    let address = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    match address.parse() {
        Ok(address) => Ok(address),
        Err(_) => bail!("{url:?} is not http://ADDRESS:PORT"),
    }
}
