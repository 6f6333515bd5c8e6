//! What a run does.

use std::env;
use std::str::FromStr;
use std::time::Duration;

use super::history::Kind;
use super::nemesis::Failure;

/// When the next failure of a list comes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// After a pause of this length at least and at most, in milliseconds.
    Pause(u64, u64),
    /// Whenever so many more evaluations have ended: as often on a slow machine as on a fast one.
    Ended(u32),
}

/// Failures that come one at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failures(pub(super) &'static [Failure], pub(super) Pace);

impl Failures {
    pub(super) const NONE: Self = Self(&[], Pace::Ended(1));
}

/// One run.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) broker: &'static str,
    pub(super) count: u32,
    pub(super) seed: u64,
    /// Each has one evaluation at a time.
    pub(super) clients: u32,
    /// How many programs one worker runs at a time.
    pub(super) places: u32,
    pub(super) lease_seconds: u32,
    pub(super) processes: Failures,
    pub(super) network: Failures,
    /// Bugs that are put back.
    pub(super) failpoints: &'static str,
    /// What they have to be found as. The run ends with the first of them.
    pub(super) until: &'static [Kind],
    /// Whether a submission has a key, so that it is one however often it is sent.
    pub(super) has_keys: bool,
    /// How many lines all programs print, five a second. None for programs of several kinds.
    pub(super) lines: Option<u32>,
    /// How long one evaluation may take.
    pub(super) patience: Duration,
}

impl Plan {
    /// The whole of it, as the recipe or the test command wants it.
    pub(super) fn whole(broker: &'static str, processes: &'static [Failure]) -> Self {
        Self {
            count: setting("CRUCIBLE_JEPSEN_COUNT", 500),
            seed: setting("CRUCIBLE_JEPSEN_SEED", 12),
            clients: setting("CRUCIBLE_JEPSEN_CLIENTS", 40),
            places: 8,
            processes: Failures(processes, Pace::Ended(25)),
            // A machine at its limit has an evaluation wait, and lose its attempts, for minutes.
            patience: Duration::from_mins(10),
            ..Self::small(broker)
        }
    }

    /// A bug, the failures that show it, and what it is found as.
    pub(super) fn with_bug(
        failpoints: &'static str,
        processes: &'static [Failure],
        until: &'static [Kind],
    ) -> Self {
        let processes = Failures(processes, Pace::Pause(200, 1_500));
        Self { processes, failpoints, until, ..Self::small("nats") }
    }

    /// A few evaluations, and nothing fails.
    fn small(broker: &'static str) -> Self {
        Self {
            broker,
            count: 40,
            seed: 12,
            clients: 10,
            places: 2,
            lease_seconds: 4,
            processes: Failures::NONE,
            network: Failures::NONE,
            failpoints: "",
            until: &[],
            has_keys: true,
            lines: None,
            patience: Duration::from_secs(90),
        }
    }

    pub(super) fn nothing_fails(&self) -> bool {
        self.processes.0.is_empty() && self.network.0.is_empty()
    }
}

fn setting<T: FromStr>(name: &str, default: T) -> T {
    match env::var(name) {
        Ok(text) => text.parse().ok().unwrap_or_else(|| panic!("{name} is no number: {text}")),
        Err(_) => default,
    }
}
