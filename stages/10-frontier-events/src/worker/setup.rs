//! A worker, made of its flags.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::Engine;
use shared::cli::{BuildError, Settings};
use stage_06_advanced::Profiles;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::client::ApiClient;
use super::serve::Worker;
use super::sessions::Sessions;
use crate::args::EventsArgs;
use crate::fleet::RoleError;
use crate::fleet::wire::{Announcement, PROTOCOL, WireBounds};
use crate::{broker, bugs};

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
        let bounds = args.frontier.platform_options("worker", settings).bounds;
        let profiles = args.frontier.engine().profiles();
        let announcement = Announcement {
            protocol: PROTOCOL,
            name: flags.worker_name.clone().unwrap_or_else(machine_name),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            capacity: u32::from(settings.workers) * bugs::claimed_ahead(),
            environments: environments(&profiles),
            sandbox: engine.sandbox(),
            bounds: WireBounds::from(&bounds),
        };
        let test_interval = args.frontier.contract.api.platform.self_test_seconds;
        Ok(Self {
            api: ApiClient::new(api, Uuid::now_v7(), key, ca)?,
            broker: broker::open(&args.broker.queue, &args.broker.options()).await?,
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
        })
    }
}

/// The environments, with the digest of each that was built.
fn environments(profiles: &Profiles) -> BTreeMap<String, Option<String>> {
    let built = profiles.environments.iter();
    let built = built.map(|one| (one.profile.name.to_string(), Some(one.digest.clone())));
    std::iter::once((profiles.default.name.to_string(), None)).chain(built).collect()
}

/// The name of this machine.
fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(|c| !c.is_control()).take(100).collect();
    if name.is_empty() { "worker".to_owned() } else { name }
}
