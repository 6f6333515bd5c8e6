//! Set-up: its plan, and how it reads and writes Docker's configuration. Nothing of this machine is changed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn setup_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../infrastructure/setup").canonicalize().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A configuration of Docker's in a directory of its own, with two releases of `runsc` beside it.
struct Configuration {
    dir: tempfile::TempDir,
}

impl Configuration {
    fn new(text: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("daemon.json"), text).unwrap();
        for (name, release) in [("older", "20221219"), ("newer", "20240729")] {
            let path = dir.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\necho runsc version 0.0~{release}.0\n"))
                .unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { dir }
    }

    /// One whose runtime `runsc` has these arguments.
    fn with_arguments(arguments: &Value) -> Self {
        let configuration = Self::new("");
        let entry = json!({"path": configuration.program("newer"), "runtimeArgs": arguments});
        let file = json!({"runtimes": {"runsc": entry}, "log-level": "warn"});
        std::fs::write(configuration.file(), file.to_string()).unwrap();
        configuration
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("daemon.json")
    }

    fn program(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Calls `daemon_json.py` as set-up does.
    fn call(&self, command: &str, more: &[&str]) -> (Option<i32>, Output) {
        let output = Command::new("python3")
            .arg(setup_dir().join("daemon_json.py"))
            .args([command, self.file().to_str().unwrap(), "--path", &self.program("newer")])
            .arg("--need=--directfs=false")
            .args(more)
            .output()
            .unwrap();
        assert!(!text(&output.stderr).contains("Traceback"), "{}", text(&output.stderr));
        (output.status.code(), output)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&std::fs::read_to_string(self.file()).unwrap()).unwrap()
    }
}

/// The arguments that set-up writes.
const RIGHT: [&str; 3] = ["--platform=ptrace", "--network=none", "--directfs=false"];

fn right_and(more: &[&str]) -> Value {
    RIGHT.iter().chain(more).copied().collect()
}

#[test]
fn the_arguments_of_the_runtime_are_compared_as_a_whole() {
    for right in [
        right_and(&[]),
        right_and(&["--debug", "--debug-log=/var/log/runsc/", "--oci-seccomp"]),
        json!(["-network=host", "--platform", "systrap", "--network", "none", "--directfs=false"]),
    ] {
        let (code, output) = Configuration::with_arguments(&right).call("check", &[]);
        assert_eq!(code, Some(0), "{right}: {}", text(&output.stdout));
    }
    for (wrong, named) in [
        (right_and(&["--network=host"]), "network is host"),
        (right_and(&["-network=sandbox"]), "network is sandbox"),
        (right_and(&["--network", "host"]), "network is host"),
        (right_and(&["--TESTONLY-unsafe-nonroot"]), "TESTONLY-unsafe-nonroot"),
        (right_and(&["--TESTONLY-allow-packet-endpoint-write=true"]), "TESTONLY"),
        (right_and(&["--host-uds=all"]), "host-uds=all"),
        (right_and(&["--directfs"]), "directfs"),
        (right_and(&["--directfs=true", "--directfs=false"]), "directfs=true"),
        (right_and(&["--ignore-cgroups"]), "ignore-cgroups"),
        (right_and(&["--rootless"]), "rootless"),
        (right_and(&["--nvproxy=true"]), "nvproxy"),
        (right_and(&["--a-flag-of-the-future"]), "a-flag-of-the-future"),
        (right_and(&["do"]), "do is not"),
        (right_and(&["--platform=none"]), "platform is none"),
        (json!(["--platform=ptrace", "--network=none"]), "--directfs=false is missing"),
        (json!([]), "network is the default"),
        (json!(null), "network is the default"),
    ] {
        let (code, output) = Configuration::with_arguments(&wrong).call("check", &[]);
        assert_eq!(code, Some(1), "{wrong}");
        assert!(text(&output.stdout).contains(named), "{wrong}: {}", text(&output.stdout));
    }
}

#[test]
fn a_requested_platform_is_the_only_right_one() {
    let configuration = Configuration::with_arguments(&right_and(&[]));
    assert_eq!(configuration.call("check", &["--platform", "ptrace"]).0, Some(0));
    assert_eq!(configuration.call("check", &["--platform", "systrap"]).0, Some(1));
}

#[test]
fn a_file_that_cannot_be_used_is_refused_with_a_message_and_not_changed() {
    for (file, message) in [
        (r#"{"runtimes": {"runsc": {"path": "/x", "runtimeArgs": ["--a", 5]}}}"#, "5 in runsc's"),
        (r#"{"runtimes": {"runsc": {"path": "/x", "runtimeArgs": [null]}}}"#, "null in runsc's"),
        (r#"{"runtimes": {"runsc": {"path": "/x", "runtimeArgs": "--a"}}}"#, "not a list"),
        (r#"{"runtimes": {"runsc": {"path": 7}}}"#, "path is 7"),
        (r#"{"runtimes": {"runsc": 7}}"#, "not an object"),
        (r#"{"runtimes": []}"#, "object of runtimes"),
        ("[]", "not an object"),
        ("{", "line 1"),
        (r#"{"dns": ["1.1.1.1"], "dns": []}"#, r#"has the member "dns" twice"#),
        (r#"{"a": {"b": 1, "b": 2}}"#, r#"has the member "b" twice"#),
        (r#"{"runtimes": {"runsc": {}, "runsc": {}}}"#, r#"has the member "runsc" twice"#),
        ("\u{feff}{}", "not valid JSON"),
    ] {
        for command in ["check", "merge", "path"] {
            let configuration = Configuration::new(file);
            let (code, output) = configuration.call(command, &["--platform", "ptrace"]);
            assert_eq!(code, Some(2), "{command} {file}");
            let stderr = text(&output.stderr);
            assert!(stderr.contains(message) && stderr.contains("nothing was changed"), "{stderr}");
            assert_eq!(std::fs::read_to_string(configuration.file()).unwrap(), file);
        }
    }
}

#[test]
fn merging_removes_what_weakens_and_preserves_what_does_not() {
    let arguments = right_and(&["--debug", "--network=host", "--host-uds=all", "--directfs"]);
    let configuration = Configuration::with_arguments(&arguments);
    let (code, output) = configuration.call("merge", &["--platform", "ptrace"]);
    assert_eq!(code, Some(0), "{}", text(&output.stderr));
    let file = configuration.json();
    assert_eq!(file["runtimes"]["runsc"]["runtimeArgs"], right_and(&["--debug=true"]));
    assert_eq!(file["log-level"], "warn");
    assert_eq!(configuration.call("check", &[]).0, Some(0));
    let copies = std::fs::read_dir(configuration.dir.path()).unwrap().flatten();
    let name = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let copies = copies.filter(|entry| name(entry).starts_with("daemon.json."));
    assert_eq!(copies.count(), 1, "the old file is stored beside it");
}

#[test]
fn an_older_program_is_replaced_in_the_entry_and_a_newer_one_is_not() {
    let configuration = Configuration::with_arguments(&right_and(&[]));
    let registered = |name: &str| {
        let mut file = configuration.json();
        file["runtimes"]["runsc"]["path"] = json!(configuration.program(name));
        std::fs::write(configuration.file(), file.to_string()).unwrap();
        let wanted = if name == "older" { "newer" } else { "older" };
        let wanted = configuration.program(wanted);
        configuration.call("merge", &["--platform", "ptrace", "--path", &wanted]);
        configuration.json()["runtimes"]["runsc"]["path"].clone()
    };
    assert_eq!(registered("older"), configuration.program("newer"));
    assert_eq!(registered("newer"), configuration.program("newer"));
}

/// Set-up's plan for a user with this directory as home, and these directories as PATH.
fn plan(home: &Path, path: &str) -> String {
    let output = Command::new("/bin/bash")
        .arg(setup_dir().join("setup.sh"))
        .arg("--check")
        .env_clear()
        .envs([("HOME", home.to_str().unwrap()), ("PATH", path)])
        .env("CRUCIBLE_DAEMON_JSON", home.join("daemon.json"))
        .output()
        .unwrap();
    let plan = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{plan}");
    plan
}

/// Debian's own cargo would be found in `/usr/bin`; without it the plan names what is fetched.
#[test]
fn the_plan_names_what_is_fetched_and_what_stays_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let plan = plan(home.path(), "/usr/bin:/bin");
    assert!(plan.contains("daemon.json with the runtime runsc"), "{plan}");
    if plan.contains("runsc, release") {
        assert!(plan.contains("sha256 3c25a5130dfac2f7") || plan.contains("sha256 8e13e0625a09"));
    }
    if Path::new("/usr/bin/cargo").exists() {
        return;
    }
    for part in [
        "fetch rustup-init 1.28.2 from static.rust-lang.org, sha256 ",
        "without a default toolchain and without a change to PATH",
        "install the toolchain 1.95.0 with rustup",
        "the default toolchain stays as it is (there is no cargo)",
    ] {
        assert!(plan.contains(part), "{part} is missing in:\n{plan}");
    }
    assert!(!home.path().join(".cargo").exists(), "a plan changes nothing");
}

/// rustup answers for the toolchain that this repository pins, and for no other.
#[test]
fn a_rustup_without_the_pinned_toolchain_gets_it_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let bin = home.path().join(".cargo/bin");
    std::fs::create_dir_all(&bin).unwrap();
    for name in ["cargo", "rustup"] {
        let script = "#!/bin/sh\necho no toolchain >&2\nexit 1\n";
        std::fs::write(bin.join(name), script).unwrap();
        std::fs::set_permissions(bin.join(name), std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let plan = plan(home.path(), &path);
    assert!(plan.contains("install the toolchain 1.95.0 with rustup"), "{plan}");
    assert!(!plan.contains("rustup-init"), "{plan}");
}

/// Attack: another machine answers in place of a server, and its answer is executed as this user.
#[test]
fn no_script_runs_what_it_reads_from_the_network_or_changes_the_default_toolchain() {
    let dir = setup_dir().parent().unwrap().to_owned();
    let mut scripts = Vec::new();
    for dir in [dir.clone(), dir.join("setup"), dir.join("vm"), dir.join("vm/guest")] {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "sh") {
                scripts.push(path);
            }
        }
    }
    assert!(scripts.len() > 8, "{scripts:?}");
    for script in scripts {
        let source = std::fs::read_to_string(&script).unwrap().replace("\\\n", " ");
        for line in source.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let fetches =
                ["curl ", "wget ", "download-file"].iter().any(|word| line.contains(word));
            let runs = ["| sh", "| bash", "|sh", "|bash", "<(", "eval "];
            assert!(
                !(fetches && runs.iter().any(|word| line.contains(word))),
                "{}: {line}",
                script.display()
            );
            assert!(!line.contains("rustup default"), "{}: {line}", script.display());
        }
    }
}
