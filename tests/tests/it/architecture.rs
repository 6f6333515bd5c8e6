//! The architecture rules, applied to this workspace: imports, lengths of files, what every file
//! must have. The rules themselves, and bad examples of each, are in `ladder::rules::architecture`.

use std::path::{Path, PathBuf};

use ladder::rules::architecture;
use ladder::support::stages::{self, number_of};
use ladder::support::workspace::Workspace;

// ANCHOR: budgets
/// Lines of a `main.rs`: the wiring of a stage fits one screen, everything else is a layer.
const MAIN_LINES: usize = 60;
/// Lines of stage 1, which a newcomer reads from top to bottom before anything else.
const STAGE_ONE_LINES: usize = 110;
/// The only dependencies of stage 1.
const STAGE_ONE_USES: [&str; 6] =
    ["bytes", "http-body-util", "hyper", "hyper-util", "serde_json", "tokio"];
/// Lines of code in `shared`, without comments, blank lines and tests. Every reader needs it first,
/// so it grows only when three stages need the same thing.
const SHARED_CODE_LINES: usize = 1800;
/// Lines of a file: a longer one has more than one idea.
const FILE_LINES: usize = 350;
// ANCHOR_END: budgets
/// Files that are longer nevertheless, each with the reason.
const LONG_FILES: [(&str, &str); 0] = [];

fn workspace() -> Workspace {
    Workspace::load().unwrap()
}

/// All files below `directory` with one of these endings, by their paths from the root of the
/// workspace, with their text.
pub(crate) fn files(workspace: &Workspace, dir: &Path, endings: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                dirs.push(path);
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                let from_root = path.strip_prefix(&workspace.root).unwrap();
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((from_root.display().to_string(), text));
            }
        }
    }
    found.sort();
    found
}

fn all_files(endings: &[&str]) -> Vec<(String, String)> {
    let workspace = workspace();
    let found = files(&workspace, &workspace.root, endings);
    // A walk that finds nothing would pass every test below.
    assert!(found.iter().any(|(path, _)| path == "tests/tests/it/architecture.rs"), "{found:?}");
    found
}

fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn imports_run_downwards_only() {
    let packages = workspace().packages;
    assert!(packages.iter().any(|package| package.name == "shared"), "{packages:?}");
    assert_none(&architecture::import_violations(&packages));
}

#[test]
fn stages_are_registered_by_their_names() {
    let workspace = workspace();
    assert_none(&architecture::naming_violations(&workspace.packages, &workspace.root));
    let dirs = std::fs::read_dir(workspace.root.join("stages")).unwrap().count();
    assert_eq!(stages::all().unwrap().len(), dirs, "each directory in stages/ is a stage");
}

#[test]
fn the_wiring_of_a_stage_fits_one_screen() {
    let mut violations = Vec::new();
    for stage in stages::all().unwrap().iter().filter(|stage| stage.number > 1) {
        let main = std::fs::read_to_string(stage.dir.join("src/main.rs")).unwrap();
        let lines = main.lines().count();
        if lines > MAIN_LINES {
            violations.push(format!("{}: main.rs has {lines} lines, not {MAIN_LINES}", stage.name));
        }
    }
    assert_none(&violations);
}

#[test]
fn stage_one_is_one_short_file_on_few_crates() {
    let workspace = workspace();
    let package =
        workspace.packages.iter().find(|package| number_of(&package.name) == Some(1)).unwrap();
    let sources = files(&workspace, &package.dir().join("src"), &[".rs"]);
    let [(path, main)] = sources.as_slice() else { panic!("not one file but {sources:?}") };
    assert!(path.ends_with("main.rs"), "{path}");
    let lines = main.lines().count();
    assert!(lines <= STAGE_ONE_LINES, "{lines} lines, not {STAGE_ONE_LINES}");
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind.is_none());
    let surplus: Vec<_> = normal
        .map(|dependency| dependency.name.as_str())
        .filter(|name| !STAGE_ONE_USES.contains(name))
        .collect();
    assert!(surplus.is_empty(), "stage 1 also depends on {surplus:?}");
}

#[test]
fn shared_stays_small() {
    let workspace = workspace();
    let sources = files(&workspace, &workspace.root.join("shared/src"), &[".rs"]);
    let sources = sources.iter().filter(|(path, _)| !path.ends_with("tests.rs"));
    let lines: usize = sources.map(|(_, source)| architecture::code_lines(source)).sum();
    assert!((500..=SHARED_CODE_LINES).contains(&lines), "{lines} lines of code in shared");
}

#[test]
fn every_file_says_first_what_it_is() {
    let violations: Vec<_> = all_files(&[".rs"])
        .into_iter()
        .filter_map(|(path, source)| {
            Some(format!("{path} {}", architecture::opening_violation(&source)?))
        })
        .collect();
    assert_none(&violations);
}

#[test]
fn nothing_unfinished_is_left_over() {
    let found = |(path, source): (String, String)| {
        let violations = architecture::leftover_violations(&source);
        violations.into_iter().map(move |error| format!("{path}: {error}")).collect::<Vec<_>>()
    };
    let violations: Vec<_> = all_files(&[".rs", ".sh", ".py", ".js", ".ts", ".md", ".toml"])
        .into_iter()
        .flat_map(found)
        .collect();
    assert_none(&violations);
}

#[test]
fn files_stay_short() {
    let endings = [".rs", ".sh", ".py", ".js", ".ts", ".css", ".html"];
    let long: Vec<(PathBuf, usize)> = all_files(&endings)
        .into_iter()
        .map(|(path, source)| (PathBuf::from(path), source.lines().count()))
        .filter(|(_, lines)| *lines > FILE_LINES)
        .collect();
    let http_probe = |path: &Path| LONG_FILES.iter().any(|(known, _)| path == Path::new(known));
    let mut violations: Vec<_> = long
        .iter()
        .filter(|(path, _)| !http_probe(path))
        .map(|(path, lines)| format!("{} has {lines} lines, not {FILE_LINES}", path.display()))
        .collect();
    for (known, reason) in LONG_FILES {
        assert!(!reason.is_empty(), "{known} is listed without a reason");
        if !long.iter().any(|(path, _)| path == Path::new(known)) {
            violations.push(format!("{known} is listed as long, and is not"));
        }
    }
    assert_none(&violations);
}
