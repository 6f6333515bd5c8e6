//! An environment with a package that has start-up code, on every engine that can run it: the operator has chosen
//! the package, and its code runs in each sandbox, before the program. It reaches no other evaluation.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::{Client, Server};
use serde_json::{Value, json};
use sha2::Digest as _;

use crate::artifacts::deployed;
use crate::stage;

/// The wheel: code that Python executes at its start, and code that a command would execute.
const FILES: &str = r##"{
    'evil.pth': "import evil_start\n",
    'evil_start.py': """
import os
for directory in ('/tmp', '/var/tmp', '/dev/shm', '/output', '/run', '/usr/lib'):
    try:
        open(f'{directory}/left-{os.urandom(8).hex()}', 'w').close()
    except OSError:
        pass
""",
    'sitecustomize.py': "import sys; sys.started_by_a_package = True\n",
    'usercustomize.py': "import sys; sys.another_hook = True\n",
    'evil_entry.py': "import sys; sys.entry_point_ran = True\ndef main(): pass\n",
    'evil-1.0.dist-info/entry_points.txt': "[console_scripts]\nevil = evil_entry:main\n",
    'evil-1.0.data/scripts/evil-script': "#!python\nprint('ran')\n",
}"##;
/// Prints what it finds of this start-up code and of programs before it, and leaves start-up code of its own.
const PROGRAM: &str = r"
import glob, json, os, site, sys
found = {
    'started': hasattr(sys, 'started_by_a_package'),
    'hook': hasattr(sys, 'another_hook'),
    'entry': hasattr(sys, 'entry_point_ran'),
    'commands': [path for path in ('/usr/bin/evil', '/usr/bin/evil-script', '/usr/local/bin/evil') if os.path.exists(path)],
    'of_a_package': sorted(os.path.basename(path) for path in glob.glob('/*/left-*') + glob.glob('/*/*/left-*')),
    'of_a_program': hasattr(sys, 'left_by_a_program'),
    'written': [],
}
for directory in {*site.getsitepackages(), site.getusersitepackages(), *sys.path[1:], '/tmp', '/dev/shm', '/output'}:
    for name in ('sitecustomize.py', 'usercustomize.py', 'left.pth'):
        try:
            os.makedirs(directory, exist_ok=True)
            open(f'{directory}/{name}', 'w').write('import sys; sys.left_by_a_program = True\n')
            found['written'].append(f'{directory}/{name}')
        except OSError:
            pass
print(json.dumps(found))
";

/// An environment `evil` in a directory of its own, with the package's wheel in the place of a registry.
struct Site {
    directory: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let site = Self { directory };
        let wheel = site.path("evil-1.0-py3-none-any.whl");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wheel.py");
        let made = Command::new("python3").arg(script).arg(&wheel).arg(FILES).status().unwrap();
        assert!(made.success());
        let digest = sha2::Sha256::digest(std::fs::read(&wheel).unwrap());
        let digest = data_encoding::HEXLOWER.encode(&digest);
        let description = format!(
            "description = 'a package with start-up code'\npackages = ['python3', 'python3-distutils']\n\
             requirements = ['evil==1.0 --hash=sha256:{digest}']\n\
             command = ['/usr/bin/python3']\nfile = 'main.py'\n[variables]\nEVIL = \"it's \\\"a\\\" variable\"\n"
        );
        std::fs::create_dir(site.path("files")).unwrap();
        std::fs::write(site.path("files/evil.toml"), description).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn env(&self, words: &[&str]) -> Output {
        let mut command = Command::new(stage::BINARY);
        command.arg("env").args(words);
        command.arg("--environments-dir").arg(self.path("environments"));
        command.arg("--environment-files").arg(self.path("files"));
        // What a registry would be.
        command.env("PIP_FIND_LINKS", self.directory.path()).env("PIP_NO_INDEX", "1");
        let output = command.output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {error}");
        output
    }

    fn start(&self, engine: &str) -> Server {
        let launch = deployed(self.directory.path()).args(["--warm-environments", "1"]);
        let launch = launch.args(["--engine", engine, "--environments-dir"]);
        launch.arg(self.path("environments")).start()
    }
}

/// The image of the environment in Docker, if there is one.
fn image(digest: &str) -> Option<String> {
    let name = format!("crucible/environment-evil:{}", digest.trim_start_matches("sha256:"));
    let found = Command::new("docker").args(["image", "inspect", &name]).output().unwrap();
    found.status.success().then_some(name)
}

async fn run(client: &Client, code: &str) -> Value {
    let body = json!({ "code": code, "environment": "evil", "timeout_seconds": 60 });
    let ended = client.eval(&body).await;
    assert_eq!(ended["outcome"], "exited", "{ended}");
    ended
}

#[tokio::test]
async fn start_up_code_of_a_package_or_a_program_reaches_no_other_evaluation() {
    let site = Site::new();
    let digest = String::from_utf8(site.env(&["build", "evil"]).stdout).unwrap();
    let digest = digest.trim().strip_prefix("evil\t").unwrap().to_owned();
    assert!(image(&digest).is_some(), "Docker has no image of {digest}");
    for engine in ["gvisor", "gvisor-docker", "docker"] {
        let server = site.start(engine);
        let client = server.client();
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            let ended = run(&client, PROGRAM).await;
            assert_eq!(ended["sandbox"]["image_digest"], digest.as_str(), "{engine}");
            let found: Value =
                serde_json::from_str(ended["stdout"]["text"].as_str().unwrap()).unwrap();
            assert_eq!(found["started"], true, "{engine}: {found}");
            for absent in ["entry", "of_a_program"] {
                assert_eq!(found[absent], false, "{engine}: {found}");
            }
            assert_eq!(found["commands"], json!([]), "{engine}: {found}");
            // It left something in its own sandbox, and nothing of that is in another one.
            let marks = found["of_a_package"].as_array().unwrap();
            assert!(!marks.is_empty(), "{engine}: {found}");
            for mark in marks {
                assert!(seen.insert(mark.to_string()), "{engine}: {mark} is in two evaluations");
            }
            let written = found["written"].as_array().unwrap();
            assert!(!written.is_empty(), "{engine}: {found}");
            let in_image = |path: &&Value| path.as_str().unwrap().starts_with("/usr");
            assert_eq!(written.iter().find(in_image), None, "{engine}: {found}");
        }
        let ended = run(&client, "import os; print(os.environ['EVIL'], len(os.environ))").await;
        let text = ended["stdout"]["text"].as_str().unwrap();
        assert!(text.starts_with("it's \"a\" variable "), "{engine}: {text}");
        drop(server);
    }
    // Again: what is there is not built again; and the image goes with the environment.
    site.env(&["build", "--if-missing", "evil"]);
    site.env(&["remove", "evil"]);
    assert_eq!(image(&digest), None);
}
