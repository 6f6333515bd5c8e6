//! Builds the two programs that are the first process of a sandbox, which are embedded in this
//! package's library: the supervisor of the warm sandboxes, and that of those that stay.
//!
//! They are linked statically, because they run in images that need not have any library. Cargo
//! cannot build a program of another kind than the rest of the package, so cargo is called once more
//! for each, with a target directory of their own. Their protocols are compiled into both sides.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the programs' code is made of, and the profile that they are built with.
const INPUTS: [&str; 8] = [
    "build.rs",
    "supervisor",
    "frame_codec.rs",
    "protocol",
    "exec_supervisor",
    "exec_protocol",
    "../../Cargo.toml",
    "../../Cargo.lock",
];
/// Each is a package in the directory of its name.
const PROGRAMS: [&str; 2] = ["supervisor", "exec_supervisor"];
/// Settings of the build around this one that are not for the programs.
const FOREIGN_SETTINGS: [&str; 3] = ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"];

fn main() -> Result<(), String> {
    for path in INPUTS {
        println!("cargo::rerun-if-changed={path}");
    }
    PROGRAMS.into_iter().try_for_each(build)
}

/// Static, and without the path of the crates' directory, which is in the messages of panics: the same sources give the same
/// bytes on every machine. Those of this workspace are compiled under relative paths.
fn flags() -> Vec<String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let crates = home.map(|home| format!("--remap-path-prefix={}=/cargo", home.display()));
    let fixed = ["-Ctarget-feature=+crt-static", "-Crelocation-model=static"].map(str::to_owned);
    fixed.into_iter().chain(crates).collect()
}

/// Builds a program, and puts it where the library includes it.
fn build(program: &str) -> Result<(), String> {
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let (output, target) = (PathBuf::from(variable("OUT_DIR")?), variable("TARGET")?);
    let dir = output.join("supervisor-target");
    let mut cargo = Command::new(variable("CARGO")?);
    for name in FOREIGN_SETTINGS {
        cargo.env_remove(name);
    }
    let status = cargo
        .args(["build", "--locked", "--quiet", "--profile=supervisor", "--bin", program])
        .args(["--manifest-path", &format!("{program}/Cargo.toml"), "--target", &target])
        .arg("--target-dir")
        .arg(&dir)
        .env("CARGO_INCREMENTAL", "0") // excludes the optimisation at link time
        .env("CARGO_ENCODED_RUSTFLAGS", flags().join("\u{1f}"))
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err(format!(
            "{program} was not built\n  hint: linking it statically takes the C library's static \
             half (Debian: libc6-dev, Fedora: glibc-static)"
        ));
    }
    let built = dir.join(Path::new(&target).join("supervisor").join(program));
    let copied = std::fs::copy(&built, output.join(program));
    copied.map(drop).map_err(|error| format!("{}: {error}", built.display()))
}
