//! The files that a program has left, as `collect.py` sends them: on standard error, after the line
//! with the program's end.
//!
//! | bytes | content |
//! |---|---|
//! | 0 | `F`: a file begins; `C`: more of it; `E`: all were sent |
//! | 1 to 8 | length of what follows; after `E` how many entries were left out, and a line feed |
//!
//! Attack: a program that has the nonce reports its end, and sends what it likes in place of init →
//! each length is bounded before anything is kept, and what arrives goes through
//! [`ReceivedArtifacts`]. Test: `nothing_is_taken_from_a_stream_that_lies`.

use crate::artifacts::{ArtifactError, Collected, MAX_ARTIFACT_PATH_BYTES, ReceivedArtifacts};

const HEADER_BYTES: usize = 9;
/// The longest part of a file.
const MAX_CHUNK_BYTES: usize = 64 << 10;

/// Decodes one stream of files.
#[derive(Debug, Default)]
pub(crate) struct ArtifactStream {
    received: ReceivedArtifacts,
    /// Arrived, and not decoded yet.
    incoming: Vec<u8>,
}

impl ArtifactStream {
    /// Takes a chunk of the stream. Returns the files when it has ended.
    ///
    /// # Errors
    ///
    /// When it is not what init sends.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Option<Collected>, ArtifactError> {
        self.incoming.extend_from_slice(bytes);
        let incoming = std::mem::take(&mut self.incoming);
        let mut rest = incoming.as_slice();
        while let Some((header, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
            let [kind, number @ ..] = *header;
            let number = u64::from_be_bytes(number);
            if kind == b'E' {
                let received = std::mem::take(&mut self.received);
                let skipped = u32::try_from(number).unwrap_or(u32::MAX);
                return Ok(Some(Collected { artifacts: received.into_artifacts(), skipped }));
            }
            let most = if kind == b'F' { MAX_ARTIFACT_PATH_BYTES } else { MAX_CHUNK_BYTES };
            let length = usize::try_from(number).ok().filter(|length| *length <= most);
            let length = length.ok_or(ArtifactError("a part that is too long"))?;
            let Some((payload, next)) = after.split_at_checked(length) else { break };
            match kind {
                b'F' => self.received.begin(payload.to_vec())?,
                b'C' => self.received.extend(payload)?,
                _ => return Err(ArtifactError("something else than files")),
            }
            rest = next;
        }
        self.incoming = rest.to_vec();
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
