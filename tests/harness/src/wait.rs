//! Waiting for a condition, with a name for the failure.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often a condition is evaluated.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` is true.
///
/// # Panics
///
/// With `what` when it is still false after `timeout`.
pub async fn eventually(what: &str, timeout: Duration, mut condition: impl FnMut() -> bool) {
    eventually_some(what, timeout, async || condition().then_some(())).await;
}

/// Waits until `condition` returns a value, and returns it. The condition may itself wait.
///
/// # Panics
///
/// With `what` when there is still none after `timeout`.
pub async fn eventually_some<T>(
    what: &str,
    timeout: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(started.elapsed() < timeout, "not within {timeout:?}: {what}");
        sleep(POLL_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_the_condition() {
        let mut left = 3;
        eventually("it counts down", Duration::from_secs(1), || {
            left -= 1;
            left == 0
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "not within 1s: it counts down")]
    async fn it_names_what_did_not_come() {
        eventually("it counts down", Duration::from_secs(1), || false).await;
    }
}
