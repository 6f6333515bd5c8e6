//! The start of a program, by a thread that has become its user.
//!
//! The thread changes its own ids and nothing else's, creates the pipes, so that they are the
//! user's own, enters the working directory and looks for the program, so that the user's rights
//! decide, and starts it. A file that the program's path or its script names is looked at by the
//! kernel alone, so that the errors are those of `execve`.

use std::ffi::OsStr;
use std::io::{self, PipeReader, PipeWriter, pipe};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command as Program;
use std::thread::Builder;

use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, stat};
use rustix::io::Errno;
use rustix::process::{Pid, chdir, getegid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::OWN_PROGRAM;
use crate::protocol::command::{Command, Defaults};
use crate::protocol::frame::StartFailure;
use crate::user::User;

const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program that runs, and the supervisor's ends of its pipes.
pub(crate) struct Started {
    pub(crate) pid: Pid,
    pub(crate) stdin: PipeWriter,
    pub(crate) stdout: PipeReader,
    pub(crate) stderr: PipeReader,
}

/// Why a program does not run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) kind: StartFailure,
    pub(crate) errno: u32,
}

impl Failure {
    fn of(kind: StartFailure) -> impl Fn(Errno) -> Self {
        move |errno| Self { kind, errno: errno.raw_os_error().cast_unsigned() }
    }

    fn of_io(kind: StartFailure) -> impl Fn(io::Error) -> Self {
        move |error| Self::of(kind)(Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }
}

pub(crate) fn start(defaults: &Defaults, command: Command) -> Result<Started, Failure> {
    let failure = |kind| Failure { kind, errno: 0 };
    let name = command.user.as_ref().unwrap_or(&defaults.user);
    let user = match own_user(defaults) {
        // A supervisor that is not root can become no other user.
        Some(own) if *name == defaults.user => own,
        Some(_) => return Err(failure(StartFailure::UserUnsupported)),
        None => User::find(name).ok_or(failure(StartFailure::UserUnknown))?,
    };
    if user.uid.is_root() && !defaults.allows_root {
        return Err(failure(StartFailure::UserUnsupported));
    }
    let defaults = defaults.clone();
    let thread = Builder::new().spawn(move || {
        become_user(&user).map_err(|errno| match errno {
            Errno::PERM | Errno::INVAL => Failure::of(StartFailure::UserUnsupported)(errno),
            errno => Failure::of(StartFailure::Supervisor)(errno),
        })?;
        enter(&user, &defaults, command.cwd.as_deref())?;
        execute(&user, &defaults, &command)
    });
    let thread = thread.map_err(Failure::of_io(StartFailure::Supervisor))?;
    thread.join().map_err(|_| failure(StartFailure::Supervisor))?
}

/// The supervisor's own user. None if that is root.
fn own_user(defaults: &Defaults) -> Option<User> {
    let (uid, gid) = (geteuid(), getegid());
    let (name, home) = (None, defaults.cwd.clone());
    (!uid.is_root()).then_some(User { uid, gid, groups: Vec::new(), name, home })
}

fn become_user(user: &User) -> rustix::io::Result<()> {
    if !geteuid().is_root() {
        return Ok(()); // it is this one
    }
    set_thread_groups(&user.groups)?;
    set_thread_res_gid(user.gid, user.gid, user.gid)?;
    set_thread_res_uid(user.uid, user.uid, user.uid)
}

/// Enters the working directory. The threads of a process share it.
fn enter(user: &User, defaults: &Defaults, cwd: Option<&[u8]>) -> Result<(), Failure> {
    let default = chdir(defaults.cwd.as_slice());
    let entered = match cwd {
        Some(cwd) if cwd.starts_with(b"/") => chdir(cwd),
        Some(cwd) => default.and_then(|()| chdir(cwd)),
        None => default.or_else(|_| chdir(user.home.as_slice())).or_else(|_| chdir("/")),
    };
    entered.map_err(Failure::of(StartFailure::Cwd))
}

fn execute(user: &User, defaults: &Defaults, command: &Command) -> Result<Started, Failure> {
    let environment = environment(user, defaults, command);
    let own = OWN_PROGRAM.as_bytes().to_vec();
    let (program, name, arguments) = match command.argv.split_first() {
        _ if command.is_file_tool => (own, &b"exec_supervisor"[..], command.argv.as_slice()),
        Some((name, arguments)) => {
            let path = environment.iter().rfind(|(name, _)| *name == b"PATH");
            let program = look_up(name, path.map_or(DEFAULT_PATH, |(_, path)| path));
            let program = program.map_err(Failure::of(StartFailure::Program))?;
            (program, name.as_slice(), arguments)
        }
        None => return Err(Failure::of(StartFailure::Program)(Errno::NOENT)),
    };
    let pipes = || Ok::<_, io::Error>((pipe()?, pipe()?, pipe()?));
    let pipes = pipes().map_err(Failure::of_io(StartFailure::Supervisor))?;
    let ((stdin_reader, stdin), (stdout, stdout_writer), (stderr, stderr_writer)) = pipes;
    // A path with a slash and no ids: the standard library calls `posix_spawn`, which executes the
    // path and nothing else, a shell least of all.
    let spawned = Program::new(OsStr::from_bytes(&program))
        .arg0(OsStr::from_bytes(name))
        .args(arguments.iter().map(|argument| OsStr::from_bytes(argument)))
        .env_clear()
        .envs(environment.iter().map(|(n, v)| (OsStr::from_bytes(n), OsStr::from_bytes(v))))
        .process_group(0)
        .stdin(stdin_reader)
        .stdout(stdout_writer)
        .stderr(stderr_writer)
        .spawn();
    let child = spawned.map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        let is_lacking = matches!(errno, Errno::AGAIN | Errno::MFILE | Errno::NFILE);
        let kind = if is_lacking { StartFailure::Supervisor } else { StartFailure::Program };
        Failure::of(kind)(errno)
    })?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(Failure { kind: StartFailure::Supervisor, errno: 0 })?;
    Ok(Started { pid, stdin, stdout, stderr })
}

/// The sandbox's variables, then those of the user, then the command's.
fn environment<'a>(
    user: &'a User,
    defaults: &'a Defaults,
    command: &'a Command,
) -> Vec<(&'a [u8], &'a [u8])> {
    let pairs = |pairs: &'a [(Vec<u8>, Vec<u8>)]| {
        pairs.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    };
    let mut environment: Vec<_> = pairs(&defaults.env).collect();
    let has = |name: &[u8]| defaults.env.iter().any(|(other, _)| other == name);
    for (name, value) in [(&b"HOME"[..], Some(&user.home)), (b"USER", user.name.as_ref())] {
        if let Some(value) = value.filter(|_| !has(name)) {
            environment.push((name, value));
        }
    }
    environment.extend(pairs(&command.env));
    environment
}

/// The path of a program. One without a slash is looked for in the directories of `path`.
fn look_up(name: &[u8], path: &[u8]) -> Result<Vec<u8>, Errno> {
    if name.contains(&b'/') {
        return Ok(name.to_vec());
    }
    if name.is_empty() {
        return Err(Errno::NOENT);
    }
    let mut error = Errno::NOENT;
    for dir in path.split(|byte| *byte == b':') {
        let dir = if dir.is_empty() { b"." } else { dir };
        let candidate = [dir, name].join(&b'/');
        let is_file = stat(candidate.as_slice())
            .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::RegularFile);
        if !is_file {
            continue;
        }
        match accessat(CWD, candidate.as_slice(), Access::EXEC_OK, AtFlags::empty()) {
            Ok(()) => return Ok(candidate),
            Err(_) => error = Errno::ACCESS,
        }
    }
    Err(error)
}
