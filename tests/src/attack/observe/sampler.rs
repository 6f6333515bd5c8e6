//! Repeated observation while a future runs.

use std::time::Duration;

use anyhow::Result;
use tokio::time::sleep;

/// Runs `work`, and calls `look` every `every` until it is done, and once more then.
pub(super) async fn while_running<T>(
    work: impl Future<Output = Result<T>>,
    every: Duration,
    mut look: impl AsyncFnMut(),
) -> Result<T> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => {
                look().await;
                return done;
            }
            () = sleep(every) => look().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_looks_while_the_work_runs_and_once_after() {
        let mut looks = 0;
        let work = async {
            sleep(Duration::from_millis(100)).await;
            Ok(7)
        };
        let done = while_running(work, Duration::from_millis(20), async || looks += 1).await;
        assert_eq!(done.unwrap(), 7);
        assert!(looks >= 2, "{looks}");
    }
}
