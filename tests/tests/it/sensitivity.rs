//! The walls are taken down one by one, and the matrix has to turn red.
//!
//! A matrix that stays green with the walls down proves nothing. Each test leaves one wall out of the
//! containers that a real stage orders from real Docker (`ladder::attack::fault_injection`), and names the probes
//! that have to get through then: probes that this stage is expected to contain, and that the matrix
//! shows as contained. A wall whose absence no probe notices would be one that nobody knows to stand.

use indicatif::ProgressBar;
use ladder::attack::expectations::Expectations;
use ladder::attack::fault_injection::{Control, DockerProxy};
use ladder::attack::probe::{self, Probe};
use ladder::attack::run_probes::{self, AttackTarget};
use ladder::attack::testbed::Testbed;
use ladder::attack::verdict::Verdict;
use ladder::support::server::Launch;
use ladder::support::stages;

/// Fires these probes at `stage` without `wall`; every one of them has to escape.
async fn all_escape(stage: u16, wall: Control, ids: &[&str]) {
    let expectations = Expectations::load().unwrap();
    let mut probes = probe::all().unwrap();
    probes.retain(|probe| ids.contains(&probe.header.id.as_str()));
    assert_eq!(probes.len(), ids.len(), "a probe of these is not there: {ids:?}");
    let contains = |probe: &Probe| expectations.contains(&probe.header, stage);
    assert!(probes.iter().all(contains), "stage {stage} does not promise all of {ids:?}");
    let aim = AttackTarget::Without { stage: stages::find(stage).unwrap(), wall };
    let verdicts = run_probes::run(&aim, &probes, &ProgressBar::hidden()).await.unwrap();
    let stopped: Vec<_> =
        verdicts.iter().filter(|(_, verdict)| **verdict != Verdict::Escaped).collect();
    assert!(stopped.is_empty(), "stage {stage} without {wall:?}: {stopped:?}");
}

/// Starts `stage` with `wall` down from the beginning; it has to refuse, and to say why.
async fn does_not_start(stage: u16, wall: Control, because: &str) {
    let proxy = DockerProxy::start_without(wall).unwrap();
    let launch = Launch::new(&stages::find(stage).unwrap());
    let error = proxy.between(launch).start().await.unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains(because), "stage {stage} without {wall:?} said {error}");
    assert!(proxy.altered() > 0, "the wall was not taken down");
}

// ANCHOR: walls
#[tokio::test(flavor = "multi_thread")]
async fn alone_without_the_network_namespace() {
    let ids = ["network/tcp-out", "network/udp-out", "secrets/metadata-service"];
    all_escape(4, Control::Network, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_with_a_root_that_takes_writes() {
    all_escape(4, Control::ReadOnlyRoot, &["resources/root-disk"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_without_the_filter_of_system_calls() {
    let ids = ["kernel/io-uring", "kernel/keyrings", "kernel/ptrace", "kernel/vsock"];
    all_escape(4, Control::Seccomp, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_without_a_limit_of_processes() {
    all_escape(4, Control::Pids, &["resources/fork-bomb", "resources/threads"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_without_a_limit_of_memory() {
    all_escape(4, Control::Memory, &["resources/memory"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_with_all_processors() {
    all_escape(4, Control::Processors, &["resources/processors"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_without_a_bound_of_the_scratch_space() {
    all_escape(4, Control::Disk, &["resources/disk"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_with_nothing_masked() {
    all_escape(4, Control::Masks, &["secrets/boot-id", "secrets/total-memory"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_with_runc_in_the_place_of_runsc() {
    all_escape(5, Control::Runtime, &["secrets/kernel-version", "secrets/mount-table"]).await;
}
// ANCHOR_END: walls

// ANCHOR: refusal
#[tokio::test(flavor = "multi_thread")]
async fn alone_a_stage_that_sees_a_wall_missing_does_not_start() {
    does_not_start(4, Control::Seccomp, "no seccomp filter").await;
    does_not_start(5, Control::Runtime, "runc").await;
}
// ANCHOR_END: refusal

#[tokio::test(flavor = "multi_thread")]
async fn alone_a_wall_that_was_not_taken_down_is_no_result() {
    // Nothing is ordered after the start, so that no order can be altered.
    let testbed = Testbed::without(&stages::find(4).unwrap(), Control::Network).await.unwrap();
    let error = testbed.close().await.unwrap_err().to_string();
    assert!(error.contains("no wall was taken down"), "{error}");
}
