//! Builds the supervisor of the warm sandboxes, which is embedded in this package's library.
//!
//! It is linked statically, because it runs in images that need not have any library. Cargo cannot
//! build a program of another kind than the rest of the package, so cargo is called once more here,
//! with a target directory of its own. `protocol` is compiled into both.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the supervisor's code is made of, and the profile that it is built with.
const INPUTS: [&str; 5] =
    ["build.rs", "supervisor", "protocol", "../../Cargo.toml", "../../Cargo.lock"];
/// Settings of the build around this one that are not for the supervisor.
const FOREIGN_SETTINGS: [&str; 3] = ["RUSTFLAGS", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER"];

fn main() -> Result<(), String> {
    for path in INPUTS {
        println!("cargo::rerun-if-changed={path}");
    }
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let (output, target) = (PathBuf::from(variable("OUT_DIR")?), variable("TARGET")?);
    let dir = output.join("supervisor-target");
    let mut cargo = Command::new(variable("CARGO")?);
    for name in FOREIGN_SETTINGS {
        cargo.env_remove(name);
    }
    let status = cargo
        .args(["build", "--locked", "--quiet", "--profile=supervisor", "--bin=supervisor"])
        .args(["--manifest-path", "supervisor/Cargo.toml", "--target", &target, "--target-dir"])
        .arg(&dir)
        .env("CARGO_INCREMENTAL", "0") // excludes the optimisation at link time
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            "-Ctarget-feature=+crt-static\u{1f}-Crelocation-model=static",
        )
        .status()
        .map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err("the supervisor was not built\n  hint: linking it statically takes the C \
                    library's static half (Debian: libc6-dev, Fedora: glibc-static)"
            .to_owned());
    }
    let built = dir.join(Path::new(&target).join("supervisor/supervisor"));
    let copied = std::fs::copy(&built, output.join("supervisor"));
    copied.map(drop).map_err(|error| format!("{}: {error}", built.display()))
}
