//! The flags of this stage: those of stage 09, and one struct for each part.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::value_parser;
use ipnet::IpNet;
use shared::cli::{BuildError, Diagnosis, Exit, Isolation, Settings, StageArgs};
use shared::http::HttpServerFn;
use stage_09_frontier::FrontierArgs;

use crate::broker::BrokerArgs;
use crate::fleet::{FleetArgs, Role};
use crate::rules::{RuleError, Rules};
use crate::webhooks::{NetworkPolicy, WebhookOptions};

/// The number of this stage.
const STAGE: u16 = 10;

/// The flags of webhooks and rules.
#[derive(Debug, Clone, clap::Args)]
pub struct EventArgs {
    /// Network that webhooks may lead to although it is private or special, and plain HTTP, such as
    /// 10.1.0.0/16 (can be repeated)
    #[arg(
        long,
        global = true,
        value_name = "CIDR",
        env = "CRUCIBLE_WEBHOOK_ALLOW",
        value_delimiter = ','
    )]
    pub webhook_allow: Vec<IpNet>,
    /// How long an event is sent to a webhook again and again, in seconds, before it is parked
    #[arg(long, global = true, value_name = "SECONDS", env = "CRUCIBLE_WEBHOOK_RETRY_SECONDS",
          default_value_t = 86_400, value_parser = value_parser!(u64).range(0..=2_592_000))]
    pub webhook_retry_seconds: u64,
    /// TOML file with rules that turn events into webhooks and lines of the log
    #[arg(long, global = true, value_name = "FILE", env = "CRUCIBLE_RULES")]
    pub rules: Option<PathBuf>,
    /// The rules, once they are read.
    #[arg(skip)]
    read: Arc<OnceLock<Rules>>,
}

impl EventArgs {
    /// What webhooks are configured with.
    pub fn webhook_options(&self) -> WebhookOptions {
        let policy = NetworkPolicy { allowed: self.webhook_allow.clone() };
        WebhookOptions { policy, retry_time: Duration::from_secs(self.webhook_retry_seconds) }
    }

    /// The rules, which are read while the process may: before it gives up its privileges.
    ///
    /// # Errors
    ///
    /// When they are not valid.
    pub fn rules(&self) -> Result<Rules, RuleError> {
        let Some(path) = &self.rules else { return Ok(Rules::default()) };
        if let Some(rules) = self.read.get() {
            return Ok(rules.clone());
        }
        let rules = Rules::read(path, &self.webhook_options().policy)?;
        Ok(self.read.get_or_init(|| rules).clone())
    }
}

/// The flags of this stage and of those below.
#[derive(Debug, Clone, clap::Args)]
pub struct EventsArgs {
    /// Those of stage 09.
    #[command(flatten)]
    pub frontier: FrontierArgs,
    /// The event bus, webhooks and rules.
    #[command(flatten)]
    pub events: EventArgs,
    /// The roles.
    #[command(flatten)]
    pub fleet: FleetArgs,
    /// The broker.
    #[command(flatten)]
    pub broker: BrokerArgs,
}

impl AsRef<FrontierArgs> for EventsArgs {
    fn as_ref(&self) -> &FrontierArgs {
        &self.frontier
    }
}

impl EventsArgs {
    /// The flags of stage 09, for what depends on the number of the stage that is served.
    pub fn below(&self) -> FrontierArgs {
        FrontierArgs { stage: STAGE, ..self.frontier.clone() }
    }
}

impl StageArgs for EventsArgs {
    async fn doctor(&self) -> Vec<Diagnosis> {
        self.frontier.doctor().await
    }

    fn isolation(&self) -> Option<Isolation> {
        self.frontier.isolation()
    }

    fn http_server(&self) -> HttpServerFn {
        self.frontier.http_server()
    }

    fn scheme(&self) -> &'static str {
        self.frontier.scheme()
    }

    fn configure(command: clap::Command) -> Result<clap::Command, BuildError> {
        FrontierArgs::configure(command)
    }

    fn run_one_shot(&self, settings: &Settings) -> Option<Result<(), BuildError>> {
        let contract = || crate::overlay::contract(&settings.bounds(), self);
        let generated = self.frontier.contract.client_from(contract);
        generated.or_else(|| self.below().run_one_shot(settings))
    }

    fn before_serve(&self, settings: &Settings) -> Result<Option<ExitCode>, BuildError> {
        let usable = self.fleet.check(settings, &self.broker.queue);
        if let Err(error) = usable.and_then(|()| self.fleet.read_files()) {
            return Ok(Some(BuildError::from(error).print(Exit::USAGE).into()));
        }
        self.events.rules()?;
        match self.fleet.role {
            Role::All => self.frontier.before_serve(settings),
            Role::Api => self.frontier.before_serve_without_engine(settings).map(|()| None),
            Role::Worker => match self.frontier.before_engine(settings)? {
                Some(exit) => Ok(Some(exit)),
                None => crate::worker::serve(settings, self).map(|exit| Some(exit.into())),
            },
        }
    }
}
