//! Pins: files in which the set-up writes which image may be used.

use std::path::{Path, PathBuf};

/// The pin with the id of the image that the set-up has built or fetched.
pub const IMAGE_PIN: &str = "/etc/crucible/image";
/// The name of the image when there is no pin.
pub const DEFAULT_IMAGE: &str = "crucible/python:local";

/// Why a pin has no value.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// It cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// It is empty.
    #[error("{} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the value of a pin.
///
/// # Errors
///
/// When the file cannot be read or is empty.
pub async fn read_pin(path: &Path) -> Result<String, PinError> {
    let read_error = |source| PinError::Read { path: path.to_owned(), source };
    let text = tokio::fs::read_to_string(path).await.map_err(read_error)?;
    match text.trim() {
        "" => Err(PinError::Empty { path: path.to_owned() }),
        value => Ok(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pin_is_one_line_that_is_not_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        assert!(matches!(read_pin(&path).await, Err(PinError::Read { .. })));
        std::fs::write(&path, " \n").unwrap();
        assert!(matches!(read_pin(&path).await, Err(PinError::Empty { .. })));
        std::fs::write(&path, "sha256:01\n").unwrap();
        assert_eq!(read_pin(&path).await.unwrap(), "sha256:01");
    }
}
