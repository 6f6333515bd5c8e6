//! A worker, made of its flags.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::Engine;
use shared::cli::{BuildError, Settings};
use stage_06_advanced::Profiles;
use stage_09_frontier::FrontierArgs;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::api::Api;
use super::client::ApiClient;
use super::serve::Worker;
use super::sessions::Sessions;
use crate::args::EventsArgs;
use crate::broker::Broker;
use crate::fleet::wire::{Announcement, PROTOCOL, WireBounds};
use crate::fleet::{RoleError, machine_name};
use crate::{broker, bugs};

/// What a worker is made of, beside its flags.
pub(super) struct WorkerParts {
    pub(super) api: Box<dyn Api>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) engine: Arc<dyn Engine>,
    /// For people.
    pub(super) name: String,
}

impl Worker {
    /// A worker on `engine`, which has not joined its fleet yet.
    pub(super) async fn new(
        settings: &Settings,
        args: &EventsArgs,
        engine: Arc<dyn Engine>,
    ) -> Result<Self, BuildError> {
        // It proves itself before the API hears of it.
        engine.self_test().await.map_err(|error| {
            BuildError::new(error.to_string()).context("the engine fails its self test")
        })?;
        let flags = &args.fleet;
        let api = flags.api.as_ref().ok_or(RoleError::NoApi)?;
        let key = flags.key.get().cloned().flatten();
        let ca = flags.ca.get().map(Vec::as_slice);
        let parts = WorkerParts {
            api: Box::new(ApiClient::new(api, Uuid::now_v7(), key, ca)?),
            broker: broker::open(&args.broker.queue, &args.broker.options()).await?,
            engine,
            name: flags.worker_name.clone().unwrap_or_else(machine_name),
        };
        Ok(Self::of(settings, &args.frontier, parts))
    }

    /// A worker of these parts, which has not joined its fleet yet.
    pub(super) fn of(settings: &Settings, args: &FrontierArgs, parts: WorkerParts) -> Self {
        let WorkerParts { api, broker, engine, name } = parts;
        let bounds = args.platform_options("worker", settings).bounds;
        let profiles = args.engine().profiles();
        let announcement = Announcement {
            protocol: PROTOCOL,
            name,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capacity: u32::from(settings.workers) * bugs::claimed_ahead(),
            environments: environments(&profiles),
            sandbox: engine.sandbox(),
            bounds: WireBounds::from(&bounds),
        };
        let test_interval = args.contract.api.platform.self_test_seconds;
        Self {
            api,
            broker,
            engine,
            bounds,
            profiles,
            sessions: Sessions::default(),
            draining: CancellationToken::new(),
            now: CancellationToken::new(),
            announcement,
            terms: Mutex::default(),
            failing: Mutex::default(),
            test_interval: Duration::from_secs(test_interval.into()),
        }
    }
}

/// The environments, with the digest of each that was built.
fn environments(profiles: &Profiles) -> BTreeMap<String, Option<String>> {
    let built = profiles.environments.iter();
    let built = built.map(|one| (one.profile.name.to_string(), Some(one.digest.clone())));
    std::iter::once((profiles.default.name.to_string(), None)).chain(built).collect()
}
