//! How the API process gives up its rights for good, while it has a single thread.
//!
//! Attack: an error in the HTTP code lets an attacker run code in the API process → that process is
//! another user than root, in no group, without a capability, and no program that it starts can gain
//! one. Verified in `/proc/self/status` and by trying to become root again; if either is not as it
//! should be, the process exits before it has a listener. Test: `the_api_process_has_no_rights`.

use std::io;

use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

/// The user that is looked up when `--api-user` names none.
const DEFAULT_USER: &str = "crucible";
/// The user id when there is no such user.
const DEFAULT_ID: u32 = 64_999;
/// The user of the sandboxed programs under Docker.
const NOBODY: u32 = 65_534;

/// The user of the API process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiUser {
    uid: u32,
    gid: u32,
}

/// Why the rights could not be given up.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// `/etc/passwd` cannot be read.
    #[error("cannot read /etc/passwd")]
    Users(#[source] io::Error),
    /// There is no such user.
    #[error("there is no user {0:?} for the API process")]
    UnknownUser(String),
    /// The user has the rights that the API process should not have.
    #[error("the API process cannot be root, and cannot be nobody, as sandboxed programs are")]
    Root,
    /// The system refused.
    #[error("the API process cannot give up its rights")]
    Refused(#[from] io::Error),
    /// The process has rights that it gave up.
    #[error("the API process still has rights: {0}")]
    Kept(String),
}

impl shared::Hint for PrivilegeError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::UnknownUser(_) | Self::Root => {
                Some("name a user without rights, or its id, with --api-user")
            }
            _ => None,
        }
    }
}

impl From<rustix::io::Errno> for PrivilegeError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Refused(error.into())
    }
}

impl ApiUser {
    /// The user that `given` names, by its name or by its number.
    ///
    /// # Errors
    ///
    /// [`PrivilegeError`] when there is no such user, or when it is root or `nobody`.
    pub fn find(given: Option<&str>) -> Result<Self, PrivilegeError> {
        let users = std::fs::read_to_string("/etc/passwd").map_err(PrivilegeError::Users)?;
        Self::find_in(&users, given)
    }

    fn find_in(users: &str, given: Option<&str>) -> Result<Self, PrivilegeError> {
        let name = given.unwrap_or(DEFAULT_USER);
        let of_line = |line: &str| {
            let fields: Vec<&str> = line.split(':').collect();
            let [found, _, uid, gid, ..] = fields[..] else { return None };
            let user = Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? };
            (found == name).then_some(user)
        };
        let user = match (users.lines().find_map(of_line), given) {
            (Some(user), _) => user,
            (None, None) => Self { uid: DEFAULT_ID, gid: DEFAULT_ID },
            (None, Some(number)) => {
                let unknown = |_| PrivilegeError::UnknownUser(number.to_owned());
                let id = number.parse().map_err(unknown)?;
                Self { uid: id, gid: id }
            }
        };
        // The last is the id that means "leave as it is" to setresuid.
        let is_allowed = |id: u32| ![0, NOBODY, u32::MAX].contains(&id);
        if is_allowed(user.uid) && is_allowed(user.gid) {
            Ok(user)
        } else {
            Err(PrivilegeError::Root)
        }
    }

    /// The ids of the user and of its group.
    pub fn ids(self) -> (u32, u32) {
        (self.uid, self.gid)
    }

    // ANCHOR: drop
    /// Makes this process a process of this user, if it is root's, and verifies that it stays one.
    ///
    /// # Errors
    ///
    /// [`PrivilegeError`]; the process must exit then.
    pub fn become_user(self) -> Result<(), PrivilegeError> {
        // The system calls change one thread only, and a thread inherits what its creator has.
        if std::fs::read_dir("/proc/self/task")?.count() != 1 {
            return Err(PrivilegeError::Kept("a thread that has them".to_owned()));
        }
        set_no_new_privs(true)?;
        if !geteuid().is_root() {
            return Ok(()); // the user's own rights, as before
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        let root = Uid::ROOT;
        if set_thread_res_uid(None, root, None).is_ok() || set_thread_groups(&[]).is_ok() {
            return Err(PrivilegeError::Kept("to become root".to_owned()));
        }
        self.verify(&std::fs::read_to_string("/proc/self/status")?)
    }
    // ANCHOR_END: drop

    /// Compares the process's status with what it should be.
    fn verify(self, status: &str) -> Result<(), PrivilegeError> {
        let Self { uid, gid } = self;
        let none = "0000000000000000".to_owned();
        let expected = [
            ("Uid:", format!("{uid} {uid} {uid} {uid}")),
            ("Gid:", format!("{gid} {gid} {gid} {gid}")),
            ("Groups:", String::new()),
            ("CapInh:", none.clone()),
            ("CapPrm:", none.clone()),
            ("CapEff:", none.clone()),
            ("CapAmb:", none),
            ("NoNewPrivs:", "1".to_owned()),
        ];
        for (key, value) in expected {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            let words = line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            if words.as_ref() != Some(&value) {
                return Err(PrivilegeError::Kept(format!("{key} {}", words.unwrap_or_default())));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/:/bin/false\n";

    #[test]
    fn the_user_is_named_or_numbered_and_never_root() {
        let find = |given| ApiUser::find_in(USERS, given);
        assert_eq!(find(None).unwrap(), ApiUser { uid: DEFAULT_ID, gid: DEFAULT_ID });
        assert_eq!(find(Some("web")).unwrap(), ApiUser { uid: 33, gid: 34 });
        assert_eq!(find(Some("4000")).unwrap(), ApiUser { uid: 4000, gid: 4000 });
        let own = format!("{USERS}crucible:x:900:901::/:/bin/false\n");
        assert_eq!(ApiUser::find_in(&own, None).unwrap(), ApiUser { uid: 900, gid: 901 });
        for root in ["root", "0", "65534", "4294967295"] {
            assert!(matches!(find(Some(root)), Err(PrivilegeError::Root)), "{root}");
        }
        for unknown in ["nobody", "-1", ""] {
            assert!(matches!(find(Some(unknown)), Err(PrivilegeError::UnknownUser(_))));
        }
    }

    #[test]
    fn a_right_that_is_left_is_found() {
        let user = ApiUser { uid: 7, gid: 8 };
        let good = "Uid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\nGroups:\t \nCapInh:\t0000000000000000\n\
                    CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
                    CapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n";
        user.verify(good).unwrap();
        for (from, to) in [
            ("Uid:\t7\t7\t7", "Uid:\t7\t7\t0"),
            ("Groups:\t", "Groups:\t0"),
            ("CapPrm:\t0000000000000000", "CapPrm:\t0000000000000001"),
            ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
            ("CapAmb", "CapXyz"),
        ] {
            assert!(user.verify(&good.replace(from, to)).is_err(), "{to}");
        }
    }
}
