//! The event bus and its subscribers, started together.

use std::sync::Arc;

use shared::cli::BuildError;
use shared::http::Router;
use stage_06_advanced::Platform;
use stage_09_frontier::{Accounts, Frontier};

use crate::args::EventArgs;
use crate::bus::EventBus;
use crate::webhooks::Webhooks;
use crate::{metrics, violations};

/// The bus, webhooks and rules of one server.
pub struct Parts {
    /// The bus.
    pub bus: Arc<EventBus>,
    webhooks: Arc<Webhooks>,
    /// The name of the engine among the components, if there is one here.
    engine: Option<&'static str>,
}

impl Parts {
    /// Starts them over the event log of `frontier`.
    ///
    /// # Errors
    ///
    /// When the rules are not valid, or the database or the event log cannot be read.
    pub async fn start(
        frontier: &Frontier,
        accounts: &mut Accounts,
        args: &EventArgs,
    ) -> Result<Self, BuildError> {
        let (log, store) = (Arc::clone(&frontier.log), &frontier.store);
        let monitor = frontier.components.monitor.clone();
        let bus = EventBus::start(log, monitor, Arc::clone(store)).await?;
        let rules = args.rules()?;
        rules.attach(&bus).await?;
        let (options, fixed) = (args.webhook_options(), rules.webhooks);
        let webhooks = Webhooks::start(&bus, store, accounts, options, fixed).await?;
        accounts.add_metrics(metrics::of(&bus, &webhooks));
        let engine = frontier.components.engine.as_ref().map(|engine| engine.name());
        Ok(Self { bus, webhooks, engine })
    }

    /// The routes, to be merged over those of the platform.
    pub fn routes(&self) -> Router {
        self.webhooks.routes()
    }

    /// Lets `platform` verify the bus with its own components, and the bus tell of its isolation.
    pub fn register(&self, platform: &Platform) {
        platform.health().register_component(self.bus.clone());
        if let Some(engine) = self.engine {
            violations::watch(&self.bus, platform, engine);
        }
    }
}
