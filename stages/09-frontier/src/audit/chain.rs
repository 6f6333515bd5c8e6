//! One row of the audit log, and its hash.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// The hash of one row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Hash(pub(super) [u8; 32]);

/// What is hashed before the first row.
pub(super) const GENESIS: Hash = Hash([0; 32]);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, in microseconds since 1970.
    pub time: i64,
    /// The id of the key, `command-line`, or `anonymous` where no key is needed.
    pub actor: String,
    /// The address that the request came from; empty for the command line.
    pub peer: String,
    /// The id of the request, by which its log events are found.
    pub request_id: String,
    /// What was done, such as `evaluation.submit`.
    pub action: String,
    /// The id of what it was done to.
    pub target: String,
    /// Details, as JSON.
    pub detail: String,
}

/// The newest row: its number and its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The number of the newest row; 0 when there is none.
    pub number: i64,
    /// Its hash.
    pub hash: Hash,
}

impl Entry {
    /// The hash of this entry as row `number`, after a row with the hash `previous`.
    pub(super) fn hash(&self, number: i64, previous: Hash) -> Hash {
        let mut hasher = Sha256::new();
        hasher.update(previous.0);
        hasher.update(number.to_be_bytes());
        hasher.update(self.time.to_be_bytes());
        let Self { actor, peer, request_id, action, target, detail, .. } = self;
        for field in [actor, peer, request_id, action, target, detail] {
            hasher.update((field.len() as u64).to_be_bytes());
            hasher.update(field);
        }
        Hash(hasher.finalize().into())
    }
}

impl Hash {
    /// The hash with these bytes, if there are as many as a hash has.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)
    }
}

impl FromStr for Head {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "give NUMBER:HASH, as the log event `audit head` has it";
        let (number, digits) = text.split_once(':').ok_or(FORM)?;
        if digits.len() != 64 || !digits.is_ascii() {
            return Err(FORM);
        }
        let mut hash = [0; 32];
        for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| FORM)?;
        }
        let number = number.parse().ok().filter(|number| *number >= 0).ok_or(FORM)?;
        Ok(Self { number, hash: Hash(hash) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            time: 1,
            actor: "ab".into(),
            peer: "c".into(),
            request_id: "r".into(),
            action: "x".into(),
            target: "t".into(),
            detail: "{}".into(),
        }
    }

    #[test]
    fn fields_cannot_be_shifted() {
        let hash = entry().hash(1, GENESIS);
        let shifted = Entry { actor: "a".into(), peer: "bc".into(), ..entry() };
        assert_ne!(shifted.hash(1, GENESIS), hash);
        assert_ne!(entry().hash(2, GENESIS), hash);
        assert_ne!(entry().hash(1, hash), hash);
        assert_eq!(entry().hash(1, GENESIS), hash);
    }

    #[test]
    fn a_head_goes_both_ways_as_text() {
        let head = Head { number: 7, hash: entry().hash(7, GENESIS) };
        assert_eq!(head.to_string().parse(), Ok(head));
        let short = format!("7:{}", "a".repeat(63));
        let wide = format!("7:{}", "é".repeat(32));
        for text in ["", "7", "7:", "x:00", "-1:00", &short, &wide, &format!("{head}0")] {
            assert!(text.parse::<Head>().is_err(), "{text}");
        }
    }
}
