//! The sessions of workers: which evaluation a token is of, and whether its lease is still the worker's.

use uuid::Uuid;

use super::row::{Row, key, millis_in, seconds_in};
use super::table::{Key, number, text, text_of};
use super::transitions::while_running;
use super::workers::Caller;
use super::{Cloud, CloudError};

/// What a session of a sync is.
pub(super) enum Renewed {
    Kept { token: String, is_cancelled: bool },
    Lost(String),
    Recorded,
}

fn session_key(token: &str) -> Key {
    Key::new(format!("session#{token}"), "session")
}

impl Cloud {
    /// Extends the lease of a session, if it is still this worker's.
    pub(super) async fn renew(&self, caller: &Caller, token: &str) -> Result<Renewed, CloudError> {
        let Some(id) = self.session_of(caller, token).await? else {
            return Ok(Renewed::Lost(token.to_owned()));
        };
        let change = while_running(token).set("due", number(millis_in(self.options.lease)));
        if let Some(item) = self.table.update(&key(id), change).await? {
            let is_cancelled = Row::read(item)?.is_cancelled();
            return Ok(Renewed::Kept { token: token.to_owned(), is_cancelled });
        }
        let is_recorded = self.row(id).await?.is_some_and(|row| row.is_recorded_by(token));
        Ok(if is_recorded { Renewed::Recorded } else { Renewed::Lost(token.to_owned()) })
    }

    /// The evaluation of a session, if it was opened by this worker with this key.
    pub(super) async fn session_of(
        &self,
        caller: &Caller,
        token: &str,
    ) -> Result<Option<Uuid>, CloudError> {
        let found = self.table.get(&session_key(token)).await?;
        let worker = caller.worker.to_string();
        let own = found.filter(|item| {
            text_of(item, "worker") == Some(&*worker)
                && text_of(item, "principal") == Some(&*caller.principal)
        });
        Ok(own.and_then(|item| text_of(&item, "evaluation")?.parse().ok()))
    }

    /// Writes which evaluation a token is of. It says nothing about whether the token is valid.
    pub(super) async fn note_session(
        &self,
        caller: &Caller,
        token: &str,
        evaluation: Uuid,
    ) -> Result<(), CloudError> {
        let mut item = session_key(token).item();
        item.insert("worker".to_owned(), text(caller.worker.to_string()));
        item.insert("principal".to_owned(), text(&*caller.principal));
        item.insert("evaluation".to_owned(), text(evaluation.to_string()));
        item.insert("expires".to_owned(), number(seconds_in(self.options.retention)));
        self.table.put(item).await
    }
}
