//! Differences between the host and the sandbox, with the reason where it is known.

use std::collections::BTreeMap;

use anyhow::{Result, bail};
use serde::Serialize;

use super::parse::{Results, Verdict};

/// Differences that are known, each measured with runsc release-20221219 on its ptrace platform.
const KNOWN_DIFFERENCES: [KnownDifference; 9] = [
    KnownDifference {
        test: ".EPollEventLoopTests.test_subprocess_",
        sandbox: "did not end",
        why: "gVisor's epoll can lose the hang-up of a socket pair when the child at its other end \
              dies and pipes in the same epoll hang up with it. asyncio gives a child a socket pair \
              as its standard input, and waits for its hang-up without a timeout. The same tests pass with \
              poll and with select.",
    },
    KnownDifference {
        test: ".test_bidirectional_pty",
        sandbox: "error",
        why: "gVisor's terminals do not implement TCSETSF, which `tty.setraw` uses (set the \
              attributes, and discard pending input); TCSETS and TCSETSW are implemented.",
    },
    KnownDifference {
        test: ".PidfdSignalTest.test_pidfd_send_signal",
        sandbox: "skipped",
        why: "gVisor does not implement pidfd_open.",
    },
    KnownDifference {
        test: ".POSIXProcessTestCase.test_args_string",
        sandbox: "error",
        why: "The test writes a script to /tmp and executes it. /tmp is mounted without permission to \
              execute files, and the image has no shell.",
    },
    KnownDifference {
        test: ".POSIXProcessTestCase.test_call_string",
        sandbox: "error",
        why: "The test writes a script to /tmp and executes it. /tmp is mounted without permission to \
              execute files, and the image has no shell.",
    },
    KnownDifference {
        test: ".test_no_leaking",
        sandbox: "passed",
        why: "The test opens files up to the limit, and is skipped where the limit is too high for it: \
              on the host it is the host's, in the sandbox 1,024.",
    },
    KnownDifference {
        test: "UDPLITE",
        sandbox: "error",
        why: "gVisor does not implement UDP-Lite.",
    },
    KnownDifference {
        test: "RFC3542AncillaryUDP6Test.test",
        sandbox: "failed",
        why: "gVisor does not set MSG_CTRUNC when a control message of IPv6 is cut off.",
    },
    KnownDifference {
        test: ".TestLinuxAbstractNamespace.testAutobind",
        sandbox: "error",
        why: "gVisor does not choose an abstract address for a Unix socket that is bound to an empty one.",
    },
];

/// One known difference.
struct KnownDifference {
    /// A part of the test's name.
    test: &'static str,
    /// The verdict in the sandbox.
    sandbox: &'static str,
    why: &'static str,
}

/// The result of one module.
#[derive(Debug, Clone, Serialize)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// The version of Python, on both sides.
    pub python: String,
    /// How many tests of the host ended how.
    pub host: BTreeMap<String, usize>,
    /// The same of the sandbox.
    pub sandbox: BTreeMap<String, usize>,
    /// Tests whose verdicts differ.
    pub differences: Vec<Difference>,
}

/// A test whose verdicts differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its name.
    pub test: String,
    /// Its result on the host. None when it did not run there.
    pub host: Option<Verdict>,
    /// Its result in the sandbox. None when it did not run there.
    pub sandbox: Option<Verdict>,
    /// Why, when that is known.
    pub why: Option<&'static str>,
}

/// Compares the two sides.
///
/// # Errors
///
/// When they did not run on the same Python: then the tests are not the same either.
pub(super) fn compare(name: String, host: &Results, sandbox: &Results) -> Result<Module> {
    if host.python != sandbox.python {
        bail!("{name} ran on {:?} on the host and {:?} inside", host.python, sandbox.python);
    }
    let mut tests: Vec<_> = host.verdicts.keys().chain(sandbox.verdicts.keys()).collect();
    tests.sort();
    tests.dedup();
    let word = |verdict: Option<&Verdict>| verdict.map(|verdict| verdict.verdict.clone());
    let differences = tests
        .into_iter()
        .map(|test| (test, host.verdicts.get(test), sandbox.verdicts.get(test)))
        .filter(|(_, host, sandbox)| word(*host) != word(*sandbox))
        .map(|(test, host, sandbox)| Difference {
            test: test.clone(),
            host: host.cloned(),
            sandbox: sandbox.cloned(),
            why: why(test, sandbox),
        })
        .collect();
    let python = host.python.clone().unwrap_or_default();
    Ok(Module { name, python, host: host.counts(), sandbox: sandbox.counts(), differences })
}

/// Why a test's verdict in the sandbox differs from the host's, if that is known.
fn why(test: &str, sandbox: Option<&Verdict>) -> Option<&'static str> {
    let fits = |known: &&KnownDifference| {
        test.contains(known.test) && sandbox.is_some_and(|result| result.verdict == known.sandbox)
    };
    KNOWN_DIFFERENCES.iter().find(fits).map(|known| known.why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(verdicts: &[(&str, &str)], python: &str) -> Results {
        let verdict = |(test, word): &(&str, &str)| {
            (test.to_string(), Verdict { verdict: word.to_string(), message: String::new() })
        };
        let verdicts = verdicts.iter().map(verdict).collect();
        Results { verdicts, unfinished: None, python: Some(python.to_owned()) }
    }

    #[test]
    fn each_kind_of_difference_is_found() {
        let host = results(&[("a", "passed"), ("b", "passed"), ("only", "skipped")], "3.11.2");
        assert_eq!(compare("m".into(), &host, &host).unwrap().differences, []);
        let inside = results(&[("a", "passed"), ("b", "failed"), ("new", "passed")], "3.11.2");
        let found = compare("m".into(), &host, &inside).unwrap();
        let tests: Vec<_> =
            found.differences.iter().map(|difference| difference.test.as_str()).collect();
        assert_eq!(tests, ["b", "new", "only"]);
        assert_eq!(found.differences[2].sandbox, None);
        assert_eq!(found.host["passed"], 2);
        assert!(compare("m".into(), &host, &results(&[], "3.12.0")).is_err());
    }

    #[test]
    fn only_the_known_verdict_is_explained() {
        let verdict = |word: &str| Verdict { verdict: word.to_owned(), message: String::new() };
        let test = "test.test_asyncio.test_events.PollEventLoopTests.test_bidirectional_pty";
        assert!(why(test, Some(&verdict("error"))).is_some());
        assert_eq!(why(test, Some(&verdict("did not end"))), None);
        assert_eq!(why(test, None), None);
        assert_eq!(why("test.test_json.T.test_float", Some(&verdict("error"))), None);
    }
}
