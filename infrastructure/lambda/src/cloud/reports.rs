//! Reports of a session: output, files, and how it ended.
//!
//! Output is items beside the evaluation, one for each piece, and the evaluation has how far each stream is stored.
//! A piece is written first and counted after that, by a write whose condition is the offset that it begins at: a
//! piece that is sent again changes nothing, and one that is missing is noticed.

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use http::StatusCode;
use shared::evaluation::Output;
use shared::http::Problem;
use shared::{Outcome, Stream, harmless};
use stage_04_docker::ReceivedArtifacts;
use stage_10_frontier_events::{FileRequest, Piece, ResultRequest};
use uuid::Uuid;

use super::row::{Row, key, millis_in, seconds_in};
use super::table::{Key, Search, number, text};
use super::transitions::{Ended, ended, while_running};
use super::workers::Caller;
use super::{Cloud, CloudError};

/// Bytes of one item of output: DynamoDB allows 400 KB for an item.
const MAX_PIECE_BYTES: usize = 256 << 10;
/// Bytes above the limit that a worker may have counted, at most.
const MAX_EXCESS_BYTES: u64 = 1 << 36;
/// Items of output of one stream, at most.
const MAX_PIECES: usize = 1 << 20;

/// Why a report is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReportError {
    /// The token is none, or not any more.
    #[error(
        "the session is not this worker's, or not any more: end the program and drop its result"
    )]
    Fenced,
    /// Something before it is missing.
    #[error("a report before this one is missing: the next {0} should begin at {1}")]
    Gap(&'static str, u64),
    /// It cannot be what a program has left.
    #[error("not a file that may be taken: {0}")]
    File(&'static str),
    /// The storage failed.
    #[error(transparent)]
    Cloud(#[from] CloudError),
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        let status = match error {
            ReportError::Fenced => StatusCode::GONE,
            ReportError::Gap(..) => StatusCode::CONFLICT,
            ReportError::File(_) => StatusCode::UNPROCESSABLE_ENTITY,
            ReportError::Cloud(error) => return error.into(),
        };
        Self::new(status, error.to_string())
    }
}

/// The names of a stream: in keys, and of the attribute that counts it.
fn names_of(stream: Stream) -> (&'static str, &'static str) {
    match stream {
        Stream::Stdout => ("stdout", "stdout_at"),
        Stream::Stderr => ("stderr", "stderr_at"),
    }
}

/// The object of a part of a file.
fn part_key(id: Uuid, token: &str, number: u64) -> String {
    format!("{id}/{token}/part-{number:06}")
}

/// The object of a file that a program has left.
pub(super) fn artifact_key(id: Uuid, token: &str, number: usize) -> String {
    format!("{id}/{token}/file-{number:03}")
}

impl Cloud {
    /// The evaluation of a session of this worker.
    async fn reported(&self, caller: &Caller, token: &str) -> Result<Row, ReportError> {
        let id = self.session_of(caller, token).await?.ok_or(ReportError::Fenced)?;
        self.row(id).await?.ok_or(ReportError::Fenced)
    }

    /// Stores output of a session.
    pub(super) async fn push(
        &self,
        caller: &Caller,
        token: &str,
        pieces: Vec<Piece>,
    ) -> Result<(), ReportError> {
        let row = self.reported(caller, token).await?;
        self.store_output(&row, token, pieces).await
    }

    async fn store_output(
        &self,
        row: &Row,
        token: &str,
        pieces: Vec<Piece>,
    ) -> Result<(), ReportError> {
        if !row.has_token(token) {
            return Err(ReportError::Fenced);
        }
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        for piece in pieces {
            if piece.stream == Stream::Stdout { stdout.push(piece) } else { stderr.push(piece) }
        }
        self.store_stream(row, token, Stream::Stdout, stdout).await?;
        self.store_stream(row, token, Stream::Stderr, stderr).await
    }

    /// Stores the pieces of one stream, without what is stored already.
    async fn store_stream(
        &self,
        row: &Row,
        token: &str,
        stream: Stream,
        pieces: Vec<Piece>,
    ) -> Result<(), ReportError> {
        let (name, at) = names_of(stream);
        let stored: u64 = row.number(at);
        let mut bytes = Vec::new();
        for piece in pieces {
            let next = stored + bytes.len() as u64;
            let Some(known) = next.checked_sub(piece.offset) else {
                return Err(ReportError::Gap("output", next));
            };
            let known = usize::try_from(known).unwrap_or(usize::MAX).min(piece.base64.len());
            bytes.extend_from_slice(&piece.base64[known..]);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let mut offset = stored;
        for chunk in bytes.chunks(MAX_PIECE_BYTES) {
            let sk = format!("out#{token}#{name}#{offset:012}");
            let mut item = Key::new(format!("eval#{}", row.id), sk).item();
            item.insert("bytes".to_owned(), AttributeValue::B(Blob::new(chunk)));
            item.insert("expires".to_owned(), number(seconds_in(self.options.retention)));
            self.table.put(item).await?;
            offset += chunk.len() as u64;
        }
        let change = while_running(token)
            .and(&format!(" AND #{at} = :stored"))
            .with("stored", number(stored))
            .set(at, number(offset))
            .set("due", number(millis_in(self.options.lease)));
        if self.table.update(&key(row.id), change).await?.is_some() {
            return Ok(());
        }
        // The same request, sent twice at once, was first; or the session is lost.
        let now = self.row(row.id).await?.ok_or(ReportError::Fenced)?;
        match now.number::<u64>(at) {
            _ if !now.has_token(token) => Err(ReportError::Fenced),
            stored if stored >= offset => Ok(()),
            stored => Err(ReportError::Gap("output", stored)),
        }
    }

    /// What is stored of a stream, and how much there was.
    pub(super) async fn output(
        &self,
        row: &Row,
        stream: Stream,
    ) -> Result<(Vec<u8>, u64), CloudError> {
        let (name, at) = names_of(stream);
        let stored: u64 = row.number(at);
        let mut bytes = Vec::new();
        if stored == 0 {
            return Ok((bytes, 0));
        }
        let token = row.text("token").unwrap_or_default();
        let search = Search {
            condition: "#pk = :pk AND begins_with(#sk, :prefix)",
            values: vec![
                ("pk", text(format!("eval#{}", row.id))),
                ("prefix", text(format!("out#{token}#{name}#"))),
            ],
            ..Search::default()
        };
        for item in self.table.all(search, MAX_PIECES).await? {
            let piece = item.get("bytes").and_then(|value| value.as_b().ok());
            bytes.extend_from_slice(piece.map(AsRef::as_ref).unwrap_or_default());
        }
        // One that was written and not counted yet.
        bytes.truncate(usize::try_from(stored).unwrap_or(usize::MAX));
        Ok((bytes, stored))
    }

    /// Stores a part of a file.
    pub(super) async fn file(
        &self,
        caller: &Caller,
        part: &FileRequest,
    ) -> Result<(), ReportError> {
        let row = self.reported(caller, &part.token).await?;
        if !row.has_token(&part.token) {
            return Err(ReportError::Fenced);
        }
        let parts: u64 = row.number("parts");
        if part.number < parts {
            return Ok(()); // sent again
        }
        if part.number > parts {
            return Err(ReportError::Gap("parts of files", parts));
        }
        let content = serde_json::to_vec(part).map_err(CloudError::from)?;
        self.blobs.put(&part_key(row.id, &part.token, part.number), content.into()).await?;
        let change = while_running(&part.token)
            .and(" AND #parts = :parts")
            .with("parts", number(parts))
            .set("parts", number(parts + 1))
            .set("due", number(millis_in(self.options.lease)));
        if self.table.update(&key(row.id), change).await?.is_some() {
            return Ok(());
        }
        let now = self.row(row.id).await?.ok_or(ReportError::Fenced)?;
        if now.has_token(&part.token) { Ok(()) } else { Err(ReportError::Fenced) }
    }

    // ANCHOR: result
    /// Records how a session ended, once: when this returns, the end is committed.
    pub(super) async fn result(
        &self,
        caller: &Caller,
        request: ResultRequest,
    ) -> Result<(), ReportError> {
        let token = request.token;
        let row = self.reported(caller, &token).await?;
        if row.is_recorded_by(&token) {
            return Ok(()); // sent again
        }
        self.store_output(&row, &token, request.pieces).await?;
        let row = self.row(row.id).await?.ok_or(ReportError::Fenced)?;
        let parts: u64 = row.number("parts");
        if request.file_parts != parts {
            return Err(ReportError::Gap("parts of files", parts));
        }
        let mut verdict = request.verdict;
        verdict.error = verdict.error.as_deref().map(harmless);
        if verdict.outcome == Outcome::WorkerLost {
            let lost = self.lose(&row, while_running(&token), verdict).await?;
            return if lost == Ended::Fenced { Err(ReportError::Fenced) } else { Ok(()) };
        }
        let (artifacts, digests) = self.assemble(row.id, &token, parts).await?;
        let mut evaluation = ended(self.record(&row).await?, verdict, artifacts);
        let [stdout, stderr] = request.excess_bytes.map(|excess| excess.min(MAX_EXCESS_BYTES));
        evaluation.stdout = self.captured(&row, Stream::Stdout, stdout).await?;
        evaluation.stderr = self.captured(&row, Stream::Stderr, stderr).await?;
        let digests = serde_json::to_string(&digests).map_err(CloudError::from)?;
        let change =
            while_running(&token).set("digests", text(digests)).set("last_token", text(&*token));
        if self.end(&row, change, &evaluation).await? {
            return Ok(());
        }
        let now = self.row(row.id).await?;
        let is_recorded = now.is_some_and(|row| row.is_recorded_by(&token));
        if is_recorded { Ok(()) } else { Err(ReportError::Fenced) }
    }
    // ANCHOR_END: result

    /// The output of a stream, with what its worker has counted above the limit.
    ///
    /// Attack: a worker sends more than the limit of the program → what is above it is counted and not shown.
    async fn captured(&self, row: &Row, stream: Stream, excess: u64) -> Result<Output, CloudError> {
        let (mut stored, total) = self.output(row, stream).await?;
        let limit = self.record(row).await?.limits.output_bytes;
        stored.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Output::new(&stored, total + excess))
    }

    /// The files of a session, each as an object of its own, and their digests.
    async fn assemble(
        &self,
        id: Uuid,
        token: &str,
        parts: u64,
    ) -> Result<(Vec<shared::Artifact>, Vec<String>), ReportError> {
        let mut received = ReceivedArtifacts::default();
        for number in 0..parts {
            let part = self.blobs.get(&part_key(id, token, number)).await?;
            let part: FileRequest = serde_json::from_slice(&part).map_err(CloudError::from)?;
            let path = part.path.map(|path| path.0);
            received.receive(path, &part.base64).map_err(|error| ReportError::File(error.0))?;
        }
        let (mut artifacts, mut digests) = (received.into_artifacts(), Vec::new());
        for (number, artifact) in artifacts.iter_mut().enumerate() {
            use sha2::{Digest as _, Sha256};
            let content = std::mem::take(&mut artifact.content);
            digests.push(data_encoding::HEXLOWER.encode(&Sha256::digest(&content)));
            self.blobs.put(&artifact_key(id, token, number), content).await?;
        }
        Ok((artifacts, digests))
    }
}
