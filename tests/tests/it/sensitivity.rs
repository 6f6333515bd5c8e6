//! Sensitivity of the matrix: the controls are disabled one by one, and probes have to escape.
//!
//! A matrix that stays the same without a control proves nothing. Each test removes one control from
//! the containers that a real stage creates with real Docker (`ladder::attack::fault_injection`), and
//! names the probes that have to escape then: probes that this stage must contain, and that the matrix
//! shows as contained. A control whose absence no probe notices would be untested.

use indicatif::ProgressBar;
use ladder::attack::expectations::Expectations;
use ladder::attack::fault_injection::{Control, DockerProxy};
use ladder::attack::probe::{self, Probe};
use ladder::attack::run_probes::{self, AttackTarget};
use ladder::attack::testbed::Testbed;
use ladder::attack::verdict::Verdict;
use ladder::support::server::Launch;
use ladder::support::stages;

/// Runs these probes against `stage` without `control`; every one of them has to escape.
async fn all_escape(stage: u16, control: Control, ids: &[&str]) {
    let expectations = Expectations::load().unwrap();
    let mut probes = probe::all().unwrap();
    probes.retain(|probe| ids.contains(&probe.header.id.as_str()));
    assert_eq!(probes.len(), ids.len(), "one of these probes does not exist: {ids:?}");
    let contains = |probe: &Probe| expectations.must_contain(&probe.header, stage);
    assert!(probes.iter().all(contains), "stage {stage} is not expected to contain all of {ids:?}");
    let aim = AttackTarget::Without { stage: stages::find(stage).unwrap(), control };
    let verdicts = run_probes::run(&aim, &probes, &ProgressBar::hidden()).await.unwrap();
    let stopped: Vec<_> =
        verdicts.iter().filter(|(_, verdict)| **verdict != Verdict::Escaped).collect();
    assert!(stopped.is_empty(), "stage {stage} without {control:?}: {stopped:?}");
}

/// Starts `stage` with `control` disabled; it has to refuse, and to report why.
async fn does_not_start(stage: u16, control: Control, because: &str) {
    let proxy = DockerProxy::start_without(control).unwrap();
    let launch = Launch::new(&stages::find(stage).unwrap());
    let error = proxy.between(launch).start().await.unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains(because), "stage {stage} without {control:?} reported {error}");
    assert!(proxy.changed() > 0, "the control was not disabled");
}

// ANCHOR: controls
#[tokio::test(flavor = "multi_thread")]
async fn alone_without_the_network_namespace() {
    let ids = ["network/tcp-out", "network/udp-out", "secrets/metadata-service"];
    all_escape(4, Control::Network, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_with_a_writable_root() {
    all_escape(4, Control::ReadOnlyRoot, &["resources/root-disk"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_without_the_seccomp_filter() {
    let ids = ["kernel/io-uring", "kernel/keyrings", "kernel/ptrace", "kernel/vsock"];
    all_escape(4, Control::Seccomp, &ids).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_without_the_pids_limit() {
    all_escape(4, Control::Pids, &["resources/fork-bomb", "resources/threads"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_without_the_memory_limit() {
    all_escape(4, Control::Memory, &["resources/memory"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_with_all_processors() {
    all_escape(4, Control::Processors, &["resources/processors"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_without_the_disk_limit() {
    all_escape(4, Control::Disk, &["resources/disk"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_without_masked_paths() {
    all_escape(4, Control::Masks, &["secrets/boot-id", "secrets/total-memory"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_with_runc_instead_of_runsc() {
    all_escape(5, Control::Runtime, &["secrets/kernel-version", "secrets/mount-table"]).await;
}
// ANCHOR_END: controls

// ANCHOR: refusal
#[tokio::test(flavor = "multi_thread")]
async fn alone_a_stage_with_a_missing_control_does_not_start() {
    does_not_start(4, Control::Seccomp, "no seccomp filter").await;
    does_not_start(5, Control::Runtime, "runc").await;
}
// ANCHOR_END: refusal

#[tokio::test(flavor = "multi_thread")]
async fn alone_a_control_that_was_not_disabled_is_no_result() {
    // No container is created after the start, so that no request can be changed.
    let testbed = Testbed::without(&stages::find(4).unwrap(), Control::Network).await.unwrap();
    let error = testbed.close().await.unwrap_err().to_string();
    assert!(error.contains("no control was disabled"), "{error}");
}
