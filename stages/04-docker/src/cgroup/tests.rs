//! Both versions, on the text of kernel tables and on temporary directories.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

const V1_MOUNTS: &str = "\
30 25 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 25 0:32 /outer /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
36 25 0:36 / /sys/fs/cgroup/pids rw,relatime shared:9 - cgroup cgroup rw,pids
37 25 0:37 / /sys/fs/cgroup/devices rw,relatime shared:9 - cgroup cgroup rw,devices
38 25 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw";
const V2_MOUNTS: &str = "30 25 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
const LIMITS: CgroupLimits = CgroupLimits { cpus: 1, memory_bytes: 64 << 20, pids: 134 };

fn mount(dir: &Path) -> CgroupMount {
    CgroupMount { root: "/".to_owned(), dir: dir.to_owned() }
}

fn v1(dir: &Path) -> CgroupHierarchy {
    let [cpu, cpuacct, memory, pids] =
        Controller::ALL.map(|controller| mount(&dir.join(controller.as_str())));
    CgroupHierarchy::V1 { cpu, cpuacct, memory, pids, others: vec![mount(&dir.join("devices"))] }
}

fn v2(dir: &Path) -> CgroupHierarchy {
    CgroupHierarchy::V2(mount(dir))
}

fn temporary_dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn both_versions_are_detected() {
    let hierarchy = CgroupHierarchy::from_mountinfo(V1_MOUNTS).unwrap();
    assert_eq!(hierarchy.version(), 1);
    let both = mount(Path::new("/sys/fs/cgroup/cpu,cpuacct"));
    assert_eq!(hierarchy.mount(Controller::Cpu), &both);
    assert_eq!(hierarchy.mount(Controller::CpuAcct), &both);
    assert_eq!(hierarchy.mount(Controller::Memory).root, "/outer");
    let dirs = ["cpu,cpuacct", "devices", "memory", "pids"];
    assert_eq!(hierarchy.dirs(), dirs.map(|name| Path::new("/sys/fs/cgroup").join(name)));

    let v2 = CgroupHierarchy::from_mountinfo(V2_MOUNTS).unwrap();
    assert_eq!(v2, CgroupHierarchy::V2(mount(Path::new("/sys/fs/cgroup"))));
    let error = CgroupHierarchy::from_mountinfo("").unwrap_err();
    assert!(matches!(error, CgroupError::NotMounted), "{error}");
    let error = CgroupHierarchy::from_mountinfo(&V1_MOUNTS.replace("rw,pids", "rw,blkio"));
    let error = error.unwrap_err();
    let pids = Controller::Pids;
    assert!(
        matches!(error, CgroupError::ControllerNotMounted { controller } if controller == pids)
    );
}

#[test]
fn the_layout_is_detected_from_one_container() {
    let v1 = CgroupHierarchy::from_mountinfo(V1_MOUNTS).unwrap();
    let table = "8:pids:/docker/abc\n4:memory:/outer/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/";
    let layout = CgroupLayout::from_table(v1, table, "abc").unwrap();
    let dir = layout.cgroup("xyz").dir(Controller::Memory);
    assert_eq!(dir, Path::new("/sys/fs/cgroup/memory/docker/xyz"));

    let v2 = CgroupHierarchy::from_mountinfo(V2_MOUNTS).unwrap();
    let layout = CgroupLayout::from_table(v2, "0::/system.slice/docker-abc.scope", "abc").unwrap();
    let dir = layout.cgroup("xyz").dir(Controller::Pids);
    assert_eq!(dir, Path::new("/sys/fs/cgroup/system.slice/docker-xyz.scope"));
}

#[test]
fn a_layout_that_is_the_same_for_all_containers_is_refused() {
    let without_id = "8:pids:/docker\n4:memory:/outer/docker\n2:cpu,cpuacct:/docker\n0::/";
    let elsewhere = "8:pids:/x/abc\n4:memory:/outer/docker/abc\n2:cpu,cpuacct:/docker/abc\n0::/";
    for table in [without_id, elsewhere, "0::/docker/abc", ""] {
        let v1 = CgroupHierarchy::from_mountinfo(V1_MOUNTS).unwrap();
        let error = CgroupLayout::from_table(v1, table, "abc").unwrap_err();
        assert!(matches!(error, CgroupError::ContainerNotFound { .. }), "{table}: {error}");
    }
}

/// Creates empty files where the kernel would have them.
fn touch(dir: &Path, files: &[&str]) {
    fs::create_dir_all(dir).unwrap();
    for file in files {
        fs::write(dir.join(file), "").unwrap();
    }
}

#[test]
fn the_limits_are_written_where_the_kernel_reads_them() {
    let dir = temporary_dir();
    let cgroup = v2(dir.path()).cgroup("platform/INSTANCE/ID");
    let parents = ["", "platform", "platform/INSTANCE"];
    for parent in parents {
        touch(&dir.path().join(parent), &["cgroup.subtree_control"]);
    }
    let own = cgroup.dir(Controller::Memory);
    touch(&own, &["memory.max", "memory.swap.max", "cpu.max", "pids.max"]);
    fs::write(own.join("memory.current"), "0\n").unwrap();
    cgroup.create().unwrap();
    cgroup.set_limits(&LIMITS).unwrap();
    assert_eq!(cgroup.path(), "/platform/INSTANCE/ID");
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    for parent in parents {
        let enabled = read(dir.path().join(parent).join("cgroup.subtree_control"));
        assert_eq!(enabled, "+cpu +memory +pids");
    }
    for (file, value) in [
        ("memory.max", "67108864"),
        ("memory.swap.max", "0"),
        ("cpu.max", "100000 100000"),
        ("pids.max", "134"),
    ] {
        assert_eq!(read(own.join(file)), value, "{file}");
    }

    let dir = temporary_dir();
    let cgroup = v1(dir.path()).cgroup("platform/INSTANCE/ID");
    cgroup.create().unwrap();
    let files = [
        (Controller::Memory, "memory.limit_in_bytes", "67108864"),
        (Controller::Memory, "memory.memsw.limit_in_bytes", "67108864"),
        (Controller::Cpu, "cpu.cfs_period_us", "100000"),
        (Controller::Cpu, "cpu.cfs_quota_us", "100000"),
        (Controller::Pids, "pids.max", "134"),
    ];
    for (controller, file, _) in files {
        touch(&cgroup.dir(controller), &[file]);
    }
    cgroup.set_limits(&LIMITS).unwrap();
    for (controller, file, value) in files {
        assert_eq!(read(cgroup.dir(controller).join(file)), value, "{file}");
    }
}

#[test]
fn a_limit_that_is_not_in_force_is_found() {
    let dir = temporary_dir();
    let (v1, v2) =
        (v1(&dir.path().join("v1")).cgroup("ID"), v2(&dir.path().join("v2")).cgroup("ID"));
    let files = [
        (&v1, Controller::Memory, "memory.limit_in_bytes", "67108864"),
        (&v1, Controller::Memory, "memory.memsw.limit_in_bytes", "67108864"),
        (&v1, Controller::Cpu, "cpu.cfs_period_us", "100000"),
        (&v1, Controller::Cpu, "cpu.cfs_quota_us", "100000"),
        (&v1, Controller::Pids, "pids.max", "134"),
        (&v2, Controller::Memory, "memory.max", "67108864"),
        (&v2, Controller::Memory, "memory.swap.max", "0"),
        (&v2, Controller::Cpu, "cpu.max", "100000 100000"),
        (&v2, Controller::Pids, "pids.max", "134"),
    ];
    for (cgroup, controller, file, value) in files {
        fs::create_dir_all(cgroup.dir(controller)).unwrap();
        fs::write(cgroup.dir(controller).join(file), format!("{value}\n")).unwrap();
    }
    // The limit on memory is not a whole number of pages.
    let limits = CgroupLimits { memory_bytes: LIMITS.memory_bytes + 1, ..LIMITS };
    for (cgroup, controller, file, value) in files {
        cgroup.check_limits(&limits).unwrap();
        let path = cgroup.dir(controller).join(file);
        fs::write(&path, "max").unwrap();
        let error = cgroup.check_limits(&limits).unwrap_err();
        assert!(matches!(&error, CgroupError::Limit { .. }), "{file}: {error}");
        fs::remove_file(&path).unwrap();
        let is_swap = file.contains("sw");
        assert_eq!(cgroup.check_limits(&limits).is_ok(), is_swap, "{file}");
        fs::write(&path, value).unwrap();
    }
}

#[test]
fn only_the_files_for_swap_may_be_missing() {
    let dir = temporary_dir();
    for hierarchy in [v1(&dir.path().join("v1")), v2(&dir.path().join("v2"))] {
        let cgroup = hierarchy.cgroup("ID");
        let memory = cgroup.dir(Controller::Memory);
        touch(&memory, &[]);
        let error = cgroup.set_memory_limit(1).unwrap_err();
        let refused = matches!(error, CgroupError::Write { .. } | CgroupError::Read { .. });
        assert!(refused, "{error}");
        touch(&memory, &["memory.limit_in_bytes", "memory.max"]);
        fs::write(memory.join("memory.current"), "1\n").unwrap();
        cgroup.set_memory_limit(1).unwrap();
    }
}

/// On a real cgroup this is what version 2 would answer by killing the process.
#[test]
fn a_memory_limit_below_what_is_in_use_is_refused_and_not_written() {
    let dir = temporary_dir();
    let cgroup = v2(dir.path()).cgroup("ID");
    let memory = cgroup.dir(Controller::Memory);
    touch(&memory, &["memory.max", "memory.swap.max"]);
    fs::write(memory.join("memory.current"), "4097\n").unwrap();
    let error = cgroup.set_memory_limit(4096).unwrap_err();
    assert!(matches!(error, CgroupError::MemoryInUse { in_use: 4097, bytes: 4096 }), "{error}");
    assert_eq!(fs::read_to_string(memory.join("memory.max")).unwrap(), "");
    cgroup.set_memory_limit(4097).unwrap();
    assert_eq!(fs::read_to_string(memory.join("memory.max")).unwrap(), "4097");
}

#[test]
fn cgroups_are_listed_and_removed_in_every_hierarchy() {
    let dir = temporary_dir();
    let hierarchy = v1(dir.path());
    let parent = hierarchy.cgroup("platform");
    hierarchy.cgroup("platform/a").create().unwrap();
    // One that a runtime has created by itself.
    fs::create_dir_all(dir.path().join("devices/platform/b")).unwrap();
    assert_eq!(parent.children(), ["a", "b"]);
    parent.remove().unwrap_err();
    for name in parent.children() {
        hierarchy.cgroup(&format!("platform/{name}")).remove().unwrap();
    }
    parent.remove().unwrap();
    parent.remove().unwrap();
    assert!(!dir.path().join("devices/platform").exists());
    assert!(!dir.path().join("memory/platform").exists());
}

/// Files of both versions, in one directory.
fn counter_files(dir: &Path) {
    for (file, text) in [
        ("pids.current", "3\n"),
        ("pids.events", "max 2\n"),
        ("cpuacct.usage", "1500000000\n"),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
        ("cpu.stat", "usage_usec 2500000\nuser_usec 1\n"),
        ("memory.events", "low 0\noom 7\noom_kill 4\n"),
        ("memory.peak", "4096\n"),
        (
            "memory.stat",
            "anon 5\nshmem 6\nrss 1\ninactive_file 2\nactive_file 3\ntotal_rss 7\ntotal_shmem 8\n\
         total_inactive_file 4\ntotal_active_file 5\n",
        ),
    ] {
        fs::write(dir.join(file), text).unwrap();
    }
}

#[test]
fn the_counters_of_both_versions_are_read() {
    let dir = temporary_dir();
    counter_files(dir.path());
    let all = || mount(dir.path());
    let (cpu, cpuacct, memory, pids) = (all(), all(), all(), all());
    let v1 = CgroupHierarchy::V1 { cpu, cpuacct, memory, pids, others: Vec::new() };
    let common = CgroupStats { pids: Some(3), pids_refused: Some(2), ..CgroupStats::default() };
    let cpu = |millis| Some(Duration::from_millis(millis));
    let v1_only = CgroupStats { oom_kills: Some(1), memory_files: Some(9), ..common };
    let expected = CgroupStats { cpu: cpu(1500), memory_used: Some(15), ..v1_only };
    let read = |cgroup: Cgroup| cgroup.counters().and_then(|counters| counters.read());
    assert_eq!(read(v1.cgroup("")).unwrap(), expected);
    let (memory_peak, memory_used) = (Some(4096), Some(11));
    let v2_only = CgroupStats { oom_kills: Some(4), memory_files: Some(5), ..common };
    let expected = CgroupStats { cpu: cpu(2500), memory_peak, memory_used, ..v2_only };
    assert_eq!(read(v2(dir.path()).cgroup("")).unwrap(), expected);
    assert!(read(v2(dir.path()).cgroup("missing")).unwrap_err().is_not_found());
}

#[test]
fn a_counter_that_cannot_be_read_is_an_error_and_never_zero() {
    for (file, text) in [
        ("cpu.stat", "user_usec 1\n"),
        ("pids.current", ""),
        ("pids.events", "x"),
        ("memory.stat", "anon 5\n"),
    ] {
        let dir = temporary_dir();
        counter_files(dir.path());
        let counters = v2(dir.path()).cgroup("").counters().unwrap();
        fs::write(dir.path().join(file), text).unwrap();
        let error = counters.read().unwrap_err();
        assert!(
            matches!(&error, CgroupError::Read { path, .. } if path.ends_with(file)),
            "{error}"
        );
    }
    let dir = temporary_dir();
    counter_files(dir.path());
    fs::remove_file(dir.path().join("memory.events")).unwrap();
    assert!(v2(dir.path()).cgroup("").counters().unwrap_err().is_not_found());
}

#[test]
fn only_processes_of_the_cgroup_are_killed() {
    let dir = temporary_dir();
    let cgroup = v2(dir.path()).cgroup("");
    let mut children = [(); 2].map(|()| Command::new("sleep").arg("60").spawn().unwrap());
    assert_eq!(cgroup.kill(), KillOutcome::Empty, "the cgroup does not exist");
    let inside = children[0].id();
    fs::write(dir.path().join("cgroup.procs"), format!("{inside}\n")).unwrap();
    assert_eq!(cgroup.kill(), KillOutcome::Killed);
    assert!(!children[0].wait().unwrap().success());
    assert!(children[1].try_wait().unwrap().is_none(), "a process of another cgroup was killed");
    let outside = Pid::from_raw(i32::try_from(children[1].id()).unwrap()).unwrap();
    assert!(!cgroup.kill_process(outside));
    children[1].kill().unwrap();
    children[1].wait().unwrap();
    assert_eq!(cgroup.kill(), KillOutcome::Incomplete, "the process has ended");
    fs::write(dir.path().join("cgroup.kill"), "").unwrap();
    assert_eq!(cgroup.kill(), KillOutcome::Killed);
    assert_eq!(fs::read_to_string(dir.path().join("cgroup.kill")).unwrap(), "1");
}
