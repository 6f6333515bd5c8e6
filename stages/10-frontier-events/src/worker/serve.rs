//! The process of a worker.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use shared::cli::{BuildError, Exit, Settings, Signals, eprint_line};
use shared::component::{SelfTestError, SelfTestResult};
use shared::{Bounds, Engine};
use stage_06_advanced::{Profiles, remote_engine};
use tokio_util::sync::CancellationToken;

use super::api::{Api, ApiError};
use super::sessions::Sessions;
use super::{run, sync};
use crate::args::EventsArgs;
use crate::broker::Broker;
use crate::fleet::wire::Announcement;

/// How long one request for a ticket waits.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// The pauses between attempts to reach API or broker: the first, doubled up to the last.
const RETRY_INTERVALS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// How long the programs have to end after they were told to.
const END_GRACE: Duration = Duration::from_secs(8);

/// What the API wants.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Terms {
    pub(super) lease: Duration,
    pub(super) poll: Duration,
    /// Between two syncs.
    pub(super) pause: Duration,
}

/// One worker.
pub(super) struct Worker {
    pub(super) api: Box<dyn Api>,
    pub(super) broker: Arc<dyn Broker>,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) bounds: Bounds,
    pub(super) profiles: Profiles,
    pub(super) sessions: Sessions,
    /// Takes no more tickets.
    pub(super) draining: CancellationToken,
    /// Ends what still runs.
    pub(super) now: CancellationToken,
    pub(super) announcement: Announcement,
    pub(super) terms: Mutex<Terms>,
    pub(super) failing: Mutex<Option<String>>,
    /// How often the engine is tested.
    pub(super) test_interval: Duration,
}

/// Works until a signal has ended it.
///
/// # Errors
///
/// When the engine does not start, or the API does not take this worker.
pub(crate) fn serve(settings: &Settings, args: &EventsArgs) -> Result<Exit, BuildError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let exit = runtime.block_on(Box::pin(work(settings, args)));
    // A blocking task that hangs must not keep the process from ending.
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit
}

async fn work(settings: &Settings, args: &EventsArgs) -> Result<Exit, BuildError> {
    let mut signals = Signals::listen()?;
    let engine_args = args.frontier.engine();
    let engine: Arc<dyn Engine> = match remote_engine().await? {
        Some(engine) => engine,
        None => engine_args.start(settings.bounds().default).await?,
    };
    let worker = match Worker::new(settings, args, Arc::clone(&engine)).await {
        Ok(worker) => worker,
        Err(error) => {
            engine.close().await;
            return Err(error);
        }
    };
    let joined = tokio::select! {
        joined = worker.join() => joined,
        () = signals.next() => {
            engine.close().await;
            return Ok(Exit::SUCCESS);
        }
    };
    if let Err(error) = joined {
        engine.close().await;
        return Err(error.into());
    }
    let api = args.fleet.api.as_ref().map(ToString::to_string).unwrap_or_default();
    println!("working for {api}");
    let name = &worker.announcement.name;
    eprint_line(&format!("{name}: {} programs at the same time", settings.workers));
    let exit = worker.until_drained(settings, &mut signals).await;
    worker.api.leave().await.ok(); // the API forgets it by itself
    engine.close().await;
    Ok(exit)
}

impl Worker {
    /// What the API has said.
    pub(super) fn welcome(&self) -> Terms {
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the engine does not work, if it does not.
    pub(super) fn failing(&self) -> Option<String> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Announces itself once.
    pub(super) async fn announce(&self) -> Result<(), ApiError> {
        let welcome = self.api.announce(&self.announcement).await?;
        let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        let terms = Terms {
            lease: seconds(welcome.lease_seconds),
            poll: seconds(welcome.poll_seconds),
            pause: seconds(welcome.pause_seconds.unwrap_or_default()),
        };
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner) = terms;
        Ok(())
    }

    /// Announces itself until the API has taken or refused it.
    pub(super) async fn join(&self) -> Result<(), ApiError> {
        let (mut pause, longest) = RETRY_INTERVALS;
        loop {
            match self.announce().await {
                Err(error) if error.is_temporary() => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    let seconds = pause.as_secs_f64();
                    tracing::warn!(%error, cause, seconds, "not joined yet; it is tried again");
                }
                result => return result,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Works until a signal has come and nothing runs any more.
    async fn until_drained(&self, settings: &Settings, signals: &mut Signals) -> Exit {
        let signalled = CancellationToken::new();
        let places = async {
            self.places().await;
            if !signalled.is_cancelled() {
                // A service manager would start it again, and it would take work again.
                eprint_line(
                    "drained: nothing runs here any more, until this worker is started again",
                );
                signalled.cancelled().await;
            }
        };
        let stopping = async {
            signals.next().await;
            self.draining.cancel();
            signalled.cancel();
            let seconds = settings.drain_seconds;
            eprint_line(&format!(
                "shutting down: running evaluations have {seconds} s; once more stops at once"
            ));
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs_f64(seconds)) => {}
                () = signals.next() => return,
            }
            self.now.cancel();
            tokio::select! {
                () = tokio::time::sleep(END_GRACE) => {}
                () = signals.next() => {}
            }
        };
        tokio::select! {
            () = places => Exit::SUCCESS,
            () = self.background() => Exit::FAILURE,
            () = stopping => Exit::INTERRUPTED,
        }
    }

    /// Takes tickets in all places, until it drains and nothing runs any more.
    pub(super) async fn places(&self) {
        join_all((0..self.announcement.capacity).map(|_| self.place())).await;
    }

    /// Gives signs of life and tests the engine, until it is dropped.
    pub(super) async fn background(&self) {
        tokio::join!(sync::run(self), self.test_engine());
    }

    /// One place: takes a ticket, does what it says, and takes the next.
    async fn place(&self) {
        let environments: Vec<String> = self.announcement.environments.keys().cloned().collect();
        let (first, longest) = RETRY_INTERVALS;
        let mut pause = first;
        while !self.draining.is_cancelled() {
            if self.failing().is_some() {
                self.draining.run_until_cancelled(tokio::time::sleep(longest)).await;
                continue;
            }
            let receive = self.broker.receive(&environments, RECEIVE_TIMEOUT);
            match self.draining.run_until_cancelled(receive).await {
                None => return,
                Some(Ok(None)) => {}
                Some(Ok(Some(delivery))) => {
                    pause = first;
                    run::handle(self, delivery).await;
                }
                Some(Err(error)) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "no ticket was received; it is tried again");
                    self.draining.run_until_cancelled(tokio::time::sleep(pause)).await;
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }

    /// Tests the engine in the background. One that is broken gets no more programs until it works again.
    async fn test_engine(&self) {
        loop {
            tokio::time::sleep(self.test_interval).await;
            self.test_engine_once().await;
        }
    }

    /// Tests the engine.
    pub(super) async fn test_engine_once(&self) {
        let failing = failing_after(self.failing(), self.engine.self_test().await);
        if let Some(what) = &failing {
            tracing::error!(what, "the engine fails its self test; no tickets are taken");
        }
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = failing;
    }
}

/// Why the engine does not work after a self test, if it does not. A test without a result says nothing: what was
/// broken still is, and what worked may be on a busy machine.
///
/// Attack: a program keeps the machine busy until an engine that was proven broken is trusted again -> test
/// `a_self_test_without_a_result_changes_nothing`.
fn failing_after(before: Option<String>, tested: SelfTestResult) -> Option<String> {
    match tested {
        Ok(_) => None,
        Err(SelfTestError::Broken(what)) => Some(what),
        Err(SelfTestError::TimedOut(_)) => before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_test_without_a_result_changes_nothing() {
        let timed_out = || Err(SelfTestError::TimedOut("10 s".to_owned()));
        let broken = Some("the network is reachable".to_owned());
        assert_eq!(failing_after(broken.clone(), timed_out()), broken);
        assert_eq!(failing_after(None, timed_out()), None);
        let tested = Err(SelfTestError::Broken("the network is reachable".to_owned()));
        assert_eq!(failing_after(None, tested), broken);
        assert_eq!(failing_after(broken, Ok("it works".to_owned())), None);
    }
}
