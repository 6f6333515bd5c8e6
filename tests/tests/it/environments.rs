//! The probes in the environments of the first stage that has any: those that are written in their language.
//!
//! Nothing may escape in an environment that does not escape in `python`. The verdicts are a snapshot, as the
//! matrix is. A probe that cannot escape proves nothing, so each of them has to escape in its language from a server
//! without isolation, in a jail, or its name is in [`NEEDS_MORE`].
//!
//! The set is stated here and runs in some minutes. `ladder attack --stage 9 --environment NAME` runs all probes that
//! there are in a language; `python` and `science` have all of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use futures_util::StreamExt as _;
use indicatif::ProgressBar;
use ladder::attack::observe;
use ladder::attack::probe::{self, Language, Probe};
use ladder::attack::run_probes::{self, AttackTarget, Verdicts};
use ladder::attack::testbed::Testbed;
use ladder::attack::verdict::Verdict;
use ladder::support::stages;
use tokio::process::Command;

/// The first stage with environments.
const STAGE: u16 = 9;
/// The environments, and their languages. The first is what the others are compared with.
const ENVIRONMENTS: [(&str, Language); 4] = [
    ("python", Language::Python),
    ("science", Language::Python),
    ("shell", Language::Shell),
    ("javascript", Language::JavaScript),
];
/// How many jails exist at the same time.
const MAX_JAILS: usize = 3;
/// Probes that need more than a process on the host to escape, by language and why.
const NEEDS_MORE: [(&str, &str); 0] = [];

/// The probes that run in `language`: those that are written in another language than Python as well.
fn probes(language: Language) -> Vec<Probe> {
    let mut probes = probe::all().unwrap();
    probes.retain(|probe| !probe.others.is_empty() && probe.program(language).is_some());
    probes
}

pub(super) async fn build(name: &str) {
    let stage = stages::find(STAGE).unwrap();
    let mut command = Command::new(stage.binary().unwrap());
    let output = command.args(["env", "build", "--if-missing", name]).output().await.unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A table with a line for each probe and a column for each environment.
fn table(verdicts: &BTreeMap<&str, Verdicts>) -> String {
    let cell = |environment: &str, id: &str| match verdicts[environment].get(id) {
        // How a resource is bounded depends on how fast the machine is.
        Some(verdict) if id.starts_with("resources/") => verdict.word().to_owned(),
        Some(verdict) => match verdict.detail() {
            Some(detail) => format!("{} ({detail})", verdict.word()),
            None => verdict.word().to_owned(),
        },
        None => "-".to_owned(),
    };
    let mut text = String::new();
    let mut line = |first: &str, cells: [String; 4]| {
        let [a, b, c, d] = cells;
        let line = format!("{first:28} {a:34} {b:34} {c:34} {d}");
        writeln!(text, "{}", line.trim_end()).unwrap();
    };
    line("", ENVIRONMENTS.map(|(name, _)| name.to_owned()));
    for id in verdicts["python"].keys() {
        line(id, ENVIRONMENTS.map(|(name, _)| cell(name, id)));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_nothing_escapes_in_an_environment_that_does_not_in_python() {
    let stage = stages::find(STAGE).unwrap();
    let mut verdicts = BTreeMap::new();
    for (name, language) in ENVIRONMENTS {
        if name != "python" {
            build(name).await;
        }
        let target = AttackTarget::In { stage: stage.clone(), environment: name.to_owned() };
        let found = run_probes::run(&target, &probes(language), &ProgressBar::hidden()).await;
        verdicts.insert(name, found.unwrap());
    }
    let mut problems = Vec::new();
    for (name, found) in &verdicts {
        for (id, verdict) in found {
            let in_python = verdicts["python"].get(id) == Some(&Verdict::Escaped);
            match verdict {
                Verdict::Escaped if !in_python => problems.push(format!("{id} escapes in {name}")),
                Verdict::Error(error) => problems.push(format!("{id} in {name}: {error}")),
                _ => {}
            }
        }
    }
    eprintln!("{}", problems.join("\n"));
    insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("environments", table(&verdicts));
    });
    assert!(problems.is_empty(), "{problems:#?}");
}

/// The same programs on a server that runs them as they are, in a jail.
#[tokio::test(flavor = "multi_thread")]
async fn alone_the_programs_of_each_language_escape_without_isolation() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("controls/vulnerable_server.py");
    assert!(!script.starts_with("/tmp"), "the jail has its own /tmp: put the repository elsewhere");
    let python = std::fs::canonicalize("/usr/bin/python3").unwrap();
    let wrapper = [python.into(), "-B".into(), script.into(), "".into()];
    let mut pairs = Vec::new();
    for (name, language) in &ENVIRONMENTS[2..] {
        let needs_no_more = |probe: &Probe| !NEEDS_MORE.contains(&(&probe.header.id, name));
        pairs.extend(
            probes(*language).into_iter().filter(needs_no_more).map(|probe| (probe, *name)),
        );
    }
    let verdicts = pairs.into_iter().map(async |(probe, name)| {
        let testbed = Testbed::in_jail(&stages::find(3).unwrap(), wrapper.to_vec()).await;
        let testbed = testbed.unwrap().in_environment(name).await.unwrap();
        let verdict = observe::run(&probe, &testbed).await;
        testbed.close().await.unwrap();
        (format!("{} in {name}", probe.header.id), verdict)
    });
    let verdicts = futures_util::stream::iter(verdicts).buffer_unordered(MAX_JAILS);
    let mut contained: Vec<_> = verdicts.collect().await;
    contained.retain(|(_, verdict)| !matches!(verdict, Ok(Verdict::Escaped)));
    assert!(contained.is_empty(), "contained by a server without isolation: {contained:#?}");
}
