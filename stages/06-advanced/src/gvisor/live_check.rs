//! Compares a live sandbox with what was ordered, wholly: its processes, runsc's command lines, the
//! specification that runsc has loaded, the files of its cgroup, its namespaces.
//!
//! Guarantee: each control is looked at where it is in force, not where it was written down. Whatever lies
//! between this engine and the sandbox, a wrapper around runsc or a runsc that ignores an option,
//! leaves a difference. All differences are found, not the first alone.

use std::path::Path;

use serde_json::Value;
use stage_04_docker::{CgroupLimits, Controller, error_chain};
use stage_05_gvisor::run_runsc;

use super::instance_dir::SandboxPaths;
use super::options::RunscPlatform;

/// The kernel's rounding of a limit on memory.
const PAGE_BYTES: u64 = 4096;
/// Namespaces that gVisor's kernel has of its own. (Its processes are in the host's namespace of
/// processes. What is inside sees gVisor's own.)
const NAMESPACES: [&str; 5] = ["user", "net", "ipc", "uts", "mnt"];

/// A sandbox as it was ordered.
pub(super) struct OrderedSandbox<'a> {
    pub(super) paths: &'a SandboxPaths,
    /// The limits of its cgroup when it was created.
    pub(super) cgroup: CgroupLimits,
    /// The most that its limit of memory is raised to.
    pub(super) highest_memory_bytes: u64,
    pub(super) runsc: &'a Path,
    pub(super) platform: RunscPlatform,
    /// The options that this release of runsc needs.
    pub(super) arguments: &'a [&'static str],
    /// Where runsc stores its state.
    pub(super) state: &'a Path,
    /// The specification.
    pub(super) spec: Value,
}

/// A live sandbox.
pub(super) struct LiveSandbox {
    /// The process that is gVisor's kernel, if there is one.
    pub(super) kernel: Option<i32>,
    /// How many processes it has on the host.
    pub(super) processes: usize,
    /// In what it differs from what was ordered.
    pub(super) differences: Vec<String>,
}

/// Looks at the sandbox. Blocks.
pub(super) fn inspect(ordered: &OrderedSandbox<'_>) -> LiveSandbox {
    let processes = ordered.paths.cgroup.processes();
    let mut live =
        LiveSandbox { kernel: None, processes: processes.len(), differences: Vec::new() };
    for pid in processes {
        let pid = pid.as_raw_nonzero().get();
        match std::fs::read_link(format!("/proc/{pid}/exe")) {
            Ok(executable) if executable == ordered.runsc => {}
            Ok(executable) => {
                live.differs(format!("a process of the sandbox is {}", executable.display()));
            }
            Err(error) => live.differs(format!("a process of the sandbox is unknown: {error}")),
        }
        let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline"));
        let arguments = arguments.unwrap_or_default();
        let mut words = arguments.split_terminator('\0');
        let command = match words.next() {
            Some("runsc-sandbox") => "boot",
            Some("runsc-gofer") => "gofer",
            _ => continue,
        };
        if command == "boot" {
            live.kernel = Some(pid);
            live.check_namespaces(pid);
        }
        live.check_options(ordered, command, words);
    }
    live.check_specification(ordered);
    for (file, found, expected) in wrong_limits(ordered) {
        live.differs(format!("the cgroup's {file} is {found}, not {expected}"));
    }
    live
}

impl LiveSandbox {
    fn differs(&mut self, how: String) {
        // Several processes can have the same difference.
        if !self.differences.contains(&how) {
            self.differences.push(how);
        }
    }

    /// runsc passes every global option that is not its default on to its processes, in front of
    /// their command. No option is there but the ordered ones.
    fn check_options<'a>(
        &mut self,
        ordered: &OrderedSandbox<'_>,
        command: &str,
        words: impl Iterator<Item = &'a str>,
    ) {
        let options: Vec<_> = words.take_while(|word| *word != command).collect();
        let platform = format!("--platform={}", ordered.platform.as_str());
        let root = format!("--root={}", ordered.state.display());
        let network = "--network=none";
        for option in &options {
            let ordinary = [root.as_str(), network, platform.as_str()].contains(option);
            if !ordinary && !ordered.arguments.contains(option) {
                self.differs(format!("runsc's {command} runs with {option}"));
            }
        }
        for required in [root.as_str(), network].iter().chain(ordered.arguments) {
            if !options.contains(required) {
                self.differs(format!("runsc's {command} runs without {required}"));
            }
        }
    }

    fn check_namespaces(&mut self, kernel: i32) {
        for namespace in NAMESPACES {
            let of = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/{namespace}"));
            match (of(&kernel.to_string()), of("self")) {
                (Ok(its), Ok(ours)) if its != ours => {}
                _ => {
                    self.differs(format!(
                        "gVisor's kernel has no {namespace} namespace of its own"
                    ));
                }
            }
        }
    }

    /// gVisor's kernel itself reports the users of the processes that run in it: root for the
    /// supervisor, and for the program the one user that no other sandbox has.
    pub(super) async fn check_users(&mut self, runsc: &Path, state: &Path, id: &str, user: u32) {
        let state = state.to_string_lossy();
        match run_runsc(runsc, &["--root", &state, "ps", id]).await {
            Ok(table) => self.check_user_table(&table, user),
            Err(error) => {
                self.differs(format!("runsc reports no processes: {}", error_chain(&error)));
            }
        }
    }

    /// The table has a line of names, and for each process its user, its number and more.
    fn check_user_table(&mut self, table: &str, user: u32) {
        let lines =
            table.trim().lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut programs = 0;
        for line in lines {
            match (line.first().and_then(|user| user.parse().ok()), line.get(1)) {
                (Some(0), Some(&"1")) => {}
                (Some(found), Some(&pid)) if pid != "1" && found == user => programs += 1,
                _ => self.differs(format!("a process inside is not user {user}'s: {line:?}")),
            }
        }
        if programs == 0 {
            self.differs(format!("no process inside is user {user}'s"));
        }
    }

    /// The specification that runsc has loaded is in its state.
    fn check_specification(&mut self, ordered: &OrderedSandbox<'_>) {
        let state = state_file(ordered.state, &ordered.paths.id);
        let loaded = state.and_then(|state| state.get("spec").cloned());
        let Some(mut loaded) = loaded else {
            return self.differs("runsc has no state of the sandbox".to_owned());
        };
        let mut expected = ordered.spec.clone();
        normalize(&mut loaded);
        normalize(&mut expected);
        let mut paths = Vec::new();
        compare("", &expected, &loaded, &mut paths);
        for path in paths {
            self.differs(format!("the specification that runsc has loaded differs in {path}"));
        }
    }
}

/// runsc's state of a sandbox. None when there is none, or it cannot be read.
fn state_file(dir: &Path, id: &str) -> Option<Value> {
    let mut entries = std::fs::read_dir(dir).ok()?.flatten();
    let entry = entries.find(|entry| {
        let name = entry.file_name().into_string().unwrap_or_default();
        name.starts_with(id) && Path::new(&name).extension().is_some_and(|end| end == "state")
    })?;
    serde_json::from_slice(&std::fs::read(entry.path()).ok()?).ok()
}

/// Removes what runsc leaves out or fills in: what is empty or false, and the source of a mount that
/// has none.
fn normalize(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("destination").is_some() && fields.get("type") != Some(&"bind".into()) {
                fields.remove("source");
            }
            fields.values_mut().for_each(normalize);
            fields.retain(|_, field| !is_empty(field));
        }
        Value::Array(items) => {
            items.iter_mut().for_each(normalize);
            // Sets, such as those of capabilities; the order of arguments is compared all the same,
            // since there is one.
            if items.iter().all(Value::is_string) {
                items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// Appends the paths of the fields in which two values differ.
fn compare(path: &str, expected: &Value, found: &Value, differing: &mut Vec<String>) {
    let (Value::Object(a), Value::Object(b)) = (expected, found) else {
        if expected != found {
            differing.push(path.trim_start_matches('.').to_owned());
        }
        return;
    };
    for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
        let field = |fields: &serde_json::Map<String, Value>| {
            fields.get(key).cloned().unwrap_or(Value::Null)
        };
        compare(&format!("{path}.{key}"), &field(a), &field(b), differing);
    }
}

/// The files of the cgroup that have not the ordered limits: name, found, expected.
fn wrong_limits(sandbox: &OrderedSandbox<'_>) -> Vec<(&'static str, String, String)> {
    let (cgroup, ordered) = (&sandbox.paths.cgroup, &sandbox.cgroup);
    let highest = sandbox.highest_memory_bytes;
    let quota = ordered.cpus * 100_000;
    let read = |controller: Controller, file: &str| {
        std::fs::read_to_string(cgroup.dir(controller).join(file))
            .map(|text| text.trim().to_owned())
    };
    let is_version_2 = read(Controller::Memory, "memory.max").is_ok();
    let exact = if is_version_2 {
        vec![
            (Controller::Pids, "pids.max", ordered.pids.to_string()),
            (Controller::Cpu, "cpu.max", format!("{quota} 100000")),
        ]
    } else {
        vec![
            (Controller::Pids, "pids.max", ordered.pids.to_string()),
            (Controller::Cpu, "cpu.cfs_period_us", "100000".to_owned()),
            (Controller::Cpu, "cpu.cfs_quota_us", quota.to_string()),
        ]
    };
    let mut wrong = Vec::new();
    for (controller, file, expected) in exact {
        let found = read(controller, file).unwrap_or_else(|error| error.to_string());
        if found != expected {
            wrong.push((file, found, expected));
        }
    }
    // With swap where the kernel counts that.
    let (memory, swap) = if is_version_2 {
        ("memory.max", ("memory.swap.max", 0..=0))
    } else {
        let range = ordered.memory_bytes - PAGE_BYTES..=highest;
        ("memory.limit_in_bytes", ("memory.memsw.limit_in_bytes", range))
    };
    let range = ordered.memory_bytes - PAGE_BYTES..=highest;
    for (file, range, is_optional) in [(memory, range, false), (swap.0, swap.1, true)] {
        match read(Controller::Memory, file) {
            Ok(found) if found.parse().is_ok_and(|bytes| range.contains(&bytes)) => {}
            Err(error) if is_optional && error.kind() == std::io::ErrorKind::NotFound => {}
            found => {
                let found = found.unwrap_or_else(|error| error.to_string());
                wrong.push((file, found, format!("in {range:?}")));
            }
        }
    }
    wrong
}

#[cfg(test)]
mod tests;
