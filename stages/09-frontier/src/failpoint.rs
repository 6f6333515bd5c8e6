//! Places where a test can make a running server fail.
//!
//! `FAILPOINTS="store.before_commit=9*off->return(kill)"` kills the process at the tenth commit, and
//! `return(error)` makes the place fail. In a release build nothing of this is compiled.

use crate::store::StoreError;

/// The failpoints that every submission passes, for the tests that go through them all. Those of verifications are
/// beside: `verifications.before_accept` and `verifications.after_accept`.
pub const FAILPOINTS: &[&str] = &[
    "store.before_commit",
    "store.after_commit",
    "files.before_flush",
    "files.after_flush",
    "files.before_rename",
    "files.after_rename",
    "files.after_directory_flush",
];

/// Does what the variable `FAILPOINTS` has for this place.
#[cfg(debug_assertions)]
pub(crate) fn failpoint(name: &'static str) -> Result<(), StoreError> {
    fail::fail_point!(name, |action| match action.as_deref() {
        Some("kill") => {
            let this = rustix::process::getpid();
            rustix::process::kill_process(this, rustix::process::Signal::KILL).ok();
            Err(StoreError::Failpoint)
        }
        _ => Err(StoreError::Failpoint),
    });
    Ok(())
}

/// In a release build there are no failpoints.
#[cfg(not(debug_assertions))]
#[allow(clippy::unnecessary_wraps, reason = "the shape that it has in a debug build")]
pub(crate) fn failpoint(_name: &'static str) -> Result<(), StoreError> {
    Ok(())
}

/// Reads the variable `FAILPOINTS`, in a debug build.
pub fn read_failpoints() {
    #[cfg(debug_assertions)]
    if std::env::var_os("FAILPOINTS").is_some() {
        // Never dropped: that would turn them off.
        std::mem::forget(fail::FailScenario::setup());
    }
}
