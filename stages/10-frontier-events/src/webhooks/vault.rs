//! The secrets of webhooks at rest: sealed with a key that is in a file beside the database, and not in it.
//!
//! Attack: a copy of the database, such as a backup, is read by somebody, who then forges messages to all receivers →
//! the secrets in it are sealed (XChaCha20-Poly1305), and the key is in a file of its own, which `backup` does not copy.
//! Test: `a_copied_database_has_no_secret_and_cannot_sign`.
//!
//! What it does not protect: who can read the data directory, or the memory of the server, has both.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use shared::Hint;

use super::secret::Secret;

/// The file in the data directory.
pub(super) const KEY_FILE: &str = "webhooks.key";
const KEY_BYTES: usize = 32;
/// Of `XChaCha20`: long enough to be random.
const NONCE_BYTES: usize = 24;
/// Begins the text of a secret that is sealed, with the version of its form.
const PREFIX: &str = "sealed1_";
/// Nobody but the owner may read the key.
const KEY_MODE: u32 = 0o600;

/// Why there is no key for the secrets of webhooks.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file cannot be used.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file is something else.
    #[error("{} is no key: it has to have {KEY_BYTES} bytes", path.display())]
    Length {
        /// The file.
        path: PathBuf,
    },
    /// The file is readable for others.
    #[error("{} has mode {mode:o}, and only its owner may read it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// There are no random numbers.
    #[error("the system has no random numbers")]
    Random(#[source] getrandom::Error),
}

impl Hint for VaultError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Length { .. } => {
                Some("put the file back, or remove it: then webhooks need new secrets")
            }
            Self::Exposed { .. } => {
                Some("chmod 600 it; if others have read it, replace the secrets")
            }
            Self::Io { .. } | Self::Random(_) => None,
        }
    }
}

/// Seals and opens secrets.
#[derive(Clone)]
pub(super) struct Vault(XChaCha20Poly1305);

impl Vault {
    /// The vault with the key in `directory`, which is made if there is none.
    pub(super) fn open(directory: &Path) -> Result<Self, VaultError> {
        let path = directory.join(KEY_FILE);
        if !path.exists() {
            create(directory, &path)?;
        }
        let (bytes, mode) =
            read(&path).map_err(|source| VaultError::Io { path: path.clone(), source })?;
        if mode & 0o077 != 0 {
            return Err(VaultError::Exposed { path, mode });
        }
        let key = Key::try_from(&bytes[..]).map_err(|_| VaultError::Length { path })?;
        Ok(Self(XChaCha20Poly1305::new(&key)))
    }

    // ANCHOR: seal
    /// The text of a secret for the database. It opens only as a secret of the webhook `id`.
    pub(super) fn seal(&self, id: &str, secret: &Secret) -> Result<String, getrandom::Error> {
        let mut sealed = [0; NONCE_BYTES];
        getrandom::fill(&mut sealed)?;
        let text = secret.reveal();
        let payload = Payload { msg: text.as_bytes(), aad: id.as_bytes() };
        // It fails for messages of gigabytes alone.
        let body = self.0.encrypt(&XNonce::from(sealed), payload).unwrap_or_default();
        Ok(format!("{PREFIX}{}", STANDARD.encode([&sealed[..], &body].concat())))
    }
    // ANCHOR_END: seal

    /// The secret of the webhook `id` in a text of the database. None if it was sealed with another key, or for another
    /// webhook.
    pub(super) fn open_secret(&self, id: &str, text: &str) -> Option<Secret> {
        let sealed = STANDARD.decode(text.strip_prefix(PREFIX)?).ok()?;
        let (nonce, msg) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let opened =
            self.0.decrypt(&XNonce::from(*nonce), Payload { msg, aad: id.as_bytes() }).ok()?;
        String::from_utf8(opened).ok()?.parse().ok()
    }
}

/// What is in the file, and its mode.
fn read(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let (file, mut bytes) = (File::open(path)?, Vec::new());
    let mode = file.metadata()?.mode() & 0o7777;
    file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes, mode))
}

/// Makes the key: all of it is on the disk before the file has its name.
fn create(directory: &Path, path: &Path) -> Result<(), VaultError> {
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key).map_err(VaultError::Random)?;
    let new = path.with_extension("new");
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(KEY_MODE).open(&new)?;
        // One that an earlier start has left may have another mode.
        file.set_permissions(Permissions::from_mode(KEY_MODE))?;
        file.write_all(&key)?;
        file.sync_all()?;
        // A command that root runs must not lock the server out.
        let owner = directory.metadata()?;
        if file.metadata()?.uid() != owner.uid() {
            chown(&new, Some(owner.uid()), Some(owner.gid()))?;
        }
        fs::rename(&new, path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|source| VaultError::Io { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_with_its_key_for_its_webhook_alone() {
        let (directory, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (secret, vault) = (Secret::generate().unwrap(), Vault::open(directory.path()).unwrap());
        let sealed = vault.seal("a", &secret).unwrap();
        assert!(!sealed.contains(secret.reveal().strip_prefix("whsec_").unwrap()), "{sealed}");
        assert_ne!(sealed, vault.seal("a", &secret).unwrap(), "the nonce is random");
        let again = Vault::open(directory.path()).unwrap();
        assert_eq!(again.open_secret("a", &sealed), Some(secret));
        assert_eq!(again.open_secret("b", &sealed), None);
        assert_eq!(Vault::open(other.path()).unwrap().open_secret("a", &sealed), None);
        let mut changed = STANDARD.decode(sealed.strip_prefix(PREFIX).unwrap()).unwrap();
        *changed.last_mut().unwrap() ^= 1;
        assert_eq!(vault.open_secret("a", &format!("{PREFIX}{}", STANDARD.encode(changed))), None);
        for text in ["", "sealed1_", "sealed1_AAAA", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"] {
            assert_eq!(vault.open_secret("a", text), None, "{text}");
        }
    }

    #[test]
    fn a_key_is_for_its_owner_alone_and_of_its_length() {
        let directory = tempfile::tempdir().unwrap();
        Vault::open(directory.path()).unwrap();
        let path = directory.path().join(KEY_FILE);
        assert_eq!(path.metadata().unwrap().mode() & 0o7777, KEY_MODE);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let exposed = Vault::open(directory.path()).err().unwrap().to_string();
        assert!(exposed.contains("mode 640"), "{exposed}");
        for length in [0, KEY_BYTES - 1, KEY_BYTES + 1] {
            fs::remove_file(&path).unwrap();
            fs::write(&path, vec![1; length]).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(KEY_MODE)).unwrap();
            let short = Vault::open(directory.path()).err().unwrap().to_string();
            assert!(short.contains("is no key"), "{length}: {short}");
        }
    }
}
