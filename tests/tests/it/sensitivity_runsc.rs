//! Sensitivity of the matrix for the engine that drives runsc: its controls are left out one by one.
//!
//! Each control is held twice. Left out of the sandboxes of a stage that runs already, the probes that
//! are named here have to escape: they see the control. Left out from the start, the stage has to refuse
//! to start, and to name what differs: it looks at the control. Two controls are held by the refusal alone:
//! without a cgroup there is no counter that could show an escape, and more than one processor is
//! only used on a machine that has one to spare.

use indicatif::ProgressBar;
use ladder::attack::expectations::Expectations;
use ladder::attack::fault_injection::runsc::{FaultyRunsc, RunscControl};
use ladder::attack::probe;
use ladder::attack::run_probes::{self, AttackTarget};
use ladder::attack::testbed::Testbed;
use ladder::attack::verdict::Verdict;
use ladder::support::server::Launch;
use ladder::support::stages;

/// The first stage whose default engine drives runsc.
const STAGE: u16 = 6;

/// Runs these probes without `control`; every one of them has to escape.
async fn all_escape(control: RunscControl, ids: &[&str]) {
    let expectations = Expectations::load().unwrap();
    let mut probes = probe::all().unwrap();
    probes.retain(|probe| ids.contains(&probe.header.id.as_str()));
    assert_eq!(probes.len(), ids.len(), "one of these probes does not exist: {ids:?}");
    let contains = |probe: &probe::Probe| expectations.must_contain(&probe.header, STAGE);
    assert!(probes.iter().all(contains), "the stage is not expected to contain all of {ids:?}");
    let target = AttackTarget::WithoutRunscControl { stage: stages::find(STAGE).unwrap(), control };
    let verdicts = run_probes::run(&target, &probes, &ProgressBar::hidden()).await.unwrap();
    let stopped: Vec<_> =
        verdicts.iter().filter(|(_, verdict)| **verdict != Verdict::Escaped).collect();
    assert!(stopped.is_empty(), "without {control:?}: {stopped:?}");
}

// ANCHOR: controls
#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_without_the_network_namespace() {
    all_escape(RunscControl::Network, &["network/tcp-out", "network/udp-out"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_with_a_writable_root() {
    all_escape(RunscControl::ReadOnlyRoot, &["resources/root-disk"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_without_the_pids_limit() {
    all_escape(RunscControl::Pids, &["resources/fork-bomb"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_without_the_memory_limit() {
    all_escape(RunscControl::Memory, &["resources/memory"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_without_the_disk_limit() {
    all_escape(RunscControl::Disk, &["resources/disk"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_with_files_of_the_host() {
    all_escape(RunscControl::HostFiles, &["host-files/read-secret"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_with_what_names_the_host() {
    all_escape(RunscControl::HostName, &["secrets/hostname"]).await;
    all_escape(RunscControl::Resolver, &["secrets/resolver"]).await;
    all_escape(RunscControl::MachineId, &["secrets/machine-id"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_with_one_shared_memory_for_all() {
    all_escape(RunscControl::SharedMemory, &["traces/shared-memory-file"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_runsc_replaced_by_runc() {
    all_escape(RunscControl::Runtime, &["secrets/kernel-version", "secrets/boot-id"]).await;
}
// ANCHOR_END: controls

// ANCHOR: refusal
#[tokio::test(flavor = "multi_thread")]
async fn alone_a_runsc_control_that_is_missing_from_the_start_is_named() {
    // For the control that shows these directories to programs.
    let _guard = tempfile::Builder::new().prefix("crucible-ladder-").tempdir().unwrap();
    for (control, because) in [
        (RunscControl::Network, "runsc's boot runs with --network=host"),
        (RunscControl::ReadOnlyRoot, "differs in root.readonly"),
        (RunscControl::Pids, "the cgroup's pids.max is max"),
        (RunscControl::Memory, "the cgroup's memory."),
        (RunscControl::Processors, "the cgroup's cpu."),
        (RunscControl::Disk, "differs in process.rlimits"),
        (RunscControl::Cgroup, "no process is gVisor's kernel"),
        (RunscControl::HostFiles, "differs in mounts"),
        (RunscControl::HostName, "differs in hostname"),
        (RunscControl::Resolver, "differs in mounts"),
        (RunscControl::MachineId, "differs in mounts"),
        (RunscControl::SharedMemory, "differs in mounts"),
        (RunscControl::Runtime, "no process is gVisor's kernel"),
    ] {
        let faulty_runsc = FaultyRunsc::start_without(control).unwrap();
        let launch = faulty_runsc.drive(Launch::new(&stages::find(STAGE).unwrap()));
        let error = launch.start().await.map(drop).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains(because), "without {control:?} it reported {error}");
        assert!(faulty_runsc.changed() > 0, "{control:?} was not left out");
    }
}
// ANCHOR_END: refusal

#[tokio::test(flavor = "multi_thread")]
async fn alone_a_runsc_control_that_was_not_left_out_is_no_result() {
    // No sandbox is started after the stage is.
    let testbed =
        Testbed::without_runsc(&stages::find(STAGE).unwrap(), RunscControl::Network).await;
    let error = testbed.unwrap().close().await.unwrap_err().to_string();
    assert!(error.contains("no control was left out"), "{error}");
}
