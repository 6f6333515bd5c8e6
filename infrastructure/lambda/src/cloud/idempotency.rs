//! `Idempotency-Key`: a request that is sent again does nothing again.
//!
//! The id of the evaluation is chosen before it is accepted, and written with the key, by a write that one of
//! several requests can make. So a function that is killed between the two leaves a record that says under which id
//! the repetition has to accept: no request waits for another, and none is answered 409.

use http::StatusCode;
use sha2::{Digest as _, Sha256};
use shared::{EvaluationsError, Refusal, Submission};
use uuid::Uuid;

use super::row::seconds_in;
use super::table::{Key, number, text, text_of};
use super::{Cloud, CloudError};

/// What a request with a key has to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reserved {
    /// Accept under the planned id.
    New,
    /// Answer with this evaluation, or accept it if it is not there.
    Known(Uuid),
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

impl Cloud {
    /// Decides about a request of `owner` with the header `Idempotency-Key`. `planned` is the id of what it makes.
    pub(super) async fn reserve(
        &self,
        owner: &str,
        idempotency_key: &str,
        submission: &Submission,
        planned: Uuid,
    ) -> Result<Reserved, EvaluationsError> {
        // An id of a key has no NUL: the two cannot be mixed up.
        let name = hex(format!("{owner}\0{idempotency_key}").as_bytes());
        let fingerprint = hex(&serde_json::to_vec(submission).map_err(CloudError::from)?);
        let key = Key::new(format!("idempotency#{name}"), "record");
        let mut item = key.item();
        item.insert("fingerprint".to_owned(), text(&*fingerprint));
        item.insert("evaluation".to_owned(), text(planned.to_string()));
        item.insert("expires".to_owned(), number(seconds_in(self.options.idempotency)));
        if self.table.insert(item, seconds_in(std::time::Duration::ZERO)).await? {
            return Ok(Reserved::New);
        }
        let found = self.table.get(&key).await?.unwrap_or_default();
        let known = text_of(&found, "evaluation").and_then(|id| id.parse().ok());
        let known = known.ok_or(CloudError::Item { item: name, attribute: "evaluation" })?;
        if text_of(&found, "fingerprint") == Some(&*fingerprint) {
            return Ok(Reserved::Known(known));
        }
        let detail = "this Idempotency-Key was used with another request; make a new one";
        Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, detail).into())
    }
}
