//! The processes of an execution: everything below its shim, by the parents that `/proc` names.
//!
//! Attack: a process calls `setsid`, forks twice, or forks faster than it is killed → its orphans
//! are children of the shim, and every process is stopped before any is killed, so that none forks
//! on. Test: `a_kill_ends_the_whole_tree`.

use std::collections::{HashMap, HashSet};
use std::io::Read as _;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Rounds of one sweep, in which processes are still found that were not before.
const MAX_ROUNDS: usize = 64;
/// How long a tree is swept. What lives on then is in the kernel's hands.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);
const SWEEP_INTERVALS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Where a tree begins.
#[derive(Debug, Clone)]
pub(crate) struct Roots {
    /// Whose children are meant, and not itself.
    pub(crate) shim: Option<Pid>,
    /// Meant as well.
    pub(crate) program: Option<Pid>,
    /// The children of the supervisor that are no shim are meant as well: a program that is root has
    /// killed a shim above them.
    pub(crate) has_strays: bool,
}

impl Roots {
    /// All that is below a shim.
    pub(crate) fn below(shim: Pid) -> Self {
        Self { shim: Some(shim), program: None, has_strays: false }
    }
}

#[derive(Debug, Clone, Copy)]
struct Process {
    pid: Pid,
    parent: Option<Pid>,
    is_zombie: bool,
}

/// A tree that is being killed, sweep by sweep.
pub(crate) struct Kill {
    pub(crate) roots: Roots,
    started: Instant,
    pub(crate) next: Instant,
    interval: Duration,
}

impl Kill {
    pub(crate) fn new(roots: Roots) -> Self {
        let now = Instant::now();
        Self { roots, started: now, next: now, interval: SWEEP_INTERVALS.0 }
    }

    /// Stops and kills what lives. True when nothing did, or it is given up. `shims` are those that
    /// the supervisor has started.
    pub(crate) fn sweep(&mut self, shims: &HashSet<Pid>) -> bool {
        let mut stopped = HashSet::new();
        for _ in 0..MAX_ROUNDS {
            let living = living(&self.roots, shims).into_iter();
            let found: Vec<_> = living.filter(|pid| !stopped.contains(pid)).collect();
            if found.is_empty() {
                break;
            }
            for pid in found {
                kill_process(pid, Signal::STOP).ok(); // it may have ended
                stopped.insert(pid);
            }
        }
        for pid in &stopped {
            kill_process(*pid, Signal::KILL).ok();
        }
        let now = Instant::now();
        self.next = now + self.interval;
        self.interval = (2 * self.interval).min(SWEEP_INTERVALS.1);
        stopped.is_empty() || now.duration_since(self.started) > KILL_TIMEOUT
    }
}

/// Sends a signal to every process of a tree.
pub(crate) fn signal_all(roots: &Roots, shims: &HashSet<Pid>, signal: Signal) {
    for pid in living(roots, shims) {
        kill_process(pid, signal).ok(); // it may have ended
    }
}

/// Whether a process is a child of another one: the number alone may be another process's by now.
pub(crate) fn is_child(pid: Pid, parent: Pid) -> bool {
    process(pid).is_some_and(|process| process.parent == Some(parent) && !process.is_zombie)
}

/// The processes of a tree that have not ended.
fn living(roots: &Roots, shims: &HashSet<Pid>) -> Vec<Pid> {
    let own = rustix::process::getpid();
    let mut children: HashMap<Pid, Vec<Process>> = HashMap::new();
    let mut meant: Vec<Process> = Vec::new();
    for process in processes() {
        let is_stray =
            roots.has_strays && process.parent == Some(own) && !shims.contains(&process.pid);
        if roots.program == Some(process.pid) || is_stray {
            meant.push(process);
        }
        if let Some(parent) = process.parent {
            children.entry(parent).or_default().push(process);
        }
    }
    meant.extend(roots.shim.and_then(|shim| children.remove(&shim)).unwrap_or_default());
    let mut living = HashSet::new();
    while let Some(process) = meant.pop() {
        if !process.is_zombie {
            living.insert(process.pid);
        }
        meant.extend(children.remove(&process.pid).unwrap_or_default());
    }
    living.into_iter().collect()
}

fn processes() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Pid::from_raw(pid)
    });
    pids.filter_map(process).collect()
}

fn process(pid: Pid) -> Option<Process> {
    let mut stat = Vec::new();
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    std::fs::File::open(path).ok()?.read_to_end(&mut stat).ok()?;
    // The name may have anything in it, parentheses among it.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = Pid::from_raw(fields.next()?.parse().ok()?);
    Some(Process { pid, parent, is_zombie: matches!(state, "Z" | "X") })
}
