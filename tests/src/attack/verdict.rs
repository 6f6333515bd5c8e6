//! What became of one probe on one stage.
//!
//! The words for what contained a probe are a fixed list, so that a matrix differs from the one
//! before only when something did.

use std::fmt;

use serde::{Serialize, Serializer};

// ANCHOR: verdict
/// What became of one probe on one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It got what it was after, and the harness has seen that for itself.
    Escaped,
    /// It ran, and was kept from it.
    Contained(By),
    /// It makes no sense on this stage; the reason is for a person.
    NotApplicable(&'static str),
    /// Nothing is known: it did not run, or did not say so. Never taken for contained.
    Error(String),
}
// ANCHOR_END: verdict

/// What kept a probe from what it was after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// What it looked for is not in the file system it sees.
    OwnFiles,
    /// The file system takes no writes.
    ReadOnlyRoot,
    /// The file system takes no more, or no larger file.
    DiskLimit,
    /// Files there cannot be executed.
    NoExec,
    /// There is no way to any network.
    NoNetwork,
    /// It reached something, but only in a network of its own.
    OwnNetwork,
    /// It saw processes, but only its own.
    OwnProcesses,
    /// What it saw was of its own name spaces.
    OwnNames,
    /// It found nothing of the server's.
    CleanEnvironment,
    /// Nothing of one run is there in the next.
    FreshSandbox,
    /// Nothing that it started was left when it had ended.
    NothingLeft,
    /// The kernel refused: a capability is missing, a filter is in force, an owner is another.
    Refused,
    /// The kernel does not know that call.
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
    /// The platform did not take its word for it.
    Evidence,
    /// The platform refused the request.
    Validation,
    /// The platform cut the connection off.
    Deadline,
    /// The platform took no more than it can do.
    BackPressure,
    /// What it sent was shown as what it is: text.
    Escaping,
    /// The grader is out of its reach.
    Nonce,
    /// It had an effect, but a harmless one: less than what counts.
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
            Self::Deadline => "deadline",
            Self::BackPressure => "back-pressure",
            Self::Escaping => "escaping",
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

    /// What contained it, why it does not apply, or what went wrong.
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
