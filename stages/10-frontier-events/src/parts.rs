//! The event bus and its subscribers, started together.

use std::sync::Arc;

use shared::cli::{BuildError, Settings};
use shared::http::Router;
use stage_03_monitoring::SubscribeError;
use stage_06_advanced::Platform;
use stage_09_frontier::{Accounts, Frontier, FrontierArgs, Replaced, Upkeep};

use crate::args::EventArgs;
use crate::bugs::{self, has_bug};
use crate::bus::{EventBus, EventHistory};
use crate::fleet::{Fleet, runner};
use crate::rules::{Rules, RulesTest, rule_routes};
use crate::subscribers::audit::AuditEvents;
use crate::subscribers::counters::Counters;
use crate::subscribers::monitor::EventMonitor;
use crate::subscribers::retention;
use crate::webhooks::{Webhooks, WebhooksTest};
use crate::{metrics, violations};

/// Stage 09, with what this stage has in place of parts of it.
pub struct Below {
    /// The parts of stage 09.
    pub frontier: Frontier,
    counters: Arc<Counters>,
}

impl Below {
    /// Builds them: the monitor appends events and calls nothing, and retention is a subscriber. With a fleet its
    /// workers run the programs.
    ///
    /// # Errors
    ///
    /// As [`Frontier::build`].
    pub async fn build(
        settings: &Settings,
        args: &FrontierArgs,
        fleet: Option<&Arc<Fleet>>,
    ) -> Result<Self, BuildError> {
        let counters = Counters::new();
        let of_monitor = Arc::clone(&counters);
        let replaced = Replaced {
            runner: fleet.map(runner),
            monitor: Some(Box::new(|log| Arc::new(EventMonitor::new(log, of_monitor)))),
            upkeep: Upkeep::Called,
        };
        let frontier = Frontier::build_on(settings, args, replaced).await?;
        if let Some(fleet) = fleet {
            fleet.emit_to(frontier.components.monitor.clone());
            if let Some(engine) = &frontier.components.engine {
                let (engine, gone) = (Arc::clone(engine), frontier.engine_gone.clone());
                fleet.start_local_worker(settings, args, engine, gone);
            }
        }
        Ok(Self { frontier, counters })
    }

    /// Attaches the subscribers that are in place of calls.
    async fn subscribe(&self, bus: &Arc<EventBus>) -> Result<(), SubscribeError> {
        if !has_bug(bugs::WITHOUT_METRICS) {
            self.counters.attach(bus, self.frontier.began).await?;
        }
        if !has_bug(bugs::WITHOUT_AUDIT) {
            bus.attach_durable(Arc::new(AuditEvents)).await?;
        }
        if let Some(storage) = &self.frontier.stored
            && !has_bug(bugs::WITHOUT_RETENTION)
        {
            retention::attach(bus, Arc::clone(storage)).await?;
        }
        Ok(())
    }
}

/// The bus, webhooks and rules of one server.
pub struct Parts {
    /// The bus.
    pub bus: Arc<EventBus>,
    history: Arc<EventHistory>,
    webhooks: Arc<Webhooks>,
    rules: Rules,
    /// The name of the engine among the components, if there is one here.
    engine: Option<&'static str>,
}

impl Parts {
    /// Starts them over the event log of `below`, with the subscribers that are in place of calls.
    ///
    /// # Errors
    ///
    /// When the rules are not valid, or the database or the event log cannot be read.
    pub async fn start(
        below: &Below,
        accounts: &mut Accounts,
        args: &EventArgs,
    ) -> Result<Self, BuildError> {
        let frontier = &below.frontier;
        let (log, store) = (Arc::clone(&frontier.log), &frontier.store);
        let monitor = frontier.components.monitor.clone();
        let bus = EventBus::start(log, monitor, Arc::clone(store)).await?;
        below.subscribe(&bus).await?;
        let rules = args.rules()?;
        rules.attach(&bus).await?;
        let (options, fixed) = (args.webhook_options(), rules.webhooks.clone());
        let webhooks = Webhooks::start(&bus, store, accounts, options, fixed).await?;
        accounts.add_metrics(metrics::of(&bus, &webhooks));
        let engine = frontier.components.engine.as_ref().map(|engine| engine.name());
        let history = EventHistory::new(&bus, accounts);
        Ok(Self { bus, history, webhooks, rules, engine })
    }

    /// The routes, to be merged over those of the platform.
    pub fn routes(&self) -> Router {
        self.webhooks.routes().merge(self.history.routes()).merge(rule_routes(self.rules.clone()))
    }

    /// Lets `platform` verify these with its own components, and the bus tell of its isolation.
    pub fn register(&self, platform: &Platform) {
        let health = platform.health();
        health.register_component(self.bus.clone());
        let (webhooks, bus) = (Arc::clone(&self.webhooks), Arc::clone(&self.bus));
        health.register_component(Arc::new(WebhooksTest { webhooks, bus }));
        health.register_component(Arc::new(RulesTest(self.rules.clone())));
        if let Some(engine) = self.engine {
            violations::watch(&self.bus, platform, engine);
        }
    }
}
