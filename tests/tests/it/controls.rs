//! What proves of a probe that it could escape, where no stage lets it: the entries of
//! `tests/probes/controls.toml`.
//!
//! For attacks on the platform that is the vulnerable server (`tests/controls/vulnerable_server.py`), a server with the
//! faults that they look for. For attacks on a grader in the same process it is one that believes an
//! exit code. A probe that escapes nowhere, not even here, would look contained on anything.

use std::collections::BTreeSet;
use std::path::Path;

use futures_util::StreamExt as _;
use ladder::attack::expectations::Expectations;
use ladder::attack::observe;
use ladder::attack::probe::program::{canary, split_pair};
use ladder::attack::probe::{self, Body, Probe};
use ladder::attack::testbed::Testbed;
use ladder::attack::verdict::{By, Verdict};
use ladder::support::client::Program;
use ladder::support::server::Launch;
use ladder::support::stages;

/// The vulnerable server stands in the place of the first stage that has all that is attacked: streams too.
const STAGE: u16 = 3;
/// How many vulnerable servers there are at one moment. Most of their time is waiting.
const MAX_CONCURRENT: usize = 4;

/// Probes, and faults of the vulnerable server that each of them has to find. A probe that judges by two
/// things has two lines.
const PUSHED_OVER: [(&str, &str); 29] = [
    ("platform/boundless-limits", "takes-anything"),
    ("platform/cancel-race", "forgets-cancels"),
    ("platform/cancel-twice", "contradicts"),
    ("platform/cancel-twice", "forgets-cancels"),
    ("platform/choose-the-walls", "takes-anything"),
    ("platform/deep-json", "falls-over"),
    ("platform/deep-json", "takes-anything"),
    ("platform/file-names", "takes-anything"),
    ("platform/file-names", "writes-first"),
    ("platform/forged-answer", "believes-output"),
    ("platform/forged-event", "raw-events"),
    ("platform/forged-log", "logs-raw"),
    ("platform/forged-memory-limit", "trusts-codes"),
    ("platform/half-closed", "one-at-a-time,waits-for-the-rest"),
    ("platform/header-injection", "splits-headers"),
    ("platform/idle-streams", "one-at-a-time"),
    ("platform/metric-labels", "labels-in-metrics"),
    ("platform/path-traversal", "serves-files"),
    ("platform/path-traversal", "knows-everybody"),
    ("platform/reader-gone", "one-at-a-time"),
    ("platform/request-smuggling", "answers-the-hidden"),
    ("platform/silent-connections", "one-at-a-time"),
    ("platform/telling-errors", "tells"),
    ("platform/terminal-escapes", "logs-raw"),
    ("platform/terminal-escapes", "raw-answers"),
    ("platform/unknown-ids", "knows-everybody"),
    ("platform/unread-stream", "one-at-a-time"),
    ("platform/unread-stream", "waits-for-readers"),
    (DEAF, "asks-politely"),
];
/// Survives all but SIGKILL.
const DEAF: &str = "processes/deaf-to-signals";
/// Solutions that end their process with 0, whatever the tests below them would say.
const WELL_ENDED: [&str; 3] =
    ["evaluator/exit-at-the-end", "evaluator/exit-early", "evaluator/swallow-the-assertion"];

fn named(probes: &[Probe], id: &str) -> Probe {
    let found = probes.iter().find(|probe| probe.header.id == id);
    found.unwrap_or_else(|| panic!("there is no probe {id}")).clone()
}

/// A testbed around a vulnerable server with these faults, and the directory that it works in.
async fn pushover(faults: &str) -> (Testbed, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("controls/vulnerable_server.py");
    let words = ["python3".into(), "-B".into(), script.into(), faults.into()];
    let launch = Launch::new(&stages::find(STAGE).unwrap()).with_wrapper(words.into());
    let server = launch.env("TMPDIR", dir.path()).start().await.unwrap();
    (Testbed::around(STAGE, server).unwrap(), dir)
}

/// What becomes of `probe` on a vulnerable server with these faults.
async fn pushed(probe: &Probe, faults: &str) -> Verdict {
    let (testbed, _dir) = pushover(faults).await;
    let verdict = observe::run(probe, &testbed).await;
    // One that has fallen over does not end in order, which is its fault.
    testbed.close().await.ok();
    verdict.unwrap_or_else(|error| Verdict::Error(format!("{error:#}")))
}

/// The same for each of these, at several vulnerable servers at once.
async fn all_pushed<'a>(
    lines: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<(&'a str, &'a str, Verdict)> {
    let probes = probe::all().unwrap();
    let fired = lines.into_iter().map(|(id, faults)| {
        let probe = named(&probes, id);
        async move { (id, faults, pushed(&probe, faults).await) }
    });
    futures_util::stream::iter(fired).buffer_unordered(MAX_CONCURRENT).collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pushover_gives_way_to_each_probe() {
    let mut fired = all_pushed(PUSHED_OVER).await;
    fired.retain(|(.., verdict)| *verdict != Verdict::Escaped);
    assert!(fired.is_empty(), "the vulnerable server withstood: {fired:#?}");
}

/// That they escape is the work of the faults, then, and not of a server that does nothing well.
#[tokio::test(flavor = "multi_thread")]
async fn alone_the_pushover_without_its_faults_withstands() {
    let ids: BTreeSet<_> = PUSHED_OVER.iter().map(|(id, _)| (*id, "")).collect();
    let mut fired = all_pushed(ids).await;
    fired.retain(|(.., verdict)| !matches!(verdict, Verdict::Contained(_)));
    assert!(fired.is_empty(), "the vulnerable server gave way without a error: {fired:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hears_signals_is_gone_where_the_deaf_stays() {
    let deaf = named(&probe::all().unwrap(), DEAF);
    let code = "import time\n_LIBC.prctl(15, NAME.encode(), 0, 0, 0)\ntime.sleep(60)\n";
    let hearing = Probe { header: deaf.header, body: Body::Program(code.to_owned()) };
    let verdict = pushed(&hearing, "asks-politely").await;
    assert_eq!(verdict, Verdict::Contained(By::TimeLimit), "SIGTERM was not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grader_that_believes_the_exit_code_is_deceived() {
    let probes = probe::all().unwrap();
    let testbed = Testbed::open(&stages::find(2).unwrap()).await.unwrap();
    let honest = "def double(number):\n    return number\nassert double(21) == 42\n";
    let answer = testbed.client.evaluate(&Program::new(honest)).await.unwrap();
    assert_eq!(answer.exit_code(), Some(1), "it has to see a failure that nobody hides");
    for id in WELL_ENDED {
        let probe = named(&probes, id);
        let Body::Program(code) = &probe.body else { panic!("{id} is no program") };
        let (solution, tests) = split_pair(code).unwrap();
        let graded = Program::new(format!("{solution}\n{tests}\nprint(\"{}\")\n", canary()));
        let answer = testbed.client.evaluate(&graded).await.unwrap();
        assert_eq!(answer.exit_code(), Some(0), "{id}: {}", answer.summary());
        let verdict = observe::run(&probe, &testbed).await.unwrap();
        assert_eq!(verdict, Verdict::Contained(By::Nonce), "{id}");
    }
    testbed.close().await.unwrap();
}

#[test]
fn every_control_is_tested_here_and_says_where() {
    let controls = Expectations::load().unwrap().controls;
    let listed: BTreeSet<_> = controls.iter().map(|control| control.probe.as_str()).collect();
    assert_eq!(listed.len(), controls.len(), "a probe is listed twice");
    let pushed: BTreeSet<_> = PUSHED_OVER.iter().map(|(id, _)| *id).collect();
    let tested: BTreeSet<_> = pushed.iter().copied().chain(WELL_ENDED).collect();
    assert_eq!(listed, tested, "controls.toml (left) lists others than are tested here (right)");
    for control in controls {
        let test = if pushed.contains(control.probe.as_str()) {
            "the_pushover_gives_way_to_each_probe"
        } else {
            "a_grader_that_believes_the_exit_code_is_deceived"
        };
        assert!(control.reason.contains(test), "{} does not name {test}", control.probe);
    }
}
