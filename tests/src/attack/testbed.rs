//! The testbed: one stage under attack, in the host environment that the attacks target.
//!
//! A stage without a sandbox runs in a [`jail`], which is its host environment. For every other
//! stage it is the host itself, because the stage has to contain the attack and needs Docker's
//! socket.

pub mod cgroup;
pub mod containers;
mod environment;
pub mod facts;
pub mod host_environment;
pub mod jail;
mod kernel_detection;
pub mod network;
mod runs;
pub mod secrets;
pub mod tenants;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use tokio::sync::OnceCell;

use crate::attack::fault_injection::runsc::{FaultyRunsc, RunscControl};
use crate::attack::fault_injection::{Control, DockerProxy};
use crate::attack::probe::header::FIRST_SANDBOXED;
use crate::attack::probe::program::canary;
use crate::support::client::Client;
use crate::support::server::{Launch, Server};
use crate::support::stages::Stage;

use cgroup::Counters;
use environment::Environment;
use host_environment::HostEnvironment;
use jail::Plan;
use network::Relay;
pub use runs::Started;
use secrets::Secrets;
use tenants::Keys;

/// One stage under attack.
#[derive(Debug)]
pub struct Testbed {
    // Fields are dropped in their order: first the relay, then the server, then the host
    // environment.
    relay: Option<Relay>,
    server: Option<Server>,
    proxy: Option<DockerProxy>,
    faulty_runsc: Option<FaultyRunsc>,
    /// The stage's number.
    pub stage: u16,
    /// A client of the stage's API.
    pub client: Client,
    /// The files, processes and network around it.
    pub host: HostEnvironment,
    /// The secrets around the server, if the ladder started it.
    pub secrets: Option<Secrets>,
    /// The keys of a server that already runs.
    pub keys: Option<Keys>,
    /// The address of the server in the host environment.
    pub address: SocketAddr,
    /// The address at which clients reach it from here.
    pub client_address: SocketAddr,
    host_kernel: OnceCell<bool>,
    /// What programs run in, if that is not the default.
    environment: Option<Environment>,
    /// Whether that is a sandbox that stays.
    runs_in_kept_sandboxes: bool,
}

impl Testbed {
    /// Starts `stage` in its host environment.
    ///
    /// # Errors
    ///
    /// When it does not start, or its jail cannot be created.
    pub async fn open(stage: &Stage) -> Result<Self> {
        if stage.number >= FIRST_SANDBOXED {
            return Self::on_host(stage, Launch::new(stage)).await;
        }
        Self::in_jail(stage, Vec::new()).await
    }

    /// Starts `stage` in a jail. With `wrapper`, that program, which gets the command line of the stage.
    ///
    /// # Errors
    ///
    /// When it does not start, or the jail cannot be created.
    pub async fn in_jail(stage: &Stage, wrapper: Vec<OsString>) -> Result<Self> {
        let (secrets, decoy, home) = (Secrets::new()?, canary(), Path::new("/root"));
        let plan = Plan::new(canary(), decoy.clone())?;
        let launch = busy(Launch::new(stage), stage).kill_on_drop();
        let prefix = [plan.prefix()?, wrapper].concat();
        let launch = secrets.configure_launch(launch, home, prefix)?;
        let server = launch.start().await?;
        let jail = plan.built(server.pid())?;
        let host = HostEnvironment::jail(jail, decoy);
        secrets.write_credentials(&host.outside(home))?;
        let relay = Relay::start(host.network(), address_of(server.url())?).await?;
        let mut testbed = Self::new(stage.number, host, relay.url())?;
        testbed.address = address_of(server.url())?;
        (testbed.relay, testbed.server, testbed.secrets) =
            (Some(relay), Some(server), Some(secrets));
        Ok(testbed)
    }

    /// Starts a sandboxed stage on this host, as `launch` is configured.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn on_host(stage: &Stage, launch: Launch) -> Result<Self> {
        let (secrets, host) = (Secrets::new()?, HostEnvironment::host()?);
        let home = host.dir().join("home");
        secrets.write_credentials(&home)?;
        let server =
            secrets.configure_launch(busy(launch, stage), &home, Vec::new())?.start().await?;
        let mut testbed = Self::new(stage.number, host, server.url())?;
        (testbed.server, testbed.secrets) = (Some(server), Some(secrets));
        Ok(testbed)
    }

    /// Starts a sandboxed stage, and disables one of its controls as soon as it runs.
    ///
    /// # Errors
    ///
    /// When it does not start, or has no sandbox.
    pub async fn without(stage: &Stage, control: Control) -> Result<Self> {
        if stage.number < FIRST_SANDBOXED {
            bail!("{} has no control to disable", stage.name);
        }
        let proxy = DockerProxy::start()?;
        let mut testbed = Self::on_host(stage, proxy.between(Launch::new(stage))).await?;
        proxy.disable(control);
        testbed.proxy = Some(proxy);
        Ok(testbed)
    }

    /// Starts a stage that drives runsc, and leaves out one control of its sandboxes as soon as it runs.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn without_runsc(stage: &Stage, control: RunscControl) -> Result<Self> {
        let faulty_runsc = FaultyRunsc::start()?;
        let mut testbed = Self::on_host(stage, faulty_runsc.drive(Launch::new(stage))).await?;
        faulty_runsc.leave_out(control)?;
        testbed.faulty_runsc = Some(faulty_runsc);
        Ok(testbed)
    }

    /// A stage that already runs, at `url`, on this host.
    ///
    /// # Errors
    ///
    /// When the URL is invalid, or the host environment cannot be prepared.
    pub fn at(stage: u16, url: &str) -> Result<Self> {
        let mut testbed = Self::new(stage, HostEnvironment::host()?, url)?;
        testbed.set_keys(Keys::from_env()?);
        Ok(testbed)
    }

    /// A test server in place of stage number `stage`, on this host.
    ///
    /// # Errors
    ///
    /// When the host environment cannot be prepared.
    pub fn around(stage: u16, server: Server) -> Result<Self> {
        let mut testbed = Self::at(stage, server.url())?;
        testbed.server = Some(server);
        Ok(testbed)
    }

    fn new(stage: u16, host: HostEnvironment, url: &str) -> Result<Self> {
        let (client, client_address) = (Client::new(stage, url)?, address_of(url)?);
        Ok(Self {
            relay: None,
            server: None,
            proxy: None,
            faulty_runsc: None,
            stage,
            client,
            host,
            secrets: None,
            keys: None,
            address: client_address,
            client_address,
            host_kernel: OnceCell::new(),
            environment: None,
            runs_in_kept_sandboxes: false,
        })
    }

    /// The pid of the server in the host environment.
    ///
    /// # Errors
    ///
    /// When the ladder did not start it, or it has exited.
    pub fn server_process(&self) -> Result<u32> {
        let outer = self.server.as_ref().map(Server::pid);
        match self.host.as_jail() {
            Some(jail) => jail.stage(),
            None => outer.context("the ladder did not start this server"),
        }
    }

    /// The element-wise maximum of the counters of the stage's sandboxes. None without a sandbox.
    ///
    /// # Errors
    ///
    /// When Docker does not respond.
    pub async fn containers(&self) -> Result<Option<Counters>> {
        containers::counters(self.server.as_ref().map(Server::pid)).await
    }

    /// What the stage's programs have written outside of their scratch space, in MiB. None without
    /// a sandbox. `taken` is how much the free space of the host has shrunk.
    ///
    /// # Errors
    ///
    /// When Docker does not respond.
    pub async fn written(&self, taken: u64) -> Result<Option<u64>> {
        containers::written(self.server.as_ref().map(Server::pid), taken).await
    }

    /// Whether the stage's programs run on the kernel of this host. Detected once, by a program
    /// that names itself: the host sees a process of that name, or it does not.
    ///
    /// # Errors
    ///
    /// When that program does not run.
    pub async fn host_kernel_runs_it(&self) -> Result<bool> {
        self.host_kernel.get_or_try_init(|| kernel_detection::seen(self)).await.copied()
    }

    /// The end of the server's standard error. None when the ladder did not start it.
    pub fn stderr(&self) -> Option<String> {
        self.server.as_ref().map(Server::stderr)
    }

    /// Stops the stage.
    ///
    /// # Errors
    ///
    /// When a stage outside of a jail does not exit in order: it may have left something behind.
    /// When no control was disabled although one should have been: the results prove nothing then.
    pub async fn close(self) -> Result<()> {
        let Self { client, host, server, relay, proxy, faulty_runsc, .. } = self;
        // Idle connections would keep the server waiting.
        drop((client, relay));
        match server {
            // A jail ends with all its processes.
            Some(server) if host.is_jail() => drop(server),
            Some(server) => server.stop().await?,
            None => {}
        }
        if proxy.is_some_and(|proxy| proxy.changed() == 0) {
            bail!("the stage created no container, so that no control was disabled");
        }
        if faulty_runsc.is_some_and(|faulty_runsc| faulty_runsc.changed() == 0) {
            bail!("the stage started no sandbox, so that no control was left out");
        }
        Ok(())
    }
}

/// With a worker for every program of all concurrent probes: the two programs of a pair must not
/// wait for each other.
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
