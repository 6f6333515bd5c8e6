//! The text of an API key, and the digest that is stored of it.
//!
//! ```text
//! crk_ 0Qz…(27 digits)…8f 1Bc9Zt
//! │    │                  └ CRC-32 of all before it, base62, 6 digits
//! │    └ 160 random bits, base62, 27 digits: leading zeros are written
//! └ the prefix by which a scanner finds a key in a repository
//! ```
//!
//! The checksum lets a scanner reject what only looks like a key, without a request. It proves
//! nothing to the server, which looks every text up by its SHA-256.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// The first characters of every key.
pub(crate) const PREFIX: &str = "crk_";
/// The digits of base62, in their order.
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Random bytes of a key: 160 bits.
const SECRET_BYTES: usize = 20;
/// Base62 digits that 160 bits take.
const SECRET_DIGITS: usize = 27;
/// Base62 digits that a CRC-32 takes.
const CHECKSUM_DIGITS: usize = 6;
/// The length of every key, in bytes.
pub(crate) const KEY_LENGTH: usize = PREFIX.len() + SECRET_DIGITS + CHECKSUM_DIGITS;

/// A key in clear text. It is shown once, and not stored.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

/// The SHA-256 of a key: what is stored, and what a key is looked up by.
///
/// A key has 160 random bits, so that its digest cannot be reversed by trying; a slow hash, as for
/// passwords, would only make each request slow.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

/// The system has no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system gives no random bytes")]
pub struct NoRandomness(#[source] getrandom::Error);

impl shared::Hint for NoRandomness {}

impl ApiKey {
    /// A new key.
    ///
    /// # Errors
    ///
    /// When the system has no random bytes.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(NoRandomness)?;
        Ok(Self::from_secret(&secret))
    }

    fn from_secret(secret: &[u8; SECRET_BYTES]) -> Self {
        let mut text = String::with_capacity(KEY_LENGTH);
        text.push_str(PREFIX);
        push_base62(&mut text, secret, SECRET_DIGITS);
        let checksum = crc32fast::hash(text.as_bytes());
        push_base62(&mut text, &checksum.to_be_bytes(), CHECKSUM_DIGITS);
        Self(text)
    }

    /// The key in clear text, for the one time that it is shown.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Its digest.
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(&self.0)
    }
}

/// Attack: a key gets into a log or an error by way of `{:?}` → its text is not part of that. Test:
/// `a_key_is_not_in_its_debug_text`.
impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(crk_…)")
    }
}

impl KeyDigest {
    /// The digest of a text, whether or not it is a key.
    pub fn of(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(…)")
    }
}

/// Whether a text has the form of a key, its checksum included: for scanners, and for an error of
/// the command line. The server does not depend on it.
pub(crate) fn has_key_form(text: &str) -> bool {
    let Some(body) = text.strip_prefix(PREFIX) else { return false };
    if text.len() != KEY_LENGTH || !body.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return false;
    }
    let (checked, checksum) = text.split_at(KEY_LENGTH - CHECKSUM_DIGITS);
    let mut expected = String::with_capacity(CHECKSUM_DIGITS);
    let crc = crc32fast::hash(checked.as_bytes());
    push_base62(&mut expected, &crc.to_be_bytes(), CHECKSUM_DIGITS);
    checksum == expected
}

/// Appends a big-endian number as so many base62 digits, with leading zeros.
fn push_base62(text: &mut String, number: &[u8], digits: usize) {
    let mut number = number.to_vec();
    let mut reversed = Vec::with_capacity(digits);
    for _ in 0..digits {
        let mut remainder = 0_u32;
        for byte in &mut number {
            let value = (remainder << 8) | u32::from(*byte);
            // Both are below 256: the remainder is below 62.
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        reversed.push(DIGITS.get(remainder as usize).copied().unwrap_or(b'0'));
    }
    text.extend(reversed.iter().rev().map(|digit| char::from(*digit)));
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_key_has_the_form_that_scanners_look_for() {
        let keys: HashSet<_> =
            (0..1000).map(|_| ApiKey::generate().unwrap().reveal().to_owned()).collect();
        assert_eq!(keys.len(), 1000);
        for key in &keys {
            assert!(has_key_form(key), "{key}");
            assert_eq!(key.len(), KEY_LENGTH);
        }
        // Each digit occurs in each place: the digits are not cut off at the front.
        let firsts: HashSet<_> = keys.iter().map(|key| key.as_bytes()[PREFIX.len()]).collect();
        let seconds: HashSet<_> = keys.iter().map(|key| key.as_bytes()[PREFIX.len() + 1]).collect();
        assert!(seconds.len() > 55 && !firsts.is_empty(), "{}", seconds.len());
    }

    #[test]
    fn every_secret_has_its_own_text_and_enough_digits() {
        let key = |secret| ApiKey::from_secret(&secret).reveal().to_owned();
        let zero = key([0; SECRET_BYTES]);
        assert!(zero.starts_with("crk_000000000000000000000000000"), "{zero}");
        // 62^27 > 2^160: the largest number fits, and its first digit is not 0.
        let largest = key([0xff; SECRET_BYTES]);
        assert!(has_key_form(&largest) && !largest.starts_with("crk_0"), "{largest}");
        let mut one = [0; SECRET_BYTES];
        one[SECRET_BYTES - 1] = 61;
        assert!(key(one).starts_with("crk_00000000000000000000000000z"), "{}", key(one));
    }

    #[test]
    fn one_wrong_character_is_found() {
        let key = ApiKey::generate().unwrap();
        let text = key.reveal();
        for at in PREFIX.len()..KEY_LENGTH {
            let mut changed = text.as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(!has_key_form(&changed), "{changed}");
            assert_ne!(KeyDigest::of(&changed), key.digest());
        }
        for text in ["", "crk_", "crk_é", &text[1..], &format!("{text}0"), &text.to_uppercase()] {
            assert!(!has_key_form(text), "{text}");
        }
    }

    #[test]
    fn a_key_is_not_in_its_debug_text() {
        let key = ApiKey::generate().unwrap();
        let texts = format!("{key:?} {:?}", key.digest());
        assert!(!texts.contains(&key.reveal()[PREFIX.len()..]), "{texts}");
    }
}
