//! A fleet, made of its flags.

use std::sync::Arc;

use shared::cli::{BuildError, Settings};
use stage_09_frontier::Runner;

use super::args::{engine_name, machine_name};
use super::state::MAX_SESSIONS;
use super::{BrokerDispatch, Fleet, FleetEngine, FleetOptions, Role};
use crate::args::EventsArgs;
use crate::broker::{self, QueueUrl};

impl Fleet {
    /// The fleet of a server with the role `api`, or `all` and a broker. None for others, and for commands beside
    /// `serve`, which run programs themselves.
    ///
    /// # Errors
    ///
    /// When the broker cannot be used. One that is only away is no error.
    pub async fn open(
        settings: &Settings,
        args: &EventsArgs,
    ) -> Result<Option<Arc<Self>>, BuildError> {
        let has_broker = !matches!(args.broker.queue, QueueUrl::Memory);
        let is_api = has_broker && args.fleet.role != Role::Worker;
        if !is_api || !args.frontier.storage.is_serving() {
            return Ok(None);
        }
        let name = || args.fleet.worker_name.clone().unwrap_or_else(machine_name);
        let broker = broker::open(&args.broker.queue, &args.broker.options()).await?;
        let options = FleetOptions {
            lease: args.fleet.lease(),
            republish: args.fleet.republish(),
            engine: engine_name(args.frontier.contract.api.platform.engine.engine),
            bounds: settings.bounds(),
            profiles: args.frontier.engine().profiles(),
            local_worker: (args.fleet.role == Role::All).then(name),
        };
        Ok(Some(Self::new(broker, options)))
    }
}

/// What runs the programs of the queue: the workers of `fleet`.
pub(crate) fn runner(fleet: &Arc<Fleet>) -> Runner {
    let of_dispatch = Arc::clone(fleet);
    Runner {
        engine: Arc::new(FleetEngine::new(Arc::clone(fleet))),
        dispatch: Box::new(move |jobs| BrokerDispatch::start(&of_dispatch, jobs)),
        workers: MAX_SESSIONS,
        with_local: fleet.options.local_worker.is_some(),
    }
}
