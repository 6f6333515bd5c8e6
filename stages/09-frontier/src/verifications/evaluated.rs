//! What a verifier finds of the program: files in a directory of their own.
//!
//! | file | what it is |
//! |---|---|
//! | `evaluated/evaluation.json` | how the program ended, by the counters of the platform |
//! | `evaluated/stdout`, `evaluated/stderr` | what it has printed, as far as it is stored |
//! | `evaluated/artifacts.json` | the list of the files it has left: `file`, `path`, `encoding`, `bytes`, `sha256` |
//! | `evaluated/artifacts/0`, … | their contents, by their numbers |
//!
//! Attack: a file is called as a module of the verifier, as one that Python loads by itself, or as a path that climbs
//! -> a path that a program has chosen becomes no path, and the directory is in no list that imports look into. Test:
//! `a_program_cannot_influence_its_verifier`.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use shared::evaluation::{Encoding, Output};
use shared::submission::{File, MAX_FILES};
use shared::{Artifact, Evaluation, Submission};

use crate::artifacts::StoredArtifact;
use crate::files::FileStorage;
use crate::store::StoreError;

/// Where all of it is, in the working directory of the verifier.
pub(super) const DIRECTORY: &str = "evaluated";
/// What is there beside the files that the program has left. Together with those and the verifier's own they are no
/// more than [`MAX_FILES`]: the engine host takes a submission with more for an attack of the API process, and ends
/// the connection.
const FILES: [&str; 4] = ["evaluation.json", "stdout", "stderr", "artifacts.json"];
/// What a verifier can be given, in bytes. With base64 and the verifier itself it is below the longest frame to the
/// engine host.
const MAX_BYTES: u64 = 8 << 20;

/// The mark of a verifier in [`Submission::extensions`]: the id of the program's evaluation.
const VERIFIES: &str = "verifies";

/// Whether a file of a submission is one that was added here.
pub(crate) fn is_evaluated(submission: &Submission, file: &File) -> bool {
    submission.extensions.contains_key(VERIFIES) && file.path.split('/').next() == Some(DIRECTORY)
}

/// Adds what the program has left to a verifier. The error is for people. It blocks.
pub(super) fn add_to(
    verifier: &mut Submission,
    ended: &Evaluation,
    artifacts: &[StoredArtifact],
    files: &FileStorage,
) -> Result<Result<(), String>, StoreError> {
    let (stdout, stderr) = (bytes(&ended.stdout), bytes(&ended.stderr));
    let of_artifacts: u64 = artifacts.iter().map(|stored| stored.artifact.bytes).sum();
    let total = of_artifacts + stdout.len() as u64 + stderr.len() as u64;
    // Half of the scratch space is left to the verifier.
    let most = MAX_BYTES.min(verifier.limits.disk_bytes / 2);
    if total > most {
        return Ok(Err(format!(
            "the program has left {total} bytes, and a verifier can be given {most}"
        )));
    }
    let number = verifier.files.len() + FILES.len() + artifacts.len();
    if number > MAX_FILES {
        let most = MAX_FILES - (verifier.files.len() + FILES.len()).min(MAX_FILES);
        let left = artifacts.len();
        return Ok(Err(format!(
            "the program has left {left} files, and this verifier can be given {most}"
        )));
    }
    verifier.extensions.insert(VERIFIES.to_owned(), ended.id.to_string().into());
    let mut add = |name: &str, bytes: Vec<u8>| {
        verifier.files.push(File { path: format!("{DIRECTORY}/{name}"), bytes });
    };
    let list = (0..).zip(artifacts).map(|(number, stored)| item(number, stored));
    let list = serde_json::to_vec(&list.collect::<Vec<_>>())?;
    let contents = [serde_json::to_vec(&summary(ended))?, stdout, stderr, list];
    for (name, content) in FILES.into_iter().zip(contents) {
        add(name, content);
    }
    for (number, stored) in artifacts.iter().enumerate() {
        let mut content = Vec::new();
        let file = files.open_checked(&stored.part)?;
        let read = file.take(stored.artifact.bytes).read_to_end(&mut content);
        read.map_err(|error| StoreError::io(files.path(&stored.part.file), error))?;
        add(&format!("artifacts/{number}"), content);
    }
    Ok(Ok(()))
}

/// How the program ended. Its outputs are files beside it.
fn summary(ended: &Evaluation) -> Value {
    let of = |output: &Output| json!({ "bytes_total": output.bytes_total, "truncated": output.truncated });
    json!({
        "id": ended.id,
        "status": ended.status,
        "outcome": ended.outcome,
        "exit_code": ended.exit_code,
        "signal": ended.signal,
        "usage": ended.usage,
        "limits": ended.limits,
        "evidence": ended.evidence,
        "labels": ended.labels,
        "stdout": of(&ended.stdout),
        "stderr": of(&ended.stderr),
    })
}

fn item(number: usize, stored: &StoredArtifact) -> Value {
    let StoredArtifact { artifact: Artifact { path, encoding, bytes, .. }, part } = stored;
    let file = format!("{DIRECTORY}/artifacts/{number}");
    json!({ "file": file, "path": path, "encoding": encoding, "bytes": bytes, "sha256": part.digest })
}

/// What was printed.
fn bytes(output: &Output) -> Vec<u8> {
    match output.encoding {
        Encoding::Utf8 => output.text.clone().into_bytes(),
        Encoding::Base64 => STANDARD.decode(&output.text).unwrap_or_default(),
    }
}
