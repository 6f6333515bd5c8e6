//! Bugs that a test puts back, to see that it finds them: `FAILPOINTS="fleet.no_fencing=return"`.
//!
//! In a release build nothing of this is compiled.

/// A token counts without limit and from every worker, and no worker ends what it has lost.
pub(crate) const NO_FENCING: &str = "fleet.no_fencing";
/// A result is confirmed before it is committed.
pub(crate) const EARLY_CONFIRMATION: &str = "fleet.early_confirmation";
/// A ticket that the broker has lost is not published again.
pub(crate) const NO_REPUBLICATION: &str = "fleet.no_republication";
/// What runs can be claimed once more.
pub(crate) const CLAIMED_TWICE: &str = "fleet.claimed_twice";

/// A worker claims four times what it can run, and gives no sign of life for what waits.
pub(crate) const PREFETCH: &str = "fleet.prefetch";

/// The subscribers of the bus that a test can remove.
pub(crate) const WITHOUT_METRICS: &str = "bus.without_metrics";
pub(crate) const WITHOUT_AUDIT: &str = "bus.without_audit";
pub(crate) const WITHOUT_RETENTION: &str = "bus.without_retention";
pub(crate) const WITHOUT_WEBHOOKS: &str = "bus.without_webhooks";
pub(crate) const WITHOUT_RULES: &str = "bus.without_rules";

/// Whether a test has put this bug back.
#[cfg(debug_assertions)]
pub(crate) fn has_bug(name: &'static str) -> bool {
    fail::fail_point!(name, |_| true);
    false
}

/// In a release build there are none of them.
#[cfg(not(debug_assertions))]
pub(crate) const fn has_bug(_name: &'static str) -> bool {
    false
}

/// How many times as many evaluations a worker claims as it can run.
pub(crate) fn claimed_ahead() -> u32 {
    if has_bug(PREFETCH) { 4 } else { 1 }
}

/// Waits until what was claimed ahead can run.
#[cfg(debug_assertions)]
pub(crate) async fn place() -> Option<tokio::sync::SemaphorePermit<'static>> {
    static PLACES: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);
    if has_bug(PREFETCH) { PLACES.acquire().await.ok() } else { None }
}

/// In a release build nothing is claimed ahead.
#[cfg(not(debug_assertions))]
pub(crate) fn place() -> std::future::Ready<Option<()>> {
    std::future::ready(None)
}
