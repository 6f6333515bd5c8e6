//! A worker's user data, as far as this machine goes: `install.sh` with bucket and parameters of moto, a metadata service
//! of version 2, and the real `doctor`. What it would change of the machine itself is recorded instead.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use infrastructure_checks::{Moto, infrastructure, text, tool, workspace};

/// A metadata service: credentials for what has a token, and nothing for version 1.
struct Metadata {
    process: Child,
    url: String,
}

impl Metadata {
    fn start() -> Self {
        let script = infrastructure().join("rehearsal/metadata.py");
        let mut python = Command::new("python3");
        let mut process = python.arg(script).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { process, url: line.trim().to_owned() }
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// A machine that is being installed.
struct Machine {
    moto: Moto,
    metadata: Metadata,
    directory: tempfile::TempDir,
    sha256: String,
}

const KEY: &str = "crk_0123456789abcdef0123456789abcdef0";

impl Machine {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["root/etc/crucible", "bin", "bundle/usr/local/bin"] {
            fs::create_dir_all(path(name)).unwrap();
        }
        fs::write(path("root/etc/crucible/environment"), "CRUCIBLE_ROLE=worker\n").unwrap();
        // What would change this machine is recorded.
        for name in ["systemctl", "dpkg", "useradd"] {
            let script = format!("#!/bin/sh\necho {name} \"$@\" >>{}\n", path("called").display());
            fs::write(path("bin").join(name), script).unwrap();
        }
        text(Command::new("chmod").args(["-R", "0755"]).arg(path("bin"))).unwrap();
        // The bundle has the real program by a link: with its debug symbols it is large.
        let program = workspace().join("target/debug/stage-10-frontier-events");
        assert!(program.exists(), "cargo build -p stage-10-frontier-events");
        let link = path("bundle/usr/local/bin/stage-10-frontier-events");
        std::os::unix::fs::symlink(program, link).unwrap();
        let bundle = path("bundle.tar.gz");
        text(Command::new("tar").arg("-C").arg(path("bundle")).arg("-czf").arg(&bundle).arg("."))
            .unwrap();
        let sha256 = text(Command::new("sha256sum").arg(&bundle)).unwrap()[..64].to_owned();
        let moto = Moto::start().unwrap();
        let script = format!(
            "import boto3\n\
             of = dict(endpoint_url='{}', region_name='eu-central-1')\n\
             s3 = boto3.client('s3', **of)\n\
             s3.create_bucket(Bucket='releases-here', CreateBucketConfiguration=dict(LocationConstraint='eu-central-1'))\n\
             s3.upload_file('{}', 'releases-here', 'releases/a.tar.gz')\n\
             boto3.client('ssm', **of).put_parameter(Name='/crucible/worker-key', Type='SecureString', Value='{KEY}')",
            moto.url(),
            bundle.display()
        );
        text(tool("python3").args(["-c", &script])).unwrap();
        Self { moto, metadata: Metadata::start(), directory, sha256 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the script with these settings in the place of the right ones.
    fn install(&self, settings: &[(&str, &str)]) -> Output {
        let search = format!("{}:{}", self.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("bash");
        command
            .arg(infrastructure().join("terraform/modules/worker/install.sh"))
            .env("PATH", search)
            .env("REGION", "eu-central-1")
            .env("BUCKET", "releases-here")
            .env("BUNDLE_KEY", "releases/a.tar.gz")
            .env("BUNDLE_SHA256", &self.sha256)
            .env("KEY_PARAMETER", "/crucible/worker-key")
            .env("S3", format!("{}/releases-here", self.moto.url()))
            .env("SSM", format!("{}/", self.moto.url()))
            .env("METADATA", &self.metadata.url)
            .env("ROOT", self.path("root"))
            .envs(settings.iter().copied());
        command.output().unwrap()
    }

    /// What the script would have done to the machine.
    fn called(&self) -> String {
        fs::read_to_string(self.path("called")).unwrap_or_default()
    }
}

/// The output of a run that has to fail, and must not have started the service.
fn refused(machine: &Machine, settings: &[(&str, &str)]) -> String {
    let output = machine.install(settings);
    assert!(!output.status.success(), "{output:?}");
    assert!(!machine.called().contains("systemctl"), "{}", machine.called());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_worker_is_installed_and_starts_only_with_a_proven_gvisor() {
    let machine = Machine::new();

    // Another bundle than that of the plan is not even unpacked.
    let error = refused(&machine, &[("BUNDLE_SHA256", &"ab".repeat(32))]);
    assert!(error.contains("the bundle does not have the hash of the plan"), "{error}");
    assert!(!machine.path("root/usr").exists());
    let error = refused(&machine, &[("KEY_PARAMETER", "/crucible/other")]);
    assert!(error.contains("/crucible/other cannot be read"), "{error}");
    // The first version of the metadata service has no answers, and a machine without a role no credentials.
    let wrong = format!("{}/v1", machine.metadata.url);
    let error = refused(&machine, &[("METADATA", &wrong)]);
    assert!(error.contains("the bundle cannot be fetched"), "{error}");
    // gVisor does not work.
    let error = refused(&machine, &[("CRUCIBLE_RUNSC", "/nonexistent/runsc")]);
    assert!(error.contains("gVisor is not proven: this machine takes no work"), "{error}");

    let output = machine.install(&[]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        printed.contains("ok       sandbox: a program ran and its isolation was verified"),
        "{printed}"
    );
    assert!(!printed.contains(KEY) && !String::from_utf8_lossy(&output.stderr).contains(KEY));
    let called = machine.called();
    let wanted = "systemctl daemon-reload\nsystemctl enable --now crucible-worker.service crucible-spot.service\n";
    assert!(called.ends_with(wanted), "{called}");
    let key = machine.path("root/etc/crucible/worker.key");
    assert_eq!(fs::read_to_string(&key).unwrap().trim(), KEY);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&key).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o400);
    let environment = fs::read_to_string(machine.path("root/etc/crucible/environment")).unwrap();
    let line = "CRUCIBLE_API_KEY_FILE=/etc/crucible/worker.key\n";
    assert_eq!(environment.matches(line).count(), 1, "{environment}");
}

#[test]
fn a_spot_notice_drains_the_worker() {
    let metadata = Metadata::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("systemctl");
    fs::write(&path, format!("#!/bin/sh\necho \"$@\" >{}/called\n", directory.path().display()))
        .unwrap();
    text(Command::new("chmod").arg("0755").arg(&path)).unwrap();
    // The service has the notice at the third question.
    let search = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    let mut script = Command::new("bash");
    script.arg(infrastructure().join("systemd/spot-notice.sh")).env("PATH", search);
    let printed = text(script.env("METADATA", &metadata.url).env("INTERVAL", "0.05")).unwrap();
    assert!(printed.contains("draining"), "{printed}");
    let called = fs::read_to_string(directory.path().join("called")).unwrap();
    assert_eq!(called, "stop crucible-worker.service\n");
}
