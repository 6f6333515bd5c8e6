//! The file with the credentials for a broker.

use std::path::Path;

use super::BrokerError;

/// What a broker is given to know this process by. Has no `Debug`.
pub(super) enum Credentials {
    /// A token and a key, as NATS's tools write them.
    Creds(String),
    /// A name and its secret.
    Pair(String, String),
}

impl Credentials {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self, BrokerError> {
        let refused = |reason: String| {
            BrokerError::Refused(format!("the credentials in {}: {reason}", path.display()).into())
        };
        let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
        if text.contains("-----BEGIN NATS USER JWT-----") {
            return Ok(Self::Creds(text));
        }
        match text.trim_end().split_once(':') {
            Some((name, secret)) if !name.is_empty() && !secret.contains(['\n', '\r']) => {
                Ok(Self::Pair(name.to_owned(), secret.to_owned()))
            }
            _ => Err(refused("neither a .creds file nor one line NAME:SECRET".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_understood_or_refused_without_its_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("credentials");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Credentials::read(&path)
        };
        assert!(
            matches!(read("a:b:c\n"), Ok(Credentials::Pair(name, secret)) if name == "a" && secret == "b:c")
        );
        assert!(matches!(read("-----BEGIN NATS USER JWT-----\nx\n"), Ok(Credentials::Creds(_))));
        for wrong in ["", "hunter2", ":hunter2", "a:hunter2\nb:hunter2\n"] {
            let BrokerError::Refused(reason) = read(wrong).err().unwrap() else { panic!() };
            assert!(reason.to_string().contains("NAME:SECRET"), "{reason}");
            assert!(!reason.to_string().contains("hunter2"), "{reason}");
        }
        assert!(Credentials::read(&directory.path().join("none")).is_err());
    }
}
