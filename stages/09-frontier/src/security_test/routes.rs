//! The same over HTTP, for an administrator who looks at the containment of this machine.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | a client has the server start programs | `admin` alone may; the command is fixed, and a group is a word of letters | `a_group_is_a_word` |
//! | many tests at once | one at a time: a request during one is answered with that | `one_test_at_a_time_and_its_verdicts_are_there` |

use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json as value;
use shared::cli::{BuildError, Settings};
use shared::http::{MatchedRequest, Problem, Response, Router, StatefulRouter, json};
use tokio::process::Command;

use super::report::{Line, Test};
use super::{TestKeys, check_address, command_line, find_ladder, listen_address};
use crate::accounts::Accounts;
use crate::args::FrontierArgs;
use crate::audit::{AuditLog, Entry, actions};
use crate::store::Store;

/// A whole test takes minutes. One that takes longer hangs.
const TEST_TIMEOUT: Duration = Duration::from_hours(1);
/// The end of what the ladder says when it gives no verdicts.
const MAX_ERROR_CHARACTERS: usize = 2000;

/// The security test of one server.
pub struct SecurityTests {
    settings: Settings,
    args: FrontierArgs,
    audit: Arc<AuditLog>,
    store: Arc<Store>,
    /// The one that runs. When it has ended it is in the database.
    running: Mutex<Option<Test>>,
}

type Answer = Result<Response, Problem>;

impl SecurityTests {
    /// The test of the server that `settings` and `args` configure.
    pub fn new(settings: &Settings, args: &FrontierArgs, accounts: &Accounts) -> Arc<Self> {
        let (settings, args) = (settings.clone(), args.clone());
        Arc::new(Self {
            settings,
            args,
            audit: Arc::clone(&accounts.audit),
            store: Arc::clone(&accounts.store),
            running: Mutex::default(),
        })
    }

    /// The routes, to be merged over those of the platform.
    pub fn routes(self: Arc<Self>) -> Router {
        let routes: StatefulRouter<Arc<Self>> = Router::with_state(self)
            .route(Method::GET, "/security-test", |tests: Arc<Self>, request| async move {
                let [] = request.query([])?;
                tests.answer(StatusCode::OK).await
            })
            .route(Method::POST, "/security-test", Self::start);
        routes.into()
    }

    async fn start(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [group] = request.query(["group"])?;
        let group = group.unwrap_or_default();
        if !is_word(&group) {
            let detail = "group is a word of lower-case letters, such as tenants";
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
        if let Some(missing) = self.missing() {
            return Err(Problem::new(StatusCode::CONFLICT, missing));
        }
        if self.begin(&group) {
            let entry = Entry::of(&request.context(), actions::SECURITY_TEST, &group, &value!({}));
            // It goes on without the client that has started it.
            tokio::spawn(Arc::clone(&self).run(group));
            self.audit.record(entry).await.map_err(|error| Problem::internal(&error))?;
        }
        self.answer(StatusCode::ACCEPTED).await
    }

    async fn answer(&self, status: StatusCode) -> Answer {
        let running = self.running().clone();
        let test = match running {
            Some(running) => running,
            None => self.store.read(Test::last).await.map_err(|error| Problem::internal(&error))?,
        };
        json(status, &Test { missing: self.missing(), ..test })
    }

    /// Why no test can be started.
    fn missing(&self) -> Option<String> {
        let address = listen_address(&self.settings, &self.args);
        let checked = find_ladder().and_then(|_| check_address(address, &self.args));
        checked.err().map(|error| one_line(&error))
    }

    /// Whether a test may begin: none runs.
    fn begin(&self, group: &str) -> bool {
        let mut running = self.running();
        if running.is_some() {
            return false;
        }
        *running = Some(Test::started(group));
        true
    }

    async fn run(self: Arc<Self>, group: String) {
        let verdicts = self.verdicts(&group).await;
        let started = self.running().clone().unwrap_or_default();
        let ended = started.ended(verdicts);
        if let Err(error) = self.store.write(move |database| ended.store(database)).await {
            tracing::error!(%error, "what has come of the security test was not stored");
        }
        // Only now: a request in between would be answered with the test before.
        *self.running() = None;
    }

    async fn verdicts(&self, group: &str) -> Result<Vec<Line>, BuildError> {
        let ladder = find_ladder()?;
        let args = self.args.clone();
        let keys = blocking(move || TestKeys::create(&args)).await?;
        let address = listen_address(&self.settings, &self.args);
        let mut command =
            Command::from(command_line(&ladder, self.args.stage, address, group, keys.as_ref()));
        command.arg("--json").stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(TEST_TIMEOUT, command.output()).await;
        if let Some(mut keys) = keys {
            blocking(move || keys.revoke()).await?;
        }
        let output = output
            .map_err(|_| BuildError::new("the ladder did not end within an hour"))?
            .map_err(|error| BuildError::new(format!("the ladder was not started: {error}")))?;
        serde_json::from_slice(&output.stdout)
            .map_err(|_| BuildError::new(format!("no verdicts: {}", last_words(&output.stderr))))
    }

    fn running(&self) -> MutexGuard<'_, Option<Test>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
) -> Result<T, BuildError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| BuildError::new(error.to_string()))?
}

/// The empty word stands for all groups.
fn is_word(group: &str) -> bool {
    group.len() <= 32
        && group.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        && !group.starts_with('-')
}

/// An error with its hint, which stands on a line of its own for a terminal.
fn one_line(error: &BuildError) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

fn last_words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    let skipped = text.chars().count().saturating_sub(MAX_ERROR_CHARACTERS);
    text.chars().skip(skipped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_a_word() {
        for group in ["", "tenants", "http-attacks"] {
            assert!(is_word(group), "{group}");
        }
        for group in ["--url=http://evil.example", "-x", "a b", "../x", "A", "a\n", &"a".repeat(33)]
        {
            assert!(!is_word(group), "{group}");
        }
    }

    #[test]
    fn a_long_error_is_its_end() {
        let text = "x".repeat(3000) + "end";
        let shown = last_words(text.as_bytes());
        assert!(shown.len() == MAX_ERROR_CHARACTERS && shown.ends_with("end"), "{shown}");
    }
}
