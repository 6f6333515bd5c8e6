//! Sensitivity of the matrix for the engine that drives runsc: its walls are left out one by one.
//!
//! Each wall is held twice. Left out of the sandboxes of a stage that runs already, the probes that
//! are named here have to escape: they see the wall. Left out from the start, the stage has to refuse
//! to start, and to name what differs: it looks at the wall. Two walls are held by the refusal alone:
//! without a cgroup there is no counter that could show an escape, and more than one processor is
//! only used on a machine that has one to spare.

use indicatif::ProgressBar;
use ladder::attack::expectations::Expectations;
use ladder::attack::fault_injection::runsc::{RunscSaboteur, Wall};
use ladder::attack::probe;
use ladder::attack::run_probes::{self, AttackTarget};
use ladder::attack::testbed::Testbed;
use ladder::attack::verdict::Verdict;
use ladder::support::server::Launch;
use ladder::support::stages;

/// The first stage whose default engine drives runsc.
const STAGE: u16 = 6;

/// Runs these probes without `wall`; every one of them has to escape.
async fn all_escape(wall: Wall, ids: &[&str]) {
    let expectations = Expectations::load().unwrap();
    let mut probes = probe::all().unwrap();
    probes.retain(|probe| ids.contains(&probe.header.id.as_str()));
    assert_eq!(probes.len(), ids.len(), "one of these probes does not exist: {ids:?}");
    let contains = |probe: &probe::Probe| expectations.must_contain(&probe.header, STAGE);
    assert!(probes.iter().all(contains), "the stage is not expected to contain all of {ids:?}");
    let target = AttackTarget::WithoutWall { stage: stages::find(STAGE).unwrap(), wall };
    let verdicts = run_probes::run(&target, &probes, &ProgressBar::hidden()).await.unwrap();
    let stopped: Vec<_> =
        verdicts.iter().filter(|(_, verdict)| **verdict != Verdict::Escaped).collect();
    assert!(stopped.is_empty(), "without {wall:?}: {stopped:?}");
}

// ANCHOR: walls
#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_without_the_network_wall() {
    all_escape(Wall::Network, &["network/tcp-out", "network/udp-out"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_with_a_writable_root() {
    all_escape(Wall::ReadOnlyRoot, &["resources/root-disk"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_without_the_pids_limit() {
    all_escape(Wall::Pids, &["resources/fork-bomb"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_without_the_memory_limit() {
    all_escape(Wall::Memory, &["resources/memory"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_without_the_disk_limit() {
    all_escape(Wall::Disk, &["resources/disk"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_with_files_of_the_host() {
    all_escape(Wall::HostFiles, &["host-files/read-secret"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_with_what_names_the_host() {
    all_escape(Wall::HostName, &["secrets/hostname"]).await;
    all_escape(Wall::Resolver, &["secrets/resolver"]).await;
    all_escape(Wall::MachineId, &["secrets/machine-id"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_with_one_shared_memory_for_all() {
    all_escape(Wall::SharedMemory, &["traces/shared-memory-file"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_replaced_by_runc() {
    all_escape(Wall::Runtime, &["secrets/kernel-version", "secrets/boot-id"]).await;
}
// ANCHOR_END: walls

// ANCHOR: refusal
#[tokio::test(flavor = "multi_thread")]
async fn alone_a_wall_that_is_missing_from_the_start_is_named() {
    // For the wall that shows these directories to programs.
    let _shown = tempfile::Builder::new().prefix("crucible-ladder-").tempdir().unwrap();
    for (wall, because) in [
        (Wall::Network, "runsc's boot runs with --network=host"),
        (Wall::ReadOnlyRoot, "differs in root.readonly"),
        (Wall::Pids, "the cgroup's pids.max is max"),
        (Wall::Memory, "the cgroup's memory."),
        (Wall::Processors, "the cgroup's cpu."),
        (Wall::Disk, "differs in process.rlimits"),
        (Wall::Cgroup, "no process is gVisor's kernel"),
        (Wall::HostFiles, "differs in mounts"),
        (Wall::HostName, "differs in hostname"),
        (Wall::Resolver, "differs in mounts"),
        (Wall::MachineId, "differs in mounts"),
        (Wall::SharedMemory, "differs in mounts"),
        (Wall::Runtime, "no process is gVisor's kernel"),
    ] {
        let saboteur = RunscSaboteur::start_without(wall).unwrap();
        let launch = saboteur.drive(Launch::new(&stages::find(STAGE).unwrap()));
        let error = launch.start().await.map(drop).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(because), "without {wall:?} it reported {error}");
        assert!(saboteur.changed() > 0, "{wall:?} was not left out");
    }
}
// ANCHOR_END: refusal

#[tokio::test(flavor = "multi_thread")]
async fn alone_a_wall_that_was_not_left_out_is_no_result() {
    // No sandbox is started after the stage is.
    let testbed = Testbed::without_wall(&stages::find(STAGE).unwrap(), Wall::Network).await;
    let error = testbed.unwrap().close().await.unwrap_err().to_string();
    assert!(error.contains("no wall was left out"), "{error}");
}
