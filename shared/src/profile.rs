//! The language of a program, as a profile that the operator chose.
//!
//! A profile says how the source of a program is stored and started. Which image it runs in, and
//! how many sandboxes are started beforehand, is added by the engine. Python's is the first; a
//! later stage has a list of them, of which a request can name one.

use std::borrow::Cow;

/// How the programs of one language are stored and started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The name that a request would choose it by.
    pub name: Cow<'static, str>,
    /// The name of the file that the source is stored as, in the program's working directory.
    pub main_file: Cow<'static, str>,
    /// The command that runs a program, without the path of its main file, which comes last.
    pub argv: Cow<'static, [Cow<'static, str>]>,
    /// False if no source of this language contains NUL characters.
    pub allows_nul: bool,
}

/// `python3 main.py`.
pub const PYTHON: Profile = Profile {
    name: Cow::Borrowed("python"),
    main_file: Cow::Borrowed("main.py"),
    argv: Cow::Borrowed(&[Cow::Borrowed("python3")]),
    allows_nul: false,
};
