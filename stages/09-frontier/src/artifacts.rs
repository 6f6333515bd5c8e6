//! What is stored of an evaluation beside its record: the files that the program has left in `/output`, listed and
//! downloaded as data, and what was submitted.
//!
//! | attack | setting | test |
//! |---|---|---|
//! | a name that climbs out of a directory, or is a link on the host | a path is text in a record; a file is asked for by its number, and stored under the hash of its content | `hostile_names_are_data` |
//! | a file that is a page with a script, opened in the browser of an operator | an attachment without a type, in a sandbox of the browser | `hostile_names_are_data` |
//! | the number of another key's file | the owner of the evaluation is checked before the handler | `another_keys_files_do_not_exist` |
//! | the submission of another key | the same, and once more where it is read | `another_keys_submission_does_not_exist` |
//! | clients that read slowly | a stream from the disk, so many at one moment, each with a deadline | `a_download_is_a_stream_with_a_deadline` |

mod download;
mod name;
mod submission;

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json as value};
use shared::http::{MatchedRequest, Problem, Response, Router, StatefulRouter, json};
use shared::{Artifact, Evaluations as _};
use stage_06_advanced::Platform;
use uuid::Uuid;

use crate::files::Part;
use crate::storage::SqliteStorage;
use crate::store::StoreError;
use download::Downloads;

/// The files of evaluations, for clients.
pub struct Artifacts {
    /// None when nothing is durable: then no files are taken.
    storage: Option<Arc<SqliteStorage>>,
    platform: Arc<Platform>,
    downloads: Downloads,
}

/// A file, and where its content is.
pub(crate) struct StoredArtifact {
    pub(crate) artifact: Artifact,
    pub(crate) part: Part,
}

type Answer = Result<Response, Problem>;

impl Artifacts {
    /// The files in `storage`, of evaluations of `platform`.
    pub fn new(storage: Option<Arc<SqliteStorage>>, platform: Arc<Platform>) -> Arc<Self> {
        Arc::new(Self { storage, platform, downloads: Downloads::default() })
    }

    /// The routes, to be merged over those of the platform.
    pub fn routes(self: Arc<Self>) -> Router {
        let routes: StatefulRouter<Arc<Self>> = Router::with_state(self)
            .route(Method::GET, "/eval/{id}/submission", Self::submission)
            .route(Method::GET, "/eval/{id}/artifacts", Self::list)
            .route(Method::GET, "/eval/{id}/artifacts/{number}", Self::download);
        routes.into()
    }

    async fn submission(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let id: Uuid = request.param("id")?;
        self.platform.get(&request.context(), id).await?;
        let found = match &self.storage {
            Some(storage) => storage.read(move |database| submission::find(database, id)).await,
            None => Ok(None),
        };
        let found = found.map_err(|error| Problem::internal(&error))?.ok_or_else(|| {
            Problem::new(StatusCode::NOT_FOUND, "what was submitted is not stored on this server")
        })?;
        let body = submission::body(&found).map_err(|error| Problem::internal(&error))?;
        json(StatusCode::OK, &body)
    }

    async fn list(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let items: Vec<_> =
            (0..).zip(self.find(&request).await?).map(|(number, one)| item(number, &one)).collect();
        json(StatusCode::OK, &value!({ "items": items }))
    }

    async fn download(self: Arc<Self>, request: MatchedRequest) -> Answer {
        let [] = request.query([])?;
        let number: usize = request.param("number")?;
        let found = self.find(&request).await?.into_iter().nth(number);
        let (Some(found), Some(storage)) = (found, &self.storage) else {
            let detail = "the program has left no file of this number";
            return Err(Problem::new(StatusCode::NOT_FOUND, detail));
        };
        let context = request.context();
        let key = context.principal.as_deref();
        self.downloads.answer(key, storage.files(), number, found).await
    }

    /// The files of the evaluation of a request. None, if it has not ended.
    async fn find(&self, request: &MatchedRequest) -> Result<Vec<StoredArtifact>, Problem> {
        let id: Uuid = request.param("id")?;
        if let Some(storage) = &self.storage {
            let found = storage.artifacts(id).await;
            if let Some(found) = found.map_err(|error: StoreError| Problem::internal(&error))? {
                return Ok(found);
            }
        }
        self.platform.get(&request.context(), id).await?;
        Ok(Vec::new())
    }
}

fn item(number: usize, StoredArtifact { artifact, part }: &StoredArtifact) -> Value {
    let (Artifact { path, encoding, bytes, .. }, digest) = (artifact, &part.digest);
    value!({ "number": number, "path": path, "encoding": encoding, "bytes": bytes, "sha256": digest })
}
