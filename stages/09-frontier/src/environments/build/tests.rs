//! Tests of the builder, which build small environments as root.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::super::definition::parse;
use super::*;

/// A builder that is not root builds nothing, and a test that then passed would have tested nothing.
fn require_root() {
    assert!(rustix::process::geteuid().is_root(), "run the tests of the builder as root");
}

const SMALL: &str = "description = 'small'\ncommand = ['/usr/bin/dash']\nfile = 'main.sh'\n";

/// The same description gives the same digest, in another directory and at another time.
#[test]
fn a_build_can_be_repeated() {
    require_root();
    let definition = parse(&format!("{SMALL}packages = ['dash', 'python3-minimal']"), "x").unwrap();
    let build = || {
        let dir = tempfile::tempdir().unwrap();
        let _guard = lock(dir.path()).unwrap();
        let record = build("small", &definition, dir.path()).unwrap();
        assert_eq!(Record::all(dir.path()).first(), Some(&record));
        let image = Record::image(dir.path(), "small", &record.digest);
        assert!(image.join("usr/bin/dash").exists() && !image.join("usr/share/doc").exists());
        let compiled = image.join("usr/lib/python3.11/__pycache__/os.cpython-311.pyc");
        assert!(compiled.exists(), "nothing was compiled");
        assert!(record.debian.iter().any(|package| package.starts_with("dash=")), "{record:?}");
        // Nothing is left of the work, and nothing after the removal.
        let left = || std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left(), 4);
        assert!(remove(dir.path(), "small").unwrap() && !remove(dir.path(), "small").unwrap());
        assert_eq!(left(), 1);
        record.digest
    };
    assert_eq!(build(), build());
}

/// A build that was killed leaves its directory; the next command that may change something removes it.
#[test]
fn what_a_killed_build_has_left_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join(".build-small-7/tree/usr")).unwrap();
    std::fs::create_dir(dir.path().join("kept")).unwrap();
    let _guard = lock(dir.path()).unwrap();
    assert!(!dir.path().join(".build-small-7").exists() && dir.path().join("kept").exists());
}

/// A server that has mounted an image keeps its files.
#[test]
fn an_image_in_use_loses_only_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let image = Record::image(dir.path(), "small", &format!("sha256:{}", "a".repeat(64)));
    std::fs::create_dir(&image).unwrap();
    std::fs::write(image.join("file"), "").unwrap();
    let used = File::open(&image).unwrap();
    used.lock_shared().unwrap();
    remove(dir.path(), "small").unwrap();
    let left = || {
        let entries = std::fs::read_dir(dir.path()).unwrap();
        entries.filter(|entry| entry.as_ref().unwrap().path().join("file").exists()).count()
    };
    assert!(!image.exists());
    assert_eq!(left(), 1);
    drop(lock(dir.path()).unwrap());
    assert_eq!(left(), 1, "a command has removed an image that is in use");
    drop(used);
    drop(lock(dir.path()).unwrap());
    assert_eq!(left(), 0);
}

/// What unpacks packages cannot write elsewhere: not to a file, not through a link, not by mounting again.
#[test]
fn a_build_writes_only_into_its_directory() {
    require_root();
    let (work, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let attack = "
        ln -s \"$OUTSIDE\" \"$1/link\"
        for path in \"$OUTSIDE/file\" \"$1/link/file\" /etc/crucible-attack /usr/crucible-attack /var/crucible-attack; do
          (echo x >\"$path\") 2>/dev/null && echo \"wrote $path\" >>\"$1/log\"
        done
        echo done >>\"$1/log\"";
    let script = SCRIPT.replace("\nbuild \"$1\"\n", attack);
    assert_ne!(script, SCRIPT);
    let mut bash = Command::new("bash");
    bash.args(["-c", &format!("{SETUP}\n{script}"), "build"]).arg(work.path());
    let output = bash.env("OUTSIDE", outside.path()).output().unwrap();
    let log = std::fs::read_to_string(work.path().join("log"));
    assert_eq!(log.unwrap_or_default(), "done\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

/// A wheel with these files, as `evil-1.0-py3-none-any.whl` in a directory; returns its requirement.
fn wheel(dir: &Path, files: &str) -> String {
    let path = dir.join("evil-1.0-py3-none-any.whl");
    let program = include_str!("../../../tests/wheel.py");
    let made =
        Command::new("python3").args(["-c", program]).arg(&path).arg(files).status().unwrap();
    assert!(made.success());
    let digest = Sha256::digest(std::fs::read(&path).unwrap());
    let digest = HEXLOWER.encode(&digest);
    format!("evil==1.0 --hash=sha256:{digest}")
}

/// Builds an environment with a wheel of `dir`, as if that directory was the registry.
fn build_with(dir: &Path, requirement: &str) -> Result<PathBuf, EnvBuildError> {
    std::fs::write(
        dir.join("list"),
        format!("package python3-minimal\nrequirement {requirement}\n"),
    )
    .unwrap();
    let script = format!(
        "set -euo pipefail\nshopt -s inherit_errexit\nexport PIP_FIND_LINKS={} PIP_NO_INDEX=1\n{SETUP}\n{SCRIPT}",
        dir.display()
    );
    let status = Command::new("bash").args(["-c", &script, "build"]).arg(dir).status().unwrap();
    if status.success() { Ok(dir.join("tree")) } else { Err(EnvBuildError::Failed) }
}

/// The start-up code of a package is in the environment, and did not run while that was built.
#[test]
fn no_code_of_a_package_runs_in_a_build() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let mark = "import os; os.makedirs(\\'/var/ran\\')";
    let files =
        format!("{{'evil.pth': '{mark}', 'sitecustomize.py': '{mark}', 'evil.py': '{mark}'}}");
    let requirement = wheel(dir.path(), &files);
    let tree = build_with(dir.path(), &requirement).unwrap();
    assert!(tree.join("usr/lib/python3/dist-packages/evil.pth").exists());
    assert!(!tree.join("var/ran").exists() && !Path::new("/var/ran").exists());
}

/// A wheel with a name that climbs out, and one that is not the pinned one, are not unpacked.
#[test]
fn a_wheel_that_climbs_out_or_was_exchanged_is_refused() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let requirement = wheel(dir.path(), "{'../../../../../../../var/tmp/crucible-evil': 'x'}");
    assert!(build_with(dir.path(), &requirement).is_err());
    assert!(!Path::new("/var/tmp/crucible-evil").exists());
    let other = format!("evil==1.0 --hash=sha256:{}", "0".repeat(64));
    wheel(dir.path(), "{'evil.py': ''}");
    std::fs::remove_dir_all(dir.path().join("tree")).ok();
    assert!(build_with(dir.path(), &other).is_err());
}

/// A build whose result is not the pinned one is no environment, and one by another builder is built anew.
#[test]
fn a_result_can_be_pinned() {
    require_root();
    let dir = tempfile::tempdir().unwrap();
    let parsed = |pin: &str| parse(&format!("{SMALL}packages = ['dash']\n{pin}"), "x").unwrap();
    let _guard = lock(dir.path()).unwrap();
    let built = build("small", &parsed(""), dir.path()).unwrap();
    assert_eq!(built.builder, builder());
    let other = parsed(&format!("digest = 'sha256:{}'", "0".repeat(64)));
    let error = build("small", &other, dir.path()).unwrap_err();
    assert!(matches!(&error, EnvBuildError::Digest { built: found, .. } if *found == built.digest));
    // The one that was there is still there.
    assert_eq!(Record::all(dir.path())[0].digest, built.digest);
    let version = built.debian.iter().find(|package| package.starts_with("dash=")).unwrap();
    let pinned = |version: &str| {
        let text = format!("{SMALL}packages = ['{version}']\ndigest = '{}'\n", built.digest);
        build("small", &parse(&text, "x").unwrap(), dir.path())
    };
    assert_eq!(pinned(version).unwrap().digest, built.digest);
    assert!(matches!(pinned("dash=0.1-1"), Err(EnvBuildError::Failed)));
}
