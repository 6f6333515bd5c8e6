//! Names of signals.

use nix::sys::signal::Signal;

/// The name of a signal that can end a program, as signal(7) and Python have it, such as `SIGSEGV` for
/// 11 on most machines; `SIG34` for one without a name, as the real-time signals are.
pub fn signal_name(number: i32) -> String {
    let named = Signal::try_from(number);
    named.map_or_else(|_| format!("SIG{number}"), |signal| signal.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn names_are_those_that_python_has() {
        // SIGRTMIN and SIGRTMAX are a C library's numbers, and not the kernel's.
        let code = "import signal\n\
                    for s in signal.Signals:\n    \
                    if s < signal.SIGRTMIN: print(int(s), s.name)";
        let output = Command::new("python3").args(["-I", "-c", code]).output().unwrap();
        let listed = String::from_utf8(output.stdout).unwrap();
        assert!(listed.lines().count() >= 30, "{listed}");
        for line in listed.lines() {
            let (number, name) = line.split_once(' ').unwrap();
            assert_eq!(signal_name(number.parse().unwrap()), name);
        }
    }

    #[test]
    fn a_signal_without_a_name_has_its_number() {
        for number in [0, 32, 34, 64, 65, -1] {
            assert_eq!(signal_name(number), format!("SIG{number}"));
        }
    }
}
