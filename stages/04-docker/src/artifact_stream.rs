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
mod tests {
    use super::*;
    use crate::artifacts::{MAX_ARTIFACT_BYTES, MAX_ARTIFACTS};

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        [&[kind], &(payload.len() as u64).to_be_bytes()[..], payload].concat()
    }

    fn end(skipped: u64) -> Vec<u8> {
        [&b"E"[..], &skipped.to_be_bytes(), b"\n"].concat()
    }

    fn taken(stream: &[u8], size: usize) -> Result<Option<Collected>, ArtifactError> {
        let mut decoder = ArtifactStream::default();
        for chunk in stream.chunks(size) {
            if let Some(collected) = decoder.push(chunk)? {
                return Ok(Some(collected));
            }
        }
        Ok(None)
    }

    #[test]
    fn files_are_taken_however_the_stream_is_cut() {
        let parts = [frame(b'F', b"a"), frame(b'C', b"12"), frame(b'C', b"3"), frame(b'F', b"b/c")];
        let stream = [parts.concat(), end(7)].concat();
        for size in 1..=stream.len() {
            let collected = taken(&stream, size).unwrap().unwrap();
            let files = collected.artifacts.iter();
            let files: Vec<_> = files.map(|file| (file.path.as_str(), &file.content[..])).collect();
            assert_eq!((files, collected.skipped), (vec![("a", &b"123"[..]), ("b/c", b"")], 7));
        }
        assert_eq!(taken(&stream[..stream.len() - 2], 5), Ok(None), "it has not ended");
    }

    #[test]
    fn nothing_is_taken_from_a_stream_that_lies() {
        let chunk = frame(b'C', &vec![0; MAX_CHUNK_BYTES]);
        let too_much = chunk.repeat(MAX_ARTIFACT_BYTES / MAX_CHUNK_BYTES + 1);
        let many = |number| (0..number).flat_map(|n: usize| frame(b'F', n.to_string().as_bytes()));
        for (lie, stream) in [
            ("a path that climbs", frame(b'F', b"a/../../x")),
            ("an absolute path", frame(b'F', b"/etc/x")),
            ("one path twice", frame(b'F', b"a").repeat(2)),
            ("a path without end", frame(b'F', &[b'x'; MAX_ARTIFACT_PATH_BYTES + 1])),
            ("bytes of no file", frame(b'C', b"x")),
            ("too many files", many(MAX_ARTIFACTS + 1).collect()),
            ("too many bytes", [frame(b'F', b"a"), too_much].concat()),
            ("a part without end", [&b"C"[..], &u64::MAX.to_be_bytes()].concat()),
            ("something else", frame(b'X', b"")),
            ("a traceback", b"Traceback (most recent call last):\n".to_vec()),
        ] {
            assert!(taken(&[stream, end(0)].concat(), 1000).is_err(), "{lie}");
        }
    }
}
