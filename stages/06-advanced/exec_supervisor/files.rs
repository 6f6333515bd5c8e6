//! The file tools: programs of executions, which have the rights of the sandbox's user and no other.
//!
//! ```text
//! file-tool read PATH MAX     a regular file to standard output
//! file-tool write PATH        standard input to a regular file
//! file-tool tar-out DIR       a directory to standard output
//! file-tool tar-in DIR        standard input into a directory
//! file-tool diff BASELINE     what has changed since the list was made, to standard output
//! ```
//!
//! A tool ends with 0, or with 1 and one line of JSON on standard error: `kind`, `errno`, `path`.
//! Every file is opened without waiting for another process, and looked at by its descriptor, so
//! that a pipe or a device in its place is an error and blocks nothing.

mod diff;
mod error;
mod plain;
mod tar_in;
mod tar_out;

use error::{FileError, Kind};

/// Does what the words say: the exit code.
pub(crate) fn run(words: &[Vec<u8>]) -> i32 {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let done = match words.as_slice() {
        [b"read", path, max_bytes] => match number(max_bytes) {
            Some(max_bytes) => plain::read(path, max_bytes),
            None => Err(FileError::without_errno(Kind::Other, max_bytes)),
        },
        [b"write", path] => plain::write(path),
        [b"tar-out", path] => tar_out::write_dir(path),
        [b"tar-in", path] => tar_in::read_into(path),
        [b"diff", baseline] => diff::diff(baseline),
        _ => Err(FileError::without_errno(Kind::Other, b"")),
    };
    code(done)
}

/// Lists the file system below a directory, for `diff`: the exit code.
pub(crate) fn baseline(root: Option<Vec<u8>>) -> i32 {
    code(diff::baseline(&root.unwrap_or_else(|| b"/".to_vec())))
}

fn code(done: Result<(), FileError>) -> i32 {
    match done {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
