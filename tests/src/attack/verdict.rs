//! The verdict on one probe and one stage.
//!
//! The reasons for containment are a fixed list of words, so that two matrices differ only when the
//! results differ.

use std::fmt;

use serde::{Serialize, Serializer};

// ANCHOR: verdict
/// The verdict on one probe and one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It succeeded, as observed from outside.
    Escaped,
    /// It ran and did not succeed, for this reason.
    Contained(By),
    /// It does not apply to this stage; the reason is for a person.
    NotApplicable(&'static str),
    /// There is no result: it did not run, or printed no report. Never counted as contained.
    Error(String),
}
// ANCHOR_END: verdict

/// Defines [`By`]: for each reason its meaning, its name, and the words in the matrix.
macro_rules! reasons {
    ($(#[doc = $meaning:literal] $variant:ident = $words:literal,)+) => {
        /// What contained a probe.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum By { $(#[doc = $meaning] $variant,)+ }

        impl By {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The words, as they stand in the matrix.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $words,)+ }
            }

            /// What they mean, as a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning.trim_ascii(),)+ }
            }
        }
    };
}

reasons! {
    /// The file is not in its own file system.
    OwnFiles = "own files",
    /// The file system is read-only.
    ReadOnlyRoot = "read-only root",
    /// The file system is full, or a file has its maximum size.
    DiskLimit = "disk limit",
    /// The file system is mounted noexec.
    NoExec = "noexec",
    /// It has no network.
    NoNetwork = "no network",
    /// It reached only its own network.
    OwnNetwork = "own network",
    /// It saw only its own processes.
    OwnProcesses = "own processes",
    /// It saw only its own namespaces.
    OwnNames = "own namespaces",
    /// The environment has no secret of the server.
    CleanEnvironment = "clean environment",
    /// The next run has a new sandbox.
    FreshSandbox = "fresh sandbox",
    /// All its processes were removed at its end.
    NothingLeft = "nothing left",
    /// The kernel refused: by capabilities, a filter or file ownership.
    Refused = "refused",
    /// The kernel does not have that system call.
    NoSuchCall = "no such call",
    /// It reached a kernel, but not the host's.
    Sentry = "sentry",
    /// Too many processes or threads.
    PidsLimit = "pids limit",
    /// Too much memory.
    MemoryLimit = "memory limit",
    /// Too much processor time.
    CpuLimit = "cpu limit",
    /// No more than its share of the processors.
    CpuShare = "cpu share",
    /// Too much wall-clock time.
    TimeLimit = "time limit",
    /// Too much output.
    OutputCap = "output cap",
    /// Too many open files.
    OpenFilesLimit = "open-files limit",
    /// The platform used its own evidence instead of the program's claim.
    Evidence = "evidence",
    /// The platform refused the request.
    Validation = "validation",
    /// The platform refused the client.
    Authorization = "authorization",
    /// The platform closed the connection after a deadline.
    Deadline = "deadline",
    /// The platform limited the work that it accepts.
    BackPressure = "back-pressure",
    /// Its output stayed text.
    Escaping = "escaping",
    /// A message is signed with a secret that it does not have.
    Signature = "signature",
    /// It could not influence the grader.
    Nonce = "nonce",
    /// It had an effect below the threshold.
    Bounded = "bounded",
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Verdict {
    /// `escaped`, `contained`, `n/a` or `error`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Escaped => "escaped",
            Self::Contained(_) => "contained",
            Self::NotApplicable(_) => "n/a",
            Self::Error(_) => "error",
        }
    }

    /// The reason of containment, why it does not apply, or the error.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::Escaped => None,
            Self::Contained(by) => Some(by.as_str()),
            Self::NotApplicable(why) => Some(why),
            Self::Error(what) => Some(what),
        }
    }

    /// One cell of the matrix: `ESCAPED` stands out in a column of reasons, in any terminal.
    pub fn cell(&self) -> &str {
        match self {
            Self::Escaped => "ESCAPED",
            Self::Contained(by) => by.as_str(),
            Self::NotApplicable(_) => "n/a",
            Self::Error(_) => "ERROR",
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("verdict", self.word())?;
        match self {
            Self::Escaped => {}
            Self::Contained(by) => map.serialize_entry("by", by.as_str())?,
            Self::NotApplicable(why) => map.serialize_entry("why", why)?,
            Self::Error(what) => map.serialize_entry("error", what)?,
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_one_flat_object() {
        let json = |verdict| serde_json::to_string(&verdict).unwrap();
        assert_eq!(json(Verdict::Escaped), r#"{"verdict":"escaped"}"#);
        let contained = json(Verdict::Contained(By::NoNetwork));
        assert_eq!(contained, r#"{"verdict":"contained","by":"no network"}"#);
        assert_eq!(Verdict::Error("lost".into()).cell(), "ERROR");
    }

    #[test]
    fn a_reason_is_words_and_a_sentence() {
        assert_eq!(By::NoNetwork.meaning(), "It has no network.");
        for by in By::ALL {
            assert!(by.meaning().ends_with('.') && !by.meaning().starts_with(' '), "{by}");
            assert_eq!(By::ALL.iter().filter(|other| other.as_str() == by.as_str()).count(), 1);
        }
    }
}
