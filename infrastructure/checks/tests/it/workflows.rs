//! The workflows of the forge, by two linters, and the scan for secrets that one of them runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use infrastructure_checks::{infrastructure, text, tool, workspace};

fn workflows() -> Vec<PathBuf> {
    let directory = workspace().join(".github/workflows");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.collect()
}

/// What both linters find, the second one in all that it has an opinion on.
fn lint(files: &[PathBuf]) -> anyhow::Result<()> {
    text(tool("actionlint").args(files))?;
    text(tool("zizmor").args(["--offline", "--persona=pedantic", "--no-progress"]).args(files))?;
    Ok(())
}

/// What the linters say about a workflow with these texts replaced.
fn changed(changes: &[(&str, &str)]) -> String {
    let mut ci = std::fs::read_to_string(workspace().join(".github/workflows/ci.yml")).unwrap();
    for (find, replace) in changes {
        assert!(ci.contains(find), "{find}");
        ci = ci.replacen(find, replace, 1);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ci.yml");
    std::fs::write(&path, ci).unwrap();
    lint(&[path]).unwrap_err().to_string()
}

#[test]
fn the_workflows_are_sound() {
    lint(&workflows()).unwrap();
    // Of security, by the second linter.
    let said = changed(&[
        ("@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2", "@v4"),
        ("permissions: {}", "permissions: write-all"),
        ("persist-credentials: false", "fetch-depth: 1"),
    ]);
    for found in ["unpinned-uses", "excessive-permissions", "artipacked"] {
        assert!(said.contains(found), "{found}: {said}");
    }
    // Of form, by the first.
    let said = changed(&[("bash .ci/run", "echo ${{ githob.head_ref }}"), ("runs-on:", "run-on:")]);
    for found in ["githob", "run-on"] {
        assert!(said.contains(found), "{found}: {said}");
    }
}

/// What a workflow runs is what a developer runs: recipes, the gate, and set-up.
#[test]
fn the_workflows_run_recipes() {
    let recipes = std::fs::read_to_string(workspace().join("justfile")).unwrap();
    let mut count = 0;
    for file in workflows() {
        let text = std::fs::read_to_string(&file).unwrap();
        for command in text.lines().filter_map(|line| line.trim().strip_prefix("run: ")) {
            count += 1;
            let words: Vec<_> = command.split(' ').collect();
            let known = match words.as_slice() {
                ["just", recipe] => {
                    [":", " *"].iter().any(|end| recipes.contains(&format!("\n{recipe}{end}")))
                }
                ["bash", script, ..] => workspace().join(script).exists(),
                _ => false,
            };
            assert!(known, "{command}");
        }
    }
    assert!(count >= 6, "{count}");
}

fn scan(arguments: &[&str], directory: &Path) -> anyhow::Result<String> {
    let mut script = Command::new("bash");
    script.arg(infrastructure().join("secrets.sh")).args(arguments).current_dir(directory);
    text(&mut script)
}

/// The whole repository takes a minute: `just secrets`, in a job of its own.
#[test]
fn what_is_deployed_has_no_secrets() {
    let printed =
        scan(&["infrastructure/terraform", "infrastructure/kubernetes", ".github"], &workspace())
            .unwrap();
    assert!(printed.contains(" files"), "{printed}");
    // Put together here, so that this file has none.
    let planted = [
        format!("key = \"{}{}\"\n", "AKIA", "QWERTYUIOPASDFGH"),
        format!("token: {}_{}\n", "ghp", "a1".repeat(18)),
        format!(
            "-----BEGIN {0} KEY-----\n{1}\n-----END {0} KEY-----\n",
            "RSA PRIVATE",
            "MIIEow9x".repeat(8)
        ),
    ];
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("settings.yaml");
    std::fs::write(&path, planted.concat()).unwrap();
    let found =
        scan(&["--file", path.to_str().unwrap()], directory.path()).unwrap_err().to_string();
    for kind in ["AWS Access Key", "GitHub Token", "Private Key"] {
        assert!(found.contains(kind), "{found}");
    }
}

#[test]
fn state_and_values_of_a_deployment_stay_out_of_git() {
    let directory = infrastructure().join("terraform");
    for name in [
        "terraform.tfstate",
        "terraform.tfstate.backup",
        "terraform.tfvars",
        ".terraform/a",
        "api.zip",
    ] {
        let mut git = Command::new("git");
        git.args(["check-ignore", "--quiet", name]).current_dir(&directory);
        assert!(git.status().unwrap().success(), "{name}");
    }
    let mut git = Command::new("git");
    git.args(["check-ignore", "--quiet", "main.tf"]).current_dir(&directory);
    assert!(!git.status().unwrap().success());
}
