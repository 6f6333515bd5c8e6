//! File descriptors: the limit is raised at the start, and shared out between connections and engine.
//!
//! Attack: a thousand connections use up the descriptors, so that the engine cannot read the counters of
//! a program that runs -> connections get what is left after a reserve for the engine. Test of
//! stage 2: `connections_leave_descriptors_to_the_engine`.

use crate::http::MAX_CONNECTIONS;

/// The limit that is asked for. Far more than is needed, and few enough for children that close them
/// one by one.
const MAX_DESCRIPTORS: u64 = 1 << 16;
/// Descriptors for everything but connections and running programs.
const RESERVED_DESCRIPTORS: u64 = 128;
/// Descriptors for each worker: pipes, counters and the connection to the sandbox, twice as many as were
/// seen.
const RESERVED_DESCRIPTORS_PER_WORKER: u64 = 48;
/// Connections, however few descriptors there are.
const MIN_CONNECTIONS: usize = 16;

/// Raises the soft limit of this process as far as its hard limit allows.
pub(super) fn raise_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(MAX_DESCRIPTORS) {
        tracing::warn!(%error, "the limit of file descriptors stays as it is");
    }
}

/// How many connections the descriptors are enough for, beside an engine with so many workers.
pub(super) fn for_connections(workers: u16) -> usize {
    share(rlimit::Resource::NOFILE.get_soft().unwrap_or(u64::MAX), workers)
}

fn share(limit: u64, workers: u16) -> usize {
    let reserve = RESERVED_DESCRIPTORS + RESERVED_DESCRIPTORS_PER_WORKER * u64::from(workers);
    let left = usize::try_from(limit.saturating_sub(reserve)).unwrap_or(usize::MAX);
    left.clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_has_its_reserve_first() {
        assert_eq!(share(1 << 20, 4), MAX_CONNECTIONS);
        assert_eq!(share(1024, 4), 1024 - 128 - 4 * 48);
        assert_eq!(share(256, 4), MIN_CONNECTIONS);
        assert_eq!(share(0, 256), MIN_CONNECTIONS);
    }
}
