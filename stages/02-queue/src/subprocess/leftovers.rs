//! What a killed engine leaves behind, and how the next one finds it.
//!
//! Every process carries its owner in its environment, and every directory in its name: the number
//! and the start time of the engine's process, which together are never used twice between two
//! boots. At its start an engine takes away what belongs to owners that are gone. Two stages that
//! run at the same time leave each other alone.
//!
//! What it does not protect: a program can clear its environment and be overlooked.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

/// The environment variable that names the owner.
pub(super) const LABEL: &str = "CRUCIBLE_OWNER";
const DIRECTORY: &str = "crucible-subprocess-";

/// An engine's process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pid: u32,
    /// In clock ticks since the boot; 0 when it cannot be known.
    started: u64,
}

impl Owner {
    pub(super) fn this_process() -> Self {
        let pid = std::process::id();
        Self { pid, started: start_time(pid).unwrap_or(0) }
    }

    /// The directory for this owner's programs.
    pub(super) fn scratch(self, parent: &Path) -> PathBuf {
        parent.join(format!("{DIRECTORY}{self}"))
    }

    fn parse(text: &str) -> Option<Self> {
        let (pid, started) = text.split_once('-')?;
        Some(Self { pid: pid.parse().ok()?, started: started.parse().ok()? })
    }

    fn is_gone(self) -> bool {
        start_time(self.pid) != Some(self.started)
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.pid, self.started)
    }
}

/// Takes away the processes and directories of engines that are gone.
pub(super) fn reap_leftovers(parent: &Path) {
    kill_labelled(Owner::is_gone);
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| Owner::parse(name.strip_prefix(DIRECTORY)?));
        if owner.is_some_and(Owner::is_gone) {
            // It may be another user's; then it is not ours to remove.
            let _not_ours = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Kills every process whose label names an owner that `which` picks.
pub(super) fn kill_labelled(which: impl Fn(Owner) -> bool) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Unreadable means another user's, and so not ours.
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if owner_in(&environment).is_some_and(&which)
            && let Some(pid) = Pid::from_raw(pid)
        {
            // That it has just ended by itself is as good.
            let _gone = kill_process(pid, Signal::KILL);
        }
    }
}

fn owner_in(environment: &[u8]) -> Option<Owner> {
    environment.split(|byte| *byte == 0).find_map(|variable| {
        let variable = std::str::from_utf8(variable).ok()?;
        Owner::parse(variable.strip_prefix(LABEL)?.strip_prefix('=')?)
    })
}

/// When a process started, in clock ticks since the boot; None when there is no such process.
fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_found_in_an_environment() {
        let own = Owner::this_process();
        let environment = format!("PATH=/bin\0{LABEL}={own}\0HOME=/");
        assert_eq!(owner_in(environment.as_bytes()), Some(own));
        assert!(!own.is_gone());
        assert!(Owner { started: own.started + 1, ..own }.is_gone(), "the number was used again");
        assert_eq!(owner_in(b"CRUCIBLE_OWNER=x\0CRUCIBLE_OWNERS=1-2"), None);
    }

    #[test]
    fn directories_of_the_dead_are_removed_and_others_stay() {
        let parent = tempfile::tempdir().unwrap();
        let dead = Owner { pid: std::process::id(), started: 1 }.scratch(parent.path());
        let alive = Owner::this_process().scratch(parent.path());
        let other = parent.path().join("crucible-subprocess-notes");
        for path in [&dead, &alive, &other] {
            std::fs::create_dir(path).unwrap();
        }
        reap_leftovers(parent.path());
        assert_eq!([&dead, &alive, &other].map(|path| path.exists()), [false, true, true]);
    }
}
