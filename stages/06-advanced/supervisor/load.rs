//! The supervisor's program as a loader: what waits for a program in an environment that has no
//! interpreter to be started ahead.
//!
//! `loader COMMAND...` does what stage 4's `deliver.py` does: it reports that it is ready, reads one
//! payload, writes the program and its files, reports that the program begins, and becomes the
//! command, with the path of the program as its last argument and the rest of the payload as its
//! input. It runs as the program's user, and has no right that the program has not.

use std::ffi::{OsStr, OsString};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where a program and its files are written.
const DIR: &str = "/tmp";
const NONCE_BYTES: usize = 32;
/// The longest path in a payload. The host has checked it, and so this is an error of the host.
const MAX_PATH_BYTES: u64 = 4096;

/// Waits for a program and becomes it. Returns only on an error.
pub(crate) fn load(command: &[OsString]) -> io::Error {
    match prepare(command) {
        Ok(mut command) => command.exec(),
        Err(error) => error,
    }
}

fn prepare(command: &[OsString]) -> io::Result<Command> {
    let (program, arguments) = command.split_first().ok_or(ErrorKind::InvalidInput)?;
    std::env::set_current_dir(DIR)?;
    rustix::process::setsid()?;
    let mut stderr = io::stderr();
    stderr.write_all(b"ready\n")?;
    // Not the buffered standard input: what comes behind the payload is the program's.
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut nonce = [0; NONCE_BYTES];
    input.read_exact(&mut nonce)?;
    number(&mut input)?; // the lifetime, which the supervisor has as well
    match receive(&mut input) {
        Ok(main) => {
            stderr.write_all(&[&nonce[..], b" begin\n"].concat())?;
            let mut command = Command::new(program);
            command.args(arguments).arg(main);
            Ok(command)
        }
        Err(error) => {
            let line = format!(" refused {}\n", error.to_string().replace('\n', " "));
            stderr.write_all(&[&nonce[..], line.as_bytes()].concat())?;
            std::process::exit(0)
        }
    }
}

/// Writes the files of a payload. The first is the program.
fn receive(input: &mut impl Read) -> io::Result<PathBuf> {
    let mut main = None;
    for _ in 0..number(input)? {
        let length = number(input)?.min(MAX_PATH_BYTES);
        let mut path = Vec::new();
        input.take(length).read_to_end(&mut path)?;
        let path = Path::new(DIR).join(OsStr::from_bytes(&path));
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path)?;
        let size = number(input)?;
        if io::copy(&mut input.take(size), &mut file)? < size {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        main.get_or_insert(path);
    }
    main.ok_or_else(|| ErrorKind::InvalidInput.into())
}

/// Eight bytes, the most significant first.
fn number(input: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes)?;
    Ok(u64::from_be_bytes(bytes))
}

/// The command of a loader, if this process was started as one.
pub(crate) fn command() -> Option<Vec<OsString>> {
    let mut arguments = std::env::args_os();
    let name = arguments.next()?.into_vec();
    name.ends_with(b"/crucible-loader").then(|| arguments.collect())
}
