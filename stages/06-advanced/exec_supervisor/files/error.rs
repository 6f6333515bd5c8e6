//! The errors of a file tool, as one line of JSON.

use std::fmt;
use std::io;

use rustix::io::Errno;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    NotFound,
    Permission,
    IsDirectory,
    NotRegular,
    TooLarge,
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileError {
    kind: Kind,
    errno: i32,
    path: Vec<u8>,
}

impl FileError {
    pub(crate) fn without_errno(kind: Kind, path: &[u8]) -> Self {
        Self { kind, errno: 0, path: path.to_vec() }
    }

    /// The system's error for a path.
    pub(crate) fn new(errno: Errno, path: &[u8]) -> Self {
        let kind = match errno {
            Errno::NOENT | Errno::NOTDIR => Kind::NotFound,
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Kind::Permission,
            Errno::ISDIR => Kind::IsDirectory,
            // A pipe without a reader, a socket.
            Errno::NXIO => Kind::NotRegular,
            _ => Kind::Other,
        };
        Self { kind, errno: errno.raw_os_error(), path: path.to_vec() }
    }

    pub(crate) fn at(path: &[u8]) -> impl Fn(Errno) -> Self {
        move |errno| Self::new(errno, path)
    }

    /// An error of the standard library; one without a number is `EIO`.
    pub(crate) fn of_io(path: &[u8]) -> impl Fn(io::Error) -> Self {
        move |error| Self::new(Errno::from_io_error(&error).unwrap_or(Errno::IO), path)
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::NotFound => "not_found",
            Kind::Permission => "permission",
            Kind::IsDirectory => "is_directory",
            Kind::NotRegular => "not_regular",
            Kind::TooLarge => "too_large",
            Kind::Other => "other",
        };
        write!(formatter, r#"{{"kind":"{kind}","errno":{},"path":""#, self.errno)?;
        for character in String::from_utf8_lossy(&self.path).chars() {
            match character {
                '"' | '\\' => write!(formatter, "\\{character}")?,
                '\0'..='\x1f' => write!(formatter, "\\u{:04x}", u32::from(character))?,
                _ => write!(formatter, "{character}")?,
            }
        }
        formatter.write_str(r#""}"#)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_string_of_json_whatever_it_is() {
        let error = FileError::new(Errno::NOENT, b"a\"b\\c\n\x01\xff\xc3\xa4");
        let expected = concat!(
            r#"{"kind":"not_found","errno":2,"path":"a\"b\\c\u000a\u0001"#,
            "\u{fffd}\u{e4}",
            r#""}"#
        );
        assert_eq!(error.to_string(), expected);
    }
}
