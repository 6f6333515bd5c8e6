//! The banned list of `STYLE.md`, applied to this workspace. The rule itself, and a planted word
//! that it finds, are in `ladder::rules::language`.

use std::path::Path;

use ladder::rules::language::BannedList;
use ladder::support::workspace::Workspace;

use crate::architecture::files;

/// What is checked, besides the files in the root.
const CHECKED: [&str; 8] =
    ["shared", "stages", "tests", "book/builder", "book/tests", "infrastructure", ".ci", ".config"];
/// The kinds of files with comments, messages or names.
const ENDINGS: [&str; 10] =
    [".rs", ".sh", ".py", ".toml", ".yml", ".yaml", ".service", ".tf", "justfile", "Dockerfile"];
/// Records of output, and third-party data.
const EXEMPT: [&str; 3] = ["tests/transcripts", "/snapshots/", "/fixtures/"];

/// All files that are checked: their paths from the root, and their text.
fn checked(workspace: &Workspace) -> Vec<(String, String)> {
    let dirs = CHECKED.iter().map(|dir| workspace.root.join(dir));
    let mut found: Vec<_> = dirs.flat_map(|dir| files(workspace, &dir, &ENDINGS)).collect();
    for name in ["justfile", "Cargo.toml", "clippy.toml", "deny.toml"] {
        let text = std::fs::read_to_string(workspace.root.join(name)).unwrap();
        found.push((name.to_owned(), text));
    }
    found.retain(|(path, _)| !EXEMPT.iter().any(|exempt| path.contains(exempt)));
    found
}

#[test]
fn no_banned_word_is_left() {
    let workspace = Workspace::load().unwrap();
    let style = std::fs::read_to_string(workspace.root.join("STYLE.md")).unwrap();
    let list = BannedList::parse(&style).unwrap();
    let files = checked(&workspace);
    let found: Vec<_> = files.iter().flat_map(|(path, text)| list.violations(path, text)).collect();
    assert!(found.is_empty(), "{} banned words:\n{}", found.len(), found.join("\n"));
}

#[test]
fn the_list_itself_and_the_chapters_are_not_checked() {
    let paths: Vec<_> =
        checked(&Workspace::load().unwrap()).into_iter().map(|file| file.0).collect();
    for path in
        ["justfile", "shared/src/lib.rs", "tests/it/language.rs", "stages/08-openapi/openapi.yaml"]
    {
        let path = path.replace("tests/it", "tests/tests/it");
        assert!(paths.contains(&path), "{path} is not checked: {paths:#?}");
    }
    for path in &paths {
        assert!(
            !path.starts_with("book/src") && Path::new(path) != Path::new("STYLE.md"),
            "{path}"
        );
    }
}
