//! The claim check: what is too large for an item is an object, and the item has its key.

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use shared::BoxError;

use super::CloudError;
use super::table::{Item, text, text_of};

/// The most that one value takes of an item. DynamoDB allows 400 KB for all of it, and each write is paid for by the
/// size of the item, of which a lease is a few bytes.
pub(crate) const MAX_INLINE_BYTES: usize = 8 << 10;

/// What every key begins with: the role may read and write nothing else, and a rule of the bucket deletes these.
const PREFIX: &str = "data/";

/// The bucket.
pub(super) struct Blobs {
    client: Client,
    bucket: String,
}

/// The names of a value in an item, and of its object's key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Checked {
    inline: &'static str,
    object: &'static str,
}

/// What was submitted.
pub(super) const SUBMISSION: Checked =
    Checked { inline: "submission", object: "submission_object" };
/// The evaluation as clients see it.
pub(super) const RECORD: Checked = Checked { inline: "record", object: "record_object" };

impl Checked {
    /// The attribute that an item has of this value, and that it does not have.
    pub(super) fn attributes(self, is_inline: bool) -> (&'static str, &'static str) {
        if is_inline { (self.inline, self.object) } else { (self.object, self.inline) }
    }
}

impl Blobs {
    pub(super) fn new(client: Client, bucket: String) -> Self {
        Self { client, bucket }
    }

    fn failed(key: &str, source: impl Into<BoxError>) -> CloudError {
        CloudError::Object { key: key.to_owned(), source: source.into() }
    }

    /// Writes an object.
    pub(super) async fn put(&self, key: &str, content: Bytes) -> Result<(), CloudError> {
        let key = format!("{PREFIX}{key}");
        let request = self.client.put_object().bucket(&self.bucket).key(&key);
        let written = request.body(ByteStream::from(content)).send().await;
        written.map(drop).map_err(|error| Self::failed(&key, error))
    }

    /// The content of an object.
    pub(super) async fn get(&self, key: &str) -> Result<Bytes, CloudError> {
        let key = format!("{PREFIX}{key}");
        let request = self.client.get_object().bucket(&self.bucket).key(&key);
        let found = request.send().await.map_err(|error| Self::failed(&key, error))?;
        let content = found.body.collect().await.map_err(|error| Self::failed(&key, error))?;
        Ok(content.into_bytes())
    }

    /// The attribute for a value: the value itself, or the key of the object that it is written to now.
    pub(super) async fn check_in(
        &self,
        name: Checked,
        key: &str,
        value: String,
    ) -> Result<(&'static str, &'static str, aws_sdk_dynamodb::types::AttributeValue), CloudError>
    {
        let is_inline = value.len() <= MAX_INLINE_BYTES;
        let (present, absent) = name.attributes(is_inline);
        if is_inline {
            return Ok((present, absent, text(value)));
        }
        self.put(key, value.into()).await?;
        Ok((present, absent, text(key)))
    }

    /// The value that an item has, or whose object it names.
    pub(super) async fn check_out(&self, item: &Item, name: Checked) -> Result<Bytes, CloudError> {
        if let Some(value) = text_of(item, name.inline) {
            return Ok(Bytes::copy_from_slice(value.as_bytes()));
        }
        let key = text_of(item, name.object);
        let missing = || CloudError::Item {
            item: text_of(item, "id").unwrap_or_default().to_owned(),
            attribute: name.inline,
        };
        self.get(key.ok_or_else(missing)?).await
    }
}
