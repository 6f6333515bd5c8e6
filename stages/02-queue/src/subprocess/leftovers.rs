//! What a killed engine leaves behind, and how the next one finds it.
//!
//! Every process carries its [`InstanceId`] in its environment, and every directory in its name. At its
//! start an engine takes away what belongs to owners that are gone. Two stages that run at the same
//! time leave each other alone, and so do two that cannot see each other's processes.
//!
//! What it does not protect: a program can clear its environment and be overlooked.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use crate::InstanceId;

/// The environment variable that names the owner.
pub(super) const LABEL: &str = "CRUCIBLE_OWNER";
const DIRECTORY: &str = "crucible-subprocess-";

/// The directory for `owner`'s programs.
pub(super) fn scratch(owner: &InstanceId, parent: &Path) -> PathBuf {
    parent.join(format!("{DIRECTORY}{owner}"))
}

/// Takes away the processes and directories of engines that are gone.
pub(super) fn reap_leftovers(parent: &Path) {
    let us = InstanceId::this_process();
    kill_labelled(|owner| owner.is_gone(&us));
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| InstanceId::parse(name.strip_prefix(DIRECTORY)?));
        if owner.is_some_and(|owner| owner.is_gone(&us)) {
            // It may be another user's; then it is not ours to remove.
            let _not_ours = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Kills every process whose label names an owner that `which` picks.
pub(super) fn kill_labelled(which: impl Fn(&InstanceId) -> bool) {
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // Unreadable means another user's, and so not ours.
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if owner_in(&environment).is_some_and(|owner| which(&owner))
            && let Some(pid) = Pid::from_raw(pid)
        {
            // That it has just ended by itself is as good.
            let _gone = kill_process(pid, Signal::KILL);
        }
    }
}

fn owner_in(environment: &[u8]) -> Option<InstanceId> {
    environment.split(|byte| *byte == 0).find_map(|variable| {
        let variable = std::str::from_utf8(variable).ok()?;
        InstanceId::parse(variable.strip_prefix(LABEL)?.strip_prefix('=')?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_found_in_an_environment() {
        let own = InstanceId::this_process();
        let environment = format!("PATH=/bin\0{LABEL}={own}\0HOME=/");
        assert_eq!(owner_in(environment.as_bytes()), Some(own));
        assert_eq!(owner_in(b"CRUCIBLE_OWNER=x\0CRUCIBLE_OWNERS=1-2"), None);
    }

    #[test]
    fn directories_of_the_dead_are_removed_and_others_stay() {
        let parent = tempfile::tempdir().unwrap();
        let own = InstanceId::this_process();
        // The same number with another start time: it was used again.
        let name = own.to_string();
        let reused = format!("{}.1", name.rsplit_once('.').unwrap().0);
        let dead = scratch(&InstanceId::parse(&reused).unwrap(), parent.path());
        let alive = scratch(&own, parent.path());
        let other = parent.path().join("crucible-subprocess-notes");
        for path in [&dead, &alive, &other] {
            std::fs::create_dir(path).unwrap();
        }
        reap_leftovers(parent.path());
        assert_eq!([&dead, &alive, &other].map(|path| path.exists()), [false, true, true]);
    }
}
