//! One process, as `/proc/PID/stat` and `/proc/PID/smaps_rollup` show it.

use std::path::{Path, PathBuf};

/// A line of `/proc/PID/stat`, as far as it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stat {
    /// Whether all of its threads have ended, and it was not waited for yet.
    pub(super) is_zombie: bool,
    /// The id of its parent.
    pub(super) parent: i32,
    /// The id of its process group.
    pub(super) group: i32,
    /// Processor time that it used itself, in ticks.
    pub(super) own_ticks: u64,
    /// Processor time of the children that it has waited for, and of theirs.
    pub(super) children_ticks: u64,
    /// When it started. With its id, it names a process for good.
    pub(super) started: u64,
    /// Pages that it has in memory.
    pub(super) resident_pages: u64,
}

impl Stat {
    /// That of a process; None when there is none.
    pub(super) fn read(pid: i32) -> Option<Self> {
        let mut stat = Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        // While other threads run, a process whose first one has ended is shown as a zombie, without memory.
        if stat.is_zombie
            && let Some((_, thread)) = running_thread(pid)
        {
            stat.is_zombie = false;
            stat.resident_pages = thread.resident_pages;
        }
        Some(stat)
    }

    fn parse(line: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, which may contain anything.
        let (_, fields) = line.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        // proc(5) numbers the fields from 1; the first one here is its third.
        let field = |number: usize| fields.get(number - 3).copied();
        let number = |index| field(index)?.parse::<u64>().ok();
        Some(Self {
            is_zombie: matches!(field(3)?, "Z" | "X"),
            parent: field(4)?.parse().ok()?,
            group: field(5)?.parse().ok()?,
            own_ticks: number(14)? + number(15)?,
            children_ticks: number(16)? + number(17)?,
            started: number(22)?,
            resident_pages: number(24)?,
        })
    }

    /// All processor time, in ticks.
    pub(super) fn ticks(&self) -> u64 {
        self.own_ticks + self.children_ticks
    }
}

/// The directory and the state of a thread of a process that has not ended.
fn running_thread(pid: i32) -> Option<(PathBuf, Stat)> {
    std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten().find_map(|entry| {
        let stat = Stat::parse(&std::fs::read_to_string(entry.path().join("stat")).ok()?)?;
        (!stat.is_zombie).then_some((entry.path(), stat))
    })
}

/// The content of a file of a process that is read from its memory. None when it has ended, is ending, or is
/// another user's.
pub(in crate::subprocess) fn read_of_memory(pid: i32, name: &str) -> Option<Vec<u8>> {
    let first = PathBuf::from(format!("/proc/{pid}"));
    let read = |directory: &Path| {
        let content = std::fs::read(directory.join(name)).ok()?;
        (!content.is_empty()).then_some(content)
    };
    read(&first).or_else(|| read(&running_thread(pid)?.0))
}

/// The memory of a process, with each shared page divided by the number of processes that have it.
pub(super) fn proportional_bytes(pid: i32) -> Option<u64> {
    parse_proportional(&String::from_utf8(read_of_memory(pid, "smaps_rollup")?).ok()?)
}

fn parse_proportional(text: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    Some(value.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_a_parenthesis_does_not_confuse() {
        let line = "7 (a) 1 1) Z 3 5 7 0 -1 4194304 9 0 0 0 10 20 30 40 20 0 1 0 55 0 66";
        let stat = Stat::parse(line).unwrap();
        assert!(stat.is_zombie);
        assert_eq!((stat.parent, stat.group, stat.started), (3, 5, 55));
        assert_eq!((stat.own_ticks, stat.children_ticks, stat.resident_pages), (30, 70, 66));
        assert_eq!(Stat::parse("7 (a) Z 1"), None);
    }

    #[test]
    fn this_process_has_memory() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(proportional_bytes(pid).unwrap() > 1 << 16);
        assert!(Stat::read(pid).unwrap().resident_pages > 0);
        let text = "Rss:  9 kB\nPss:                 128 kB\nPss_Dirty: 7 kB\n";
        assert_eq!(parse_proportional(text), Some(128 << 10));
    }
}
