//! The working directory of one program.

use std::path::{Path, PathBuf};

use shared::Job;
use shared::profile::PYTHON;

use super::blocking;

/// A directory with the program and its files. Removed at the end of the evaluation, or when it is
/// dropped.
pub(super) struct WorkDir {
    /// None once it is removed.
    path: Option<PathBuf>,
}

impl WorkDir {
    /// Creates the directory of `job` in `parent`, and writes the program and its files into it.
    pub(super) async fn create(parent: &Path, job: &Job) -> std::io::Result<Self> {
        let path = parent.join(job.id.to_string());
        let directory = Self { path: Some(path.clone()) };
        let submission = job.submission.clone();
        blocking(move || {
            std::fs::create_dir(&path)?;
            std::fs::write(path.join(&*PYTHON.main_file), &submission.code)?;
            for file in &submission.files {
                let target = path.join(&file.path);
                if let Some(parent) = target.parent() {
                    std::fs::create_dir_all(parent)?;
                }
                std::fs::write(target, &file.bytes)?;
            }
            Ok(())
        })
        .await?;
        Ok(directory)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Removes it.
    pub(super) async fn remove(mut self) {
        if let Some(path) = self.path.take() {
            // An error of the removal is logged there; a panic leaves the directory to `orphans`.
            tokio::task::spawn_blocking(move || remove(&path)).await.ok();
        }
    }
}

impl Drop for WorkDir {
    /// For an evaluation whose future was dropped: there is no runtime to wait on here.
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            remove(&path);
        }
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "could not remove a program's files");
    }
}
