//! What a sandbox is prepared for: a language, with its image and the processes that wait for
//! programs. Nothing else in this engine knows a language.
//!
//! A profile's command is started before there is a program, in the directory
//! [`PRESTART_DIR`](super::rootfs::PRESTART_DIR). It has to speak the protocol of stage 4's init: it
//! writes `ready` and a newline to standard error when it is up, reads one payload
//! (`stage_04_docker::write_payload`) from standard input, writes the payload's nonce and ` begin`,
//! and becomes the program, with the rest of its standard input as the program's.
//!
//! Python's is `python3 /tmp/main.py`, stopped in the last step of its own start. So the program is
//! run by Python's own code, with no frame below the program's first.

use std::path::PathBuf;

use shared::Profile;
use shared::profile::PYTHON;
use stage_04_docker::DELIVER_SOURCE;

use super::rootfs::LOADER_PATH;
use crate::Environment;

/// What the waiting interpreter executes, behind stage 4's `deliver`, until it has its
/// program.
const PYTHON_PRESTART: &str = include_str!("prestart.py");
/// How it comes to execute that. Python imports a module of this name at the end of its start.
const PYTHON_HOOK: &str = include_str!("usercustomize.py");
/// Reports its kernel, and then stays to be inspected.
const PYTHON_ISOLATION_PROGRAM: &str = "
print(open('/proc/version').read().strip(), flush=True)
import time
time.sleep(60)";

/// What sandboxes are prepared for: a language's profile, with what this engine adds to it.
#[derive(Debug, Clone)]
pub(super) struct SandboxProfile {
    /// The language.
    pub(super) language: Profile,
    /// The directory with the image's files.
    pub(super) image: PathBuf,
    /// The command that waits for a program, by the path of its executable in the image.
    pub(super) warm_argv: Vec<String>,
    /// Files that the root file system has beside the image's.
    pub(super) files: Vec<ProfileFile>,
    /// Variables that a program finds beside `HOME`.
    pub(super) variables: Vec<(String, String)>,
    /// Whether files that a program has written may be executed.
    pub(super) executes_files: bool,
    /// Whether the command is run by the loader, which waits for a program.
    pub(super) has_loader: bool,
    /// Whether a program has a directory for files that outlive it.
    pub(super) keeps_output_files: bool,
    /// How many sandboxes wait.
    pub(super) warm_sandboxes: usize,
    /// A program that prints `/proc/version` and then stays, to be inspected from outside.
    pub(super) isolation_program: &'static str,
}

/// A file that a profile adds to the image.
#[derive(Debug, Clone)]
pub(super) struct ProfileFile {
    /// The directory in the image.
    pub(super) dir: &'static str,
    /// When given, the file is added to each directory directly below `dir` that has this one.
    pub(super) beside: Option<&'static str>,
    /// Its name.
    pub(super) name: &'static str,
    /// What is in it.
    pub(super) text: String,
}

impl SandboxProfile {
    /// Python, with the files of the image in the directory `image`.
    pub(super) fn python(image: PathBuf, warm_sandboxes: usize) -> Self {
        let program = format!("/tmp/{}", PYTHON.main_file);
        Self {
            language: PYTHON,
            image,
            warm_argv: vec!["/usr/bin/python3".to_owned(), program],
            files: vec![
                ProfileFile {
                    dir: "usr/lib",
                    beside: None,
                    name: "crucible-prestart.py",
                    text: format!("{DELIVER_SOURCE}\n\n{PYTHON_PRESTART}"),
                },
                ProfileFile {
                    dir: "usr/lib",
                    beside: Some("os.py"),
                    name: "usercustomize.py",
                    text: PYTHON_HOOK.to_owned(),
                },
            ],
            variables: Vec::new(),
            executes_files: false,
            has_loader: false,
            keeps_output_files: false,
            warm_sandboxes,
            isolation_program: PYTHON_ISOLATION_PROGRAM,
        }
    }

    /// An environment. The interpreter of Python is started ahead; of all others, a loader.
    pub(super) fn of(environment: &Environment, keeps_output_files: bool) -> Self {
        let python = Self::python(environment.image.clone(), environment.warm_sandboxes);
        let profile = Self {
            variables: environment.variables.clone(),
            executes_files: environment.executes_files,
            keeps_output_files,
            language: environment.profile.clone(),
            ..python
        };
        if environment.is_python {
            return profile;
        }
        let command = environment.profile.argv.iter().map(|word| word.clone().into_owned());
        let warm_argv = std::iter::once(LOADER_PATH.to_owned()).chain(command).collect();
        Self { warm_argv, files: Vec::new(), has_loader: true, ..profile }
    }

    /// The executable that runs a program, by its path in the image.
    pub(super) fn interpreter(&self) -> &str {
        let place = usize::from(self.has_loader);
        self.warm_argv.get(place).map_or("", String::as_str)
    }
}
