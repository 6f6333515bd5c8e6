//! The Python client of `infrastructure/clients/python`: installed like any package, and its own tests, against this
//! stage as it is deployed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::Server;

use crate::artifacts::deployed;
use crate::{sandboxes, stage};

/// The virtual environment that set-up has made.
const TOOLS: &str = "/opt/crucible/clients";

fn package() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infrastructure/clients/python")
}

fn tool(name: &str) -> Command {
    let path = Path::new(TOOLS).join("bin").join(name);
    assert!(path.exists(), "{} is missing: just setup --with-tests", path.display());
    let mut command = Command::new(path);
    // Nothing is written beside the sources.
    command.env("PYTHONDONTWRITEBYTECODE", "1").env_remove("PYTHONPATH");
    command
}

fn succeeded(what: &str, output: &Output) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let [out, error] = [text(&output.stdout), text(&output.stderr)];
    assert!(output.status.success(), "{what}: {}\n{out}\n{error}", output.status);
}

/// Installs the package into a directory of its own, from this checkout and the wheels that set-up has fetched.
fn installed(directory: &Path) -> PathBuf {
    let site = directory.join("site");
    let mut pip = tool("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    pip.args(["--root-user-action=ignore", "--no-index", "--find-links"])
        .arg(Path::new(TOOLS).join("wheels"));
    succeeded("pip install", &pip.arg("--target").arg(&site).arg(package()).output().unwrap());
    site
}

/// Runs tests of the package, which is in `site`.
fn tests(server: &Server, site: &Path, arguments: &[&str]) {
    let mut pytest = tool("pytest");
    pytest.args(["-q", "--no-header", "--tb=short"]).args(arguments).current_dir(package());
    pytest.env("PYTHONPATH", site).env("CRUCIBLE_URL", server.url());
    pytest.env("CRUCIBLE_STAGE", stage::BINARY).env_remove("CRUCIBLE_API_KEY");
    succeeded("pytest", &pytest.output().unwrap());
}

/// A virtual environment without anything, `pip install infrastructure/clients/python`, and a first program.
#[test]
fn the_package_installs_into_an_empty_environment() {
    let directory = tempfile::tempdir().unwrap();
    let server = stage::start(directory.path());
    let empty = directory.path().join("venv");
    let venv = tool("python3").args(["-m", "venv", "--without-pip"]).arg(&empty).output();
    succeeded("venv", &venv.unwrap());
    let mut pip = tool("python3");
    pip.args(["-m", "pip", "--python"]).arg(empty.join("bin/python3"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]);
    pip.args(["--no-index", "--find-links"]).arg(Path::new(TOOLS).join("wheels"));
    succeeded("pip install", &pip.arg(package()).output().unwrap());
    let program = "from crucible_client import Client\n\
                   print(Client().evaluate('print(6 * 7)').stdout.text, end='')";
    let mut first = Command::new(empty.join("bin/python3"));
    let first = first.args(["-c", program]).env("CRUCIBLE_URL", server.url()).output().unwrap();
    succeeded("the first program", &first);
    assert_eq!(String::from_utf8_lossy(&first.stdout), "42\n");
    let help = Command::new(empty.join("bin/crucible-humaneval")).arg("--help").output().unwrap();
    succeeded("crucible-humaneval", &help);
}

/// What needs no sandbox that stays: evaluations, batches, graders, one tool of the MCP server.
#[test]
fn evaluations_batches_and_graders_work_from_python() {
    let directory = tempfile::tempdir().unwrap();
    let server = deployed(directory.path()).start();
    tests(&server, &package().join("src"), &["-m", "not sandbox", "tests"]);
}

/// Clients, the provider of Inspect and the MCP server on sandboxes that stay.
#[test]
fn sandboxes_and_a_whole_inspect_task_work_from_python() {
    let directory = tempfile::tempdir().unwrap();
    let server = sandboxes::launch(directory.path()).start();
    // As it is installed: Inspect finds the provider by its entry point.
    let site = installed(directory.path());
    let arguments = ["-m", "sandbox", "--ignore=tests/test_inspect_self_check.py", "tests"];
    tests(&server, &site, &arguments);
}

/// Inspect's conformance tests: 44 of 44, and `ps` is there, without which some of them would pass for nothing.
#[test]
fn inspects_self_check_passes_as_a_whole() {
    let directory = tempfile::tempdir().unwrap();
    let server = sandboxes::launch(directory.path()).start();
    tests(&server, &package().join("src"), &["tests/test_inspect_self_check.py"]);
}
