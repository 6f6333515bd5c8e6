//! Builds the supervisor of the warm sandboxes, which is embedded in this package's library.
//!
//! It is one file on the standard library alone, linked statically, because the image that it runs in
//! is not ours to add libraries to. Cargo cannot build a program of another kind than the rest of the
//! package, so the compiler is called here.

use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "supervisor/main.rs";

fn main() -> Result<(), String> {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed=build.rs");
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
