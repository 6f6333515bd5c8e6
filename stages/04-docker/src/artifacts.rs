//! Files that a program leaves in its output directory, as they arrive from a sandbox: the one door for
//! those of every engine.
//!
//! The verdict is there before: nothing that happens to files changes it.
//!
//! Attack: a program leaves a thousand files, a sparse file of a terabyte, or one whose name climbs out
//! of a directory → number, bytes and paths are bounded, a path is data and no path on the host, and
//! what a supervisor or an init sends beyond that is refused as a whole. Tests:
//! `what_a_program_leaves_is_taken`, and of stage 6
//! `what_a_program_leaves_in_output_is_taken_and_nothing_else`.

use std::time::Duration;

use shared::{Artifact, Verdict};
use tokio_util::sync::CancellationToken;

use crate::error_chain::error_chain;
use crate::outcome::Stop;

/// Where a program puts the files that outlive it.
pub const OUTPUT_DIR: &str = "/output";
/// Files that are taken of one evaluation.
pub const MAX_ARTIFACTS: usize = 64;
/// Bytes that are taken of one evaluation, over all files; the size of the directory as well.
pub const MAX_ARTIFACT_BYTES: usize = 16 << 20;
/// The longest path of a file in the directory.
pub const MAX_ARTIFACT_PATH_BYTES: usize = 1024;

/// How long a sandbox has to end its program and to send the files.
pub const COLLECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The files of one evaluation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// What was taken.
    pub artifacts: Vec<Artifact>,
    /// How many entries were no regular files, could not be read, or were too many or too large.
    pub skipped: u32,
}

/// What became of the files of a program that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftFiles {
    /// They were taken.
    Taken(Collected),
    /// None could be taken: the sandbox ended with its program, or sent something else.
    Lost,
}

impl LeftFiles {
    /// Takes the files of a program that `stop` has ended, by `taking`: within a time, and unless the
    /// evaluation is cancelled. None when nobody gets them: it was cancelled, or the platform failed.
    pub async fn take<E: std::error::Error + 'static>(
        stop: &Stop,
        cancel: &CancellationToken,
        taking: impl Future<Output = Result<Self, E>>,
    ) -> Option<Self> {
        match stop {
            Stop::Cancelled | Stop::EngineError(_) => return None,
            // They were in its memory.
            Stop::SandboxDied => return Some(Self::Lost),
            _ => {}
        }
        let taking = tokio::time::timeout(COLLECT_TIMEOUT, cancel.run_until_cancelled(taking));
        let reason = match taking.await {
            Ok(Some(Ok(files))) => return Some(files),
            Ok(Some(Err(error))) => error_chain(&error),
            Ok(None) => return Some(Self::Lost),
            Err(_elapsed) => format!("not all came within {} s", COLLECT_TIMEOUT.as_secs()),
        };
        tracing::warn!(reason, "the files of a program were not taken");
        Some(Self::Lost)
    }

    /// The verdict with these files.
    #[must_use]
    pub fn add_to(self, verdict: Verdict) -> Verdict {
        let Verdict { evidence, .. } = verdict;
        let (artifacts, evidence) = match self {
            Self::Taken(Collected { artifacts, skipped: 0 }) => (artifacts, evidence),
            Self::Taken(Collected { artifacts, skipped }) => {
                (artifacts, evidence.with("output.skipped", skipped))
            }
            Self::Lost => (Vec::new(), evidence.with("output.skipped", "all")),
        };
        Verdict { artifacts, evidence, ..verdict }
    }
}

/// Files that arrive piece by piece.
#[derive(Debug, Default)]
pub struct ReceivedArtifacts {
    files: Vec<(Vec<u8>, Vec<u8>)>,
    bytes: usize,
}

/// What arrived is not what may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a file that may be taken: {0}")]
pub struct ArtifactError(pub &'static str);

impl ReceivedArtifacts {
    /// A file of this path begins.
    ///
    /// # Errors
    ///
    /// When it is one too many, its path is none, or another file has it.
    pub fn begin(&mut self, path: Vec<u8>) -> Result<(), ArtifactError> {
        if self.files.len() >= MAX_ARTIFACTS {
            return Err(ArtifactError("too many files"));
        }
        if path.len() > MAX_ARTIFACT_PATH_BYTES {
            return Err(ArtifactError("a path that is too long"));
        }
        let is_step = |step: &[u8]| !matches!(step, b"" | b"." | b"..") && !step.contains(&0);
        if !path.split(|byte| *byte == b'/').all(is_step) {
            return Err(ArtifactError("a path that is not one below the directory"));
        }
        if self.files.iter().any(|(other, _)| *other == path) {
            return Err(ArtifactError("two files of one path"));
        }
        self.files.push((path, Vec::new()));
        Ok(())
    }

    /// More bytes of the file that was started last.
    ///
    /// # Errors
    ///
    /// When no file was started, or there are too many bytes.
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), ArtifactError> {
        let Some((_, content)) = self.files.last_mut() else {
            return Err(ArtifactError("bytes of no file"));
        };
        self.bytes += bytes.len();
        if self.bytes > MAX_ARTIFACT_BYTES {
            return Err(ArtifactError("too many bytes"));
        }
        content.extend_from_slice(bytes);
        Ok(())
    }

    /// Part of a file, which begins if it has a path.
    ///
    /// # Errors
    ///
    /// As [`Self::begin`] and [`Self::extend`].
    pub fn receive(&mut self, path: Option<Vec<u8>>, bytes: &[u8]) -> Result<(), ArtifactError> {
        path.map_or(Ok(()), |path| self.begin(path))?;
        self.extend(bytes)
    }

    /// The files, in the order in which they arrived.
    pub fn into_artifacts(self) -> Vec<Artifact> {
        let files = self.files.into_iter();
        files.map(|(path, content)| Artifact::new(&path, content.into())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_path_below_the_directory() {
        for path in [
            &b""[..],
            b"/etc/passwd",
            b"..",
            b"a/../b",
            b"a/./b",
            b"a//b",
            b"a/",
            b"a\0b",
            &[b'x'; MAX_ARTIFACT_PATH_BYTES + 1],
        ] {
            let mut received = ReceivedArtifacts::default();
            received.begin(path.to_vec()).unwrap_err();
        }
        let mut received = ReceivedArtifacts::default();
        for path in [&b"..."[..], b"a/..b", b"-rf *", b"C:\\x", b"\xff\n\"", b"a/b"] {
            received.begin(path.to_vec()).unwrap();
        }
        received.begin(b"a/b".to_vec()).unwrap_err();
        let paths: Vec<_> =
            received.into_artifacts().into_iter().map(|artifact| artifact.path).collect();
        assert_eq!(paths, ["...", "a/..b", "-rf *", "C:\\x", "/woi", "a/b"]);
    }

    #[test]
    fn number_and_bytes_are_bounded() {
        let mut received = ReceivedArtifacts::default();
        received.extend(b"x").unwrap_err();
        for number in 0..MAX_ARTIFACTS {
            received.begin(number.to_string().into_bytes()).unwrap();
        }
        received.begin(b"one more".to_vec()).unwrap_err();
        let chunk = vec![0; MAX_ARTIFACT_BYTES / 4];
        for _ in 0..4 {
            received.extend(&chunk).unwrap();
        }
        received.extend(b"x").unwrap_err();
    }
}
