//! Builds the supervisor of the warm sandboxes, which is embedded in this package's library.
//!
//! It uses the standard library alone and is linked statically, because it runs in images that need
//! not have any library. Cargo cannot build a program of another kind than the rest of the package,
//! so the compiler is called here. `protocol` is compiled into both.

use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "supervisor/main.rs";

fn main() -> Result<(), String> {
    for path in ["build.rs", "supervisor", "protocol"] {
        println!("cargo::rerun-if-changed={path}");
    }
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let output = PathBuf::from(variable("OUT_DIR")?).join("supervisor");
    let status = Command::new(variable("RUSTC")?)
        .args(["--edition=2024", "--crate-name=supervisor", "--deny=warnings"])
        .args(["-Funsafe_code", "-Copt-level=s", "-Cpanic=abort", "-Clto=fat"])
        .args(["-Ccodegen-units=1", "-Cstrip=symbols", "-Ctarget-feature=+crt-static"])
        .args(["-Crelocation-model=static"])
        .arg(format!("--target={}", variable("TARGET")?))
        .arg("-o")
        .arg(&output)
        .arg(SOURCE)
        .status()
        .map_err(|error| format!("cannot run the compiler: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err("the supervisor was not built\n  hint: linking it statically takes the C library's \
             static half (Debian: libc6-dev, Fedora: glibc-static)"
            .to_owned())
    }
}
