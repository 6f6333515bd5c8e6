//! What is known of a key: its name, its scopes, and how long it is valid.

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Submit programs, and cancel the key's own evaluations
    Submit,
    /// Read the key's own evaluations and their events, and the state of the platform
    Read,
    /// Everything, with the evaluations of every key
    Admin,
    /// Take the evaluations of every key, and report how they ended: for a worker of stage 10
    Worker,
}

impl Scope {
    /// The name on the command line and in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::Admin => "admin",
            Self::Worker => "worker",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::Submit => 1,
            Self::Read => 2,
            Self::Admin => 4,
            Self::Worker => 8,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    const ALL: [Scope; 4] = [Scope::Submit, Scope::Read, Scope::Admin, Scope::Worker];

    /// The set as it is stored. Bits that mean nothing are ignored.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & 15)
    }

    /// The set as it is stored.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether the set allows what needs `scope`: `admin` allows everything.
    pub fn allow(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    /// Whether the set has `admin`.
    pub fn is_admin(self) -> bool {
        self.allow(Scope::Admin)
    }

    /// Whether the set has `worker` by its name, and not by `admin`.
    pub fn is_worker(self) -> bool {
        self.0 & Scope::Worker.bit() != 0
    }

    /// The names, joined by a space.
    pub fn names(self) -> String {
        let held = Self::ALL.into_iter().filter(|scope| self.0 & scope.bit() != 0);
        held.map(Scope::as_str).collect::<Vec<_>>().join(" ")
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

/// A key as it is stored: everything but the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// The id, which is no secret: it is the owner of what the key submits.
    pub id: String,
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops to be valid, if it does.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// When it was used last, give or take a minute.
    pub last_used_at: Option<Timestamp>,
}

impl KeyRecord {
    /// Whether it is valid at `now`.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// `active`, `revoked` or `expired`.
    pub fn state(&self, now: Timestamp) -> &'static str {
        if self.revoked_at.is_some() {
            "revoked"
        } else if self.is_active(now) {
            "active"
        } else {
            "expired"
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;

    #[test]
    fn admin_allows_everything_and_no_other_scope_allows_more_than_itself() {
        let set = |scopes: &[Scope]| scopes.iter().copied().collect::<Scopes>();
        for scope in Scopes::ALL {
            assert!(set(&[Scope::Admin]).allow(scope));
            assert_eq!(set(&[Scope::Read]).allow(scope), scope == Scope::Read);
            assert_eq!(set(&[Scope::Submit]).allow(scope), scope == Scope::Submit);
            assert_eq!(set(&[Scope::Worker]).allow(scope), scope == Scope::Worker);
            assert!(!Scopes::default().allow(scope));
        }
        assert!(!set(&[Scope::Read, Scope::Submit]).is_admin());
        assert_eq!(set(&[Scope::Read, Scope::Submit]).names(), "submit read");
        assert!(!set(&[Scope::Admin]).is_worker() && set(&[Scope::Worker]).is_worker());
        assert_eq!(Scopes::from_bits(0xf2).names(), "read");
    }

    #[test]
    fn a_key_ends_at_its_expiry_and_at_its_revocation() {
        let now = Timestamp::now();
        let key = KeyRecord {
            id: "k".into(),
            name: "n".into(),
            scopes: Scopes::default(),
            created_at: now,
            expires_at: Some(now + 1.hour()),
            revoked_at: None,
            last_used_at: None,
        };
        assert_eq!(key.state(now), "active");
        assert_eq!(key.state(now + 1.hour()), "expired");
        let revoked = KeyRecord { revoked_at: Some(now), ..key };
        assert_eq!((revoked.state(now), revoked.is_active(now)), ("revoked", false));
    }
}
