//! The programs that are embedded in this package do not depend on where and when they are built.

use std::path::{Path, PathBuf};
use std::process::Command;

use stage_06_advanced::EXEC_SUPERVISOR;

/// Runs a command, and returns what it printed.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The files that git knows, in another directory.
fn copy_to(target: &Path) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    std::fs::create_dir_all(target).unwrap();
    let copy = "git ls-files -z | xargs --null cp --parents --target-directory=\"$1\"";
    output(Command::new("sh").args(["-c", copy, "sh"]).arg(target).current_dir(workspace));
    target.join("stages/06-advanced")
}

#[test]
fn the_embedded_programs_are_the_same_from_another_directory() {
    let temporary = tempfile::tempdir().unwrap();
    let package = copy_to(&temporary.path().join("another/and-longer"));
    let (script, out) = (temporary.path().join("build-script"), temporary.path().join("out"));
    std::fs::create_dir(&out).unwrap();
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "-o"]).arg(&script).arg("build.rs").current_dir(&package);
    output(&mut rustc);
    let version = output(Command::new("rustc").arg("-vV").current_dir(&package));
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned();
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut build = Command::new(&script);
    build.current_dir(&package).env("OUT_DIR", &out).env("TARGET", host).env("CARGO", cargo);
    output(&mut build);
    let bytes = std::fs::read(out.join("exec_supervisor")).unwrap();
    assert!(bytes == EXEC_SUPERVISOR, "{} and {} bytes", bytes.len(), EXEC_SUPERVISOR.len());
    // Nothing of the machine is in them.
    for program in ["supervisor", "exec_supervisor"] {
        let bytes = std::fs::read(out.join(program)).unwrap();
        let places = [temporary.path().to_path_buf(), std::env::home_dir().unwrap()];
        for place in places {
            let place = place.into_os_string().into_encoded_bytes();
            let found = bytes.windows(place.len()).any(|window| window == place);
            assert!(!found, "{program}: {}", String::from_utf8_lossy(&place));
        }
    }
}
