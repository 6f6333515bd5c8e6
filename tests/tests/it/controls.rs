//! Positive controls: probes that escape on no stage must be able to escape somewhere. These are
//! the entries of `tests/probes/controls.toml`.
//!
//! Attacks on the platform escape on the vulnerable server (`tests/controls/vulnerable_server.py`),
//! which has the vulnerabilities that they look for. Attacks on a grader in the same process escape
//! from one that trusts the exit code. A probe that cannot escape would look contained on
//! everything.

use std::collections::BTreeSet;
use std::path::Path;

use futures_util::StreamExt as _;
use ladder::attack::expectations::Expectations;
use ladder::attack::http_attacks::scopes::fills;
use ladder::attack::http_attacks::webhooks::{ALLOW_ENV, ALLOWED, FIRST_WITH_WEBHOOKS, names};
use ladder::attack::observe;
use ladder::attack::probe::program::{canary, split_pair};
use ladder::attack::probe::{self, Body, Group, Language, Probe};
use ladder::attack::testbed::Testbed;
use ladder::attack::testbed::tenants::{FIRST_WITH_KEYS, KEYS_ENV, Keys, Tenants};
use ladder::attack::verdict::{By, Verdict};
use ladder::support::client::Program;
use ladder::support::server::Launch;
use ladder::support::stages;

/// The vulnerable server takes the place of the first stage with every attacked feature, streams
/// included.
const STAGE: u16 = 3;
/// How many vulnerable servers run at the same time. They mostly wait.
const MAX_CONCURRENT: usize = 4;

/// Probes, and vulnerabilities with which each of them has to escape. A probe that observes two
/// effects has two lines.
const VULNERABLE_TO: [(&str, &str); 46] = [
    (ARTIFACT_NAMES, "follows-links"),
    (ARTIFACT_NAMES, "names-in-headers"),
    (ARTIFACT_NAMES, "one-file-for-all"),
    ("platform/boundless-limits", "no-validation"),
    ("platform/cancel-race", "ignores-cancel"),
    ("platform/cancel-twice", "second-cancel-fails"),
    ("platform/cancel-twice", "ignores-cancel"),
    ("platform/choose-the-walls", "no-validation"),
    ("platform/deep-json", "crashes-on-nesting"),
    ("platform/deep-json", "no-validation"),
    ("platform/file-names", "no-validation"),
    ("platform/file-names", "writes-before-checks"),
    ("platform/foreign-page", "foreign-pages"),
    ("platform/forged-answer", "trusts-output"),
    ("platform/forged-event", "unescaped-events"),
    ("platform/forged-log", "unescaped-log"),
    ("platform/forged-memory-limit", "trusts-exit-code"),
    ("platform/framed-page", "framed"),
    ("platform/half-closed", "serial,ignores-eof"),
    ("platform/header-injection", "header-injection"),
    ("platform/hostile-content", "markup-in-page"),
    ("platform/idle-streams", "serial"),
    ("platform/metric-labels", "labels-in-metrics"),
    ("platform/path-traversal", "path-traversal"),
    ("platform/path-traversal", "any-id-exists"),
    ("platform/reader-gone", "serial"),
    ("platform/rebound-page", "foreign-pages"),
    ("platform/request-smuggling", "request-smuggling"),
    ("platform/silent-connections", "serial"),
    ("platform/telling-errors", "backtrace-in-errors"),
    ("platform/terminal-escapes", "unescaped-log"),
    ("platform/terminal-escapes", "unescaped-json"),
    ("platform/unknown-ids", "any-id-exists"),
    ("platform/unknown-environment", "no-validation"),
    ("platform/unread-stream", "serial"),
    ("platform/unread-stream", "blocks-on-readers"),
    (WEBHOOKS[0], "webhooks-anywhere"),
    (WEBHOOKS[0], "webhooks-by-name"),
    (WEBHOOKS[1], "signs-nothing"),
    (WEBHOOKS[1], "one-secret"),
    (WEBHOOKS[1], "shows-secrets"),
    (REBINDING, "resolves-twice"),
    (WEBHOOKS[2], "follows-redirects"),
    (DEAF, "sigterm-only"),
    ("tenants/batch", "others-batches"),
    ("tenants/replayed-key", "shared-idempotency"),
];
/// The probe whose positive control is a stage without limits for its disk.
const FILL_DISK: &str = "tenants/fill-disk";
/// The probe that leaves files: only a stage with keys takes any.
const ARTIFACT_NAMES: &str = "platform/artifact-names";
/// The probes of what only stage 9 has. Its server has no keys, since a page of another site has none, either.
const OF_FRONTEND: [&str; 5] = [
    "platform/foreign-page",
    "platform/framed-page",
    "platform/hostile-content",
    "platform/rebound-page",
    "platform/unknown-environment",
];
/// The probes of webhooks. Those but the first need a server that allows receivers on this machine.
const WEBHOOKS: [&str; 3] =
    ["platform/webhook-address", "platform/webhook-forgery", "platform/webhook-redirect"];
/// The one whose server asks the name server of the probe.
const REBINDING: &str = "platform/webhook-rebinding";
/// The probe that survives all signals but SIGKILL.
const DEAF: &str = "processes/deaf-to-signals";
/// Solutions that exit with 0 before the tests below them can fail.
const EXITS_WITH_ZERO: [&str; 3] =
    ["evaluator/exit-at-the-end", "evaluator/exit-early", "evaluator/swallow-the-assertion"];

fn named(probes: &[Probe], id: &str) -> Probe {
    let found = probes.iter().find(|probe| probe.header.id == id);
    found.unwrap_or_else(|| panic!("there is no probe {id}")).clone()
}

/// A testbed with a vulnerable server in place of `stage`, and its temporary directory. For attacks of one client on
/// another it has clients with keys.
async fn vulnerable_server(
    id: &str,
    vulnerabilities: &str,
    stage: u16,
    has_keys: bool,
) -> (Testbed, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("controls/vulnerable_server.py");
    let mut words = vec!["python3".into(), "-B".into(), script.into(), vulnerabilities.into()];
    if id == REBINDING {
        words.splice(0..0, names::wrapper(&dir.path().join("resolv.conf")).unwrap());
    }
    let launch = Launch::new(&stages::find(STAGE).unwrap()).with_wrapper(words);
    let allows = id == REBINDING || WEBHOOKS[1..].contains(&id);
    let launch = if allows { launch.env(ALLOW_ENV, ALLOWED) } else { launch };
    let keys = Keys::parse("owner,stranger,reader,submitter").unwrap();
    let launch = if has_keys { launch.env(KEYS_ENV, keys.text()) } else { launch };
    let server = launch.env("TMPDIR", dir.path()).start().await.unwrap();
    let mut testbed = Testbed::around(stage, server).unwrap();
    if has_keys {
        testbed.set_keys(Some(keys));
    }
    (testbed, dir)
}

/// The verdict on `probe` on a vulnerable server with these vulnerabilities.
async fn verdict_on(probe: &Probe, vulnerabilities: &str) -> Verdict {
    let has_keys = probe.header.group() == Group::Tenants || probe.header.id == ARTIFACT_NAMES;
    let is_of_frontend = OF_FRONTEND.contains(&probe.header.id.as_str());
    let stage = if has_keys || is_of_frontend { FIRST_WITH_KEYS } else { STAGE };
    let id = probe.header.id.as_str();
    let has_webhooks = id == REBINDING || WEBHOOKS.contains(&id);
    let stage = if has_webhooks { FIRST_WITH_WEBHOOKS } else { stage };
    let (testbed, _dir) = vulnerable_server(id, vulnerabilities, stage, has_keys).await;
    let verdict = observe::run(probe, &testbed).await;
    // A server that has crashed does not stop in order, which is expected here.
    testbed.close().await.ok();
    verdict.unwrap_or_else(|error| Verdict::Error(format!("{error:#}")))
}

/// The same for each of these pairs, on several vulnerable servers at the same time.
async fn verdicts_on<'a>(
    lines: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<(&'a str, &'a str, Verdict)> {
    let probes = probe::all().unwrap();
    let verdicts = lines.into_iter().map(|(id, vulnerabilities)| {
        let probe = named(&probes, id);
        async move { (id, vulnerabilities, verdict_on(&probe, vulnerabilities).await) }
    });
    futures_util::stream::iter(verdicts).buffer_unordered(MAX_CONCURRENT).collect().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_probe_escapes_on_the_vulnerable_server() {
    let mut verdicts = verdicts_on(VULNERABLE_TO).await;
    verdicts.retain(|(.., verdict)| *verdict != Verdict::Escaped);
    assert!(verdicts.is_empty(), "contained by the vulnerable server: {verdicts:#?}");
}

/// So the probes escape because of the vulnerabilities, and not because the server does nothing
/// right.
#[tokio::test(flavor = "multi_thread")]
async fn alone_the_server_without_vulnerabilities_contains_each_probe() {
    let ids: BTreeSet<_> = VULNERABLE_TO.iter().map(|(id, _)| (*id, "")).collect();
    let mut verdicts = verdicts_on(ids).await;
    verdicts.retain(|(.., verdict)| !matches!(verdict, Verdict::Contained(_)));
    assert!(
        verdicts.is_empty(),
        "not contained by the server without vulnerabilities: {verdicts:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_limits_fills_the_disk() {
    let stage = stages::find(FIRST_WITH_KEYS).unwrap();
    let limits = ["--storage-bytes", "4000000000", "--event-bytes", "4000000000", "--workers", "8"];
    let tenants = Tenants::start(&stage, &limits).await.unwrap();
    assert_eq!(fills(&tenants).await.unwrap(), Verdict::Escaped);
    tenants.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_handles_sigterm_ends_where_the_deaf_one_stays() {
    let deaf = named(&probe::all().unwrap(), DEAF);
    let code = "import time\n_LIBC.prctl(15, NAME.encode(), 0, 0, 0)\ntime.sleep(60)\n";
    let hearing = Probe { body: Body::Program(code.to_owned()), ..deaf };
    let verdict = verdict_on(&hearing, "sigterm-only").await;
    assert_eq!(verdict, Verdict::Contained(By::TimeLimit), "SIGTERM was not sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grader_that_trusts_the_exit_code_is_deceived() {
    let probes = probe::all().unwrap();
    let testbed = Testbed::open(&stages::find(2).unwrap()).await.unwrap();
    let honest = "def double(number):\n    return number\nassert double(21) == 42\n";
    let answer = testbed.client.evaluate(&Program::new(honest)).await.unwrap();
    assert_eq!(answer.exit_code(), Some(1), "an honest failure must be detected");
    for id in EXITS_WITH_ZERO {
        let probe = named(&probes, id);
        let Body::Program(code) = &probe.body else { panic!("{id} is no program") };
        let (solution, tests) = split_pair(Language::Python, code).unwrap();
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
    let http_probe: BTreeSet<_> = controls.iter().map(|control| control.probe.as_str()).collect();
    assert_eq!(http_probe.len(), controls.len(), "a probe is listed twice");
    let verdict_on: BTreeSet<_> = VULNERABLE_TO.iter().map(|(id, _)| *id).collect();
    let others = EXITS_WITH_ZERO.into_iter().chain([FILL_DISK]);
    let tested: BTreeSet<_> = verdict_on.iter().copied().chain(others).collect();
    assert_eq!(http_probe, tested, "controls.toml (left) and the tests here (right) differ");
    for control in controls {
        let test = if verdict_on.contains(control.probe.as_str()) {
            "each_probe_escapes_on_the_vulnerable_server"
        } else if control.probe == FILL_DISK {
            "a_server_without_limits_fills_the_disk"
        } else {
            "a_grader_that_trusts_the_exit_code_is_deceived"
        };
        assert!(control.reason.contains(test), "{} does not name {test}", control.probe);
    }
}
