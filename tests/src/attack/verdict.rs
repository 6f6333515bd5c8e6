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

/// What contained a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// The file is not in its own file system.
    OwnFiles,
    /// The file system is read-only.
    ReadOnlyRoot,
    /// The file system is full, or a file has its maximum size.
    DiskLimit,
    /// The file system is mounted noexec.
    NoExec,
    /// It has no network.
    NoNetwork,
    /// It reached only its own network.
    OwnNetwork,
    /// It saw only its own processes.
    OwnProcesses,
    /// It saw only its own namespaces.
    OwnNames,
    /// The environment has no secret of the server.
    CleanEnvironment,
    /// The next run has a new sandbox.
    FreshSandbox,
    /// All its processes were removed at its end.
    NothingLeft,
    /// The kernel refused: by capabilities, a filter or file ownership.
    Refused,
    /// The kernel does not have that system call.
    NoSuchCall,
    /// It reached a kernel, but not the host's.
    Sentry,
    /// Too many processes or threads.
    PidsLimit,
    /// Too much memory.
    MemoryLimit,
    /// Too much processor time.
    CpuLimit,
    /// No more than its share of the processors.
    CpuShare,
    /// Too much wall-clock time.
    TimeLimit,
    /// Too much output.
    OutputCap,
    /// Too many open files.
    OpenFilesLimit,
    /// The platform used its own evidence instead of the program's claim.
    Evidence,
    /// The platform refused the request.
    Validation,
    /// The platform refused the client.
    Authorization,
    /// The platform closed the connection after a deadline.
    Deadline,
    /// The platform limited the work that it accepts.
    BackPressure,
    /// Its output stayed text.
    Escaping,
    /// A message is signed with a secret that it does not have.
    Signature,
    /// It could not influence the grader.
    Nonce,
    /// It had an effect below the threshold.
    Bounded,
}

impl By {
    /// The words, as they stand in the matrix.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OwnFiles => "own files",
            Self::ReadOnlyRoot => "read-only root",
            Self::DiskLimit => "disk limit",
            Self::NoExec => "noexec",
            Self::NoNetwork => "no network",
            Self::OwnNetwork => "own network",
            Self::OwnProcesses => "own processes",
            Self::OwnNames => "own namespaces",
            Self::CleanEnvironment => "clean environment",
            Self::FreshSandbox => "fresh sandbox",
            Self::NothingLeft => "nothing left",
            Self::Refused => "refused",
            Self::NoSuchCall => "no such call",
            Self::Sentry => "sentry",
            Self::PidsLimit => "pids limit",
            Self::MemoryLimit => "memory limit",
            Self::CpuLimit => "cpu limit",
            Self::CpuShare => "cpu share",
            Self::TimeLimit => "time limit",
            Self::OutputCap => "output cap",
            Self::OpenFilesLimit => "open-files limit",
            Self::Evidence => "evidence",
            Self::Validation => "validation",
            Self::Authorization => "authorization",
            Self::Deadline => "deadline",
            Self::BackPressure => "back-pressure",
            Self::Escaping => "escaping",
            Self::Signature => "signature",
            Self::Nonce => "nonce",
            Self::Bounded => "bounded",
        }
    }
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
}
