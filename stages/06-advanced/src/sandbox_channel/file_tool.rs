//! The file tools: modes of the supervisor's own program, which the host starts as executions of the
//! sandbox's user, so that no host process opens a path inside a sandbox.

use std::fmt;

use nix::errno::Errno;
use serde::Deserialize;

/// The longest line of an error that is read. The sandbox writes it.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// What a file tool does. Paths are bytes; a relative one is relative to the working directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileTool {
    /// Writes a regular file to standard output, if it has at most `max_bytes`. Before it, one line
    /// on standard error, `{"size":N}`, unless the size is not known or 0: exactly so many bytes
    /// come, or it is an error.
    Read {
        /// The file.
        path: Vec<u8>,
        /// Beyond it the file is too large.
        max_bytes: u64,
    },
    /// Writes standard input to a regular file, and creates it and the directories above it.
    Write {
        /// The file. What it was before is overwritten; its owner and mode stay.
        path: Vec<u8>,
    },
    /// Writes a directory to standard output, as tar.
    ReadTar {
        /// The directory.
        path: Vec<u8>,
    },
    /// Reads a tar from standard input into a directory, which is created.
    WriteTar {
        /// The directory. No entry leaves it.
        path: Vec<u8>,
    },
    /// Writes what has changed since the sandbox was made to standard output, as a tar with OCI
    /// whiteouts for what was deleted. To be executed as root.
    Diff {
        /// The list that `exec_supervisor baseline ROOT` has written.
        baseline: Vec<u8>,
    },
}

impl FileTool {
    /// The words after the program's name, by which the program knows what to do.
    pub(super) fn arguments(&self) -> Vec<Vec<u8>> {
        let words = |words: &[&[u8]]| words.iter().map(|word| word.to_vec()).collect();
        match self {
            Self::Read { path, max_bytes } => {
                words(&[b"file-tool", b"read", path, max_bytes.to_string().as_bytes()])
            }
            Self::Write { path } => words(&[b"file-tool", b"write", path]),
            Self::ReadTar { path } => words(&[b"file-tool", b"tar-out", path]),
            Self::WriteTar { path } => words(&[b"file-tool", b"tar-in", path]),
            Self::Diff { baseline } => words(&[b"file-tool", b"diff", baseline]),
        }
    }
}

/// What kind of error a file tool met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileErrorKind {
    /// Nothing has this path.
    NotFound,
    /// The user may not do it.
    Permission,
    /// A directory has this path.
    IsDirectory,
    /// What has this path is no regular file, or no directory where one is needed.
    NotRegular,
    /// The file is larger than the caller wants.
    TooLarge,
    /// Something else, by its number.
    Other,
}

/// The error of a file tool, as the sandbox reports it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileError {
    /// Its kind.
    pub kind: FileErrorKind,
    /// The number of the system's error; 0 when there was none.
    pub errno: u32,
    /// The path that it is about, as far as it is text.
    pub path: String,
}

impl FileError {
    /// Reads what a file tool has written to standard error. None when it is no error of a file
    /// tool: then the tool did not end by itself, or is not the one that was started.
    pub fn parse(stderr: &[u8]) -> Option<Self> {
        let line = stderr.strip_suffix(b"\n")?;
        let is_short = line.len() <= MAX_ERROR_BYTES;
        is_short.then(|| serde_json::from_slice(line).ok()).flatten()
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            FileErrorKind::NotFound => "not found",
            FileErrorKind::Permission => "permission denied",
            FileErrorKind::IsDirectory => "is a directory",
            FileErrorKind::NotRegular => "not a regular file",
            FileErrorKind::TooLarge => "too large",
            FileErrorKind::Other => {
                let name = errno_name(self.errno);
                let name = name.as_deref().unwrap_or("an error without a number");
                return write!(formatter, "{name}: {}", self.path);
            }
        };
        write!(formatter, "{what}: {}", self.path)
    }
}

impl std::error::Error for FileError {}

/// The name of an error's number on Linux, such as `EACCES`; none for a number without one.
pub fn errno_name(errno: u32) -> Option<String> {
    let errno = Errno::from_raw(i32::try_from(errno).ok()?);
    (errno != Errno::UnknownErrno).then(|| format!("{errno:?}"))
}
