//! Host users for containers: each one that runs has its own.
//!
//! The rule it keeps: no two containers have processes of the same user at the same time. The kernel
//! counts pages of pipes, pending signals, message queues and more for each user, so that a program
//! could starve another one of the same user, or send it a message by what is left. Test:
//! `two_programs_never_have_one_user`.
//!
//! The users are numbers from a configured range that no account of the host should have. The engines
//! of one machine share the range in blocks: an engine holds a block by a socket with its name, which
//! the kernel releases with the process. The containers that a killed server has left still run as
//! their users: these are left out until the next start.

use std::collections::BTreeSet;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Arc, Mutex, PoisonError};

/// The first user, when the operator configures none: in a range that no distribution assigns.
pub const DEFAULT_FIRST_USER: u32 = 1_900_000_000;
/// Users of one engine: more than it can have containers.
const BLOCK_SIZE: u32 = 1024;
/// Engines on one machine.
const MAX_BLOCKS: u32 = 64;

/// The users of one engine.
#[derive(Debug)]
pub(crate) struct Users {
    /// Holds the block.
    _block: UnixListener,
    /// Not in use. One lock: a user is in this set or in one [`UserLease`].
    free: Mutex<BTreeSet<u32>>,
}

/// A user of one container. Dropping it frees the user.
#[derive(Debug)]
pub(crate) struct UserLease {
    pub(crate) id: u32,
    users: Arc<Users>,
}

impl Users {
    /// A block of the range that starts at `first`, without the users `in_use`. None when other
    /// engines hold every block.
    pub(crate) fn claim(first: u32, in_use: &BTreeSet<u32>) -> Option<Arc<Self>> {
        (0..MAX_BLOCKS).find_map(|block| {
            let start = first.checked_add(block * BLOCK_SIZE)?;
            let end = start.checked_add(BLOCK_SIZE)?;
            let name = format!("crucible-users-{start}");
            let address = SocketAddr::from_abstract_name(name).ok()?;
            let listener = UnixListener::bind_addr(&address).ok()?;
            let free = (start..end).filter(|user| !in_use.contains(user)).collect();
            Some(Arc::new(Self { _block: listener, free: Mutex::new(free) }))
        })
    }

    /// A user that no container has; none when all are in use.
    pub(crate) fn lease(self: &Arc<Self>) -> Option<UserLease> {
        let id = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop_first()?;
        Some(UserLease { id, users: Arc::clone(self) })
    }
}

impl Drop for UserLease {
    fn drop(&mut self) {
        let mut free = self.users.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.insert(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In a range of this test process.
    fn first() -> u32 {
        1_000_000_000 + (std::process::id() % 1000) * BLOCK_SIZE * MAX_BLOCKS / 1000
    }

    #[test]
    fn two_programs_never_have_one_user() {
        let first = first();
        let (one, other) =
            (Users::claim(first, &[first].into()).unwrap(), Users::claim(first, &BTreeSet::new()));
        let other = other.unwrap();
        let leases: Vec<_> =
            (0..100).flat_map(|_| [one.lease(), other.lease()]).flatten().collect();
        let ids: BTreeSet<u32> = leases.iter().map(|lease| lease.id).collect();
        assert_eq!(ids.len(), 200);
        assert!(!ids.contains(&first), "a container of a killed server has it");
        drop(leases);
        assert_eq!(one.lease().unwrap().id, first + 1, "it is free again");
        let all: Vec<_> = std::iter::from_fn(|| one.lease()).collect();
        assert_eq!(all.len(), BLOCK_SIZE as usize - 1);
    }
}
