//! The files that programs have left, listed and downloaded as data: as in stage 09, from S3.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use serde_json::json as value;
use shared::Artifact;
use shared::http::{MatchedRequest, Problem, Response, bytes, json};
use uuid::Uuid;

use super::Cloud;
use super::reports::artifact_key;

/// Attack: a file is a page whose script acts as the operator who opens it → it may do nothing, and is of an origin
/// of its own.
const POLICY: &str = "default-src 'none'; sandbox";

/// What is known of the files of one evaluation.
struct Files {
    id: Uuid,
    token: String,
    artifacts: Vec<Artifact>,
    digests: Vec<String>,
}

impl Cloud {
    /// `GET /eval/{id}/artifacts`.
    pub(super) async fn artifacts(
        self: Arc<Self>,
        request: MatchedRequest,
    ) -> Result<Response, Problem> {
        let [] = request.query([])?;
        let Files { artifacts, digests, .. } = self.files(&request).await?;
        let items = artifacts.iter().zip(digests).enumerate().map(|(number, (file, digest))| {
            let Artifact { path, encoding, bytes, .. } = file;
            value!({ "number": number, "path": path, "encoding": encoding, "bytes": bytes, "sha256": digest })
        });
        json(StatusCode::OK, &value!({ "items": items.collect::<Vec<_>>() }))
    }

    /// `GET /eval/{id}/artifacts/{number}`.
    pub(super) async fn artifact(
        self: Arc<Self>,
        request: MatchedRequest,
    ) -> Result<Response, Problem> {
        let [] = request.query([])?;
        let number: usize = request.param("number")?;
        let Files { id, token, artifacts, .. } = self.files(&request).await?;
        if number >= artifacts.len() {
            let detail = "the program has left no file of this number";
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        }
        let content = self.blobs.get(&artifact_key(id, &token, number)).await?;
        let length = content.len();
        let mut response = bytes(StatusCode::OK, "application/octet-stream", content);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, length.into());
        // Attack: a name with a line break or a path → the name that is proposed is the file's number.
        let disposition = format!("attachment; filename=\"file-{number}\"");
        let disposition = HeaderValue::try_from(disposition);
        let disposition = disposition.map_err(|error| Problem::internal(&error))?;
        headers.insert(header::CONTENT_DISPOSITION, disposition);
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        Ok(response)
    }

    async fn files(&self, request: &MatchedRequest) -> Result<Files, Problem> {
        let id: Uuid = request.param("id")?;
        let row = self.row(id).await?.ok_or(shared::EvaluationsError::NotFound)?;
        let (token, digests) = (row.text("last_token"), row.text("digests"));
        let (Some(token), Some(digests), true) = (token, digests, row.status.is_final()) else {
            return Ok(Files {
                id,
                token: String::new(),
                artifacts: Vec::new(),
                digests: Vec::new(),
            });
        };
        let digests = serde_json::from_str(digests).map_err(|error| Problem::internal(&error))?;
        Ok(Files {
            id,
            token: token.to_owned(),
            artifacts: self.record(&row).await?.artifacts,
            digests,
        })
    }
}
