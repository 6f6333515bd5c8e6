//! Architecture rules, as functions that report violations.
//!
//! `tests/it/architecture.rs` applies them to this workspace. Here each is shown a bad example,
//! because a rule that finds nothing might be unable to.
//!
//! They read text, not syntax: a comment inside a string would deceive them. They protect against
//! mistakes, not against intent.

use std::path::Path;

use crate::support::stages::number_of;
use crate::support::workspace::{Dependency, Package};

/// Members that no other member may depend on.
const TOP_LEVEL: [&str; 2] = ["ladder", "crucible-book"];
/// The crate that tests share. It depends on `shared` alone.
const HARNESS: &str = "harness";

/// Imports run downwards only: `shared` depends on no member, stage NN on `shared` and lower
/// stages, and no member on the ladder or the book. Dev-dependencies are checked as well, with one
/// exception: a stage's tests may use the harness.
pub fn import_violations(packages: &[Package]) -> Vec<String> {
    let mut violations = Vec::new();
    for package in packages {
        for Dependency { name, kind } in &package.dependencies {
            let in_tests = name == HARNESS && kind.as_deref() == Some("dev");
            let member = packages.iter().any(|member| member.name == *name);
            if !member || (in_tests && number_of(&package.name).is_some()) {
                continue;
            }
            let upwards = match (number_of(&package.name), number_of(name)) {
                (Some(own), Some(other)) => other >= own,
                (Some(_), None) => name != "shared",
                (None, _) if package.name == HARNESS => name != "shared",
                (None, _) => package.name == "shared",
            };
            if upwards || TOP_LEVEL.contains(&name.as_str()) {
                violations.push(format!("{} may not depend on {name}", package.name));
            }
        }
    }
    violations
}

/// The member `stage-NN-name` is in `stages/NN-name`, and the numbers go 1, 2, 3 without a gap.
pub fn naming_violations(packages: &[Package], root: &Path) -> Vec<String> {
    let mut violations = Vec::new();
    let mut numbers = Vec::new();
    for package in packages {
        let dir = package.dir().strip_prefix(root).unwrap_or(package.dir());
        let in_stages = dir.parent() == Some(Path::new("stages"));
        let expected = dir.file_name().map(|name| format!("stage-{}", name.to_string_lossy()));
        let number = number_of(&package.name);
        if (in_stages || number.is_some())
            && !(in_stages && number.is_some() && expected.as_ref() == Some(&package.name))
        {
            let dir = dir.display();
            violations.push(format!("{} in {dir}: stages/NN-name is stage-NN-name", package.name));
        }
        numbers.extend(number);
    }
    numbers.sort_unstable();
    if !numbers.iter().copied().eq((1..).take(numbers.len())) {
        violations.push(format!("the stages are numbered {numbers:?}"));
    }
    violations
}

/// Lines of Rust that are neither blank nor a comment nor part of a test module. Counts on rustfmt:
/// the module's closing brace stands at the beginning of a line.
pub fn code_lines(source: &str) -> usize {
    let mut lines = source.lines().peekable();
    let mut count = 0;
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" && lines.peek().is_some_and(|next| next.starts_with("mod ")) {
            let one_line = lines.next().is_some_and(|next| next.ends_with(';'));
            if !one_line {
                lines.by_ref().find(|line| *line == "}");
            }
        } else if !line.trim().is_empty() && !line.trim_start().starts_with("//") {
            count += 1;
        }
    }
    count
}

/// Every file opens with a module comment.
pub fn opening_violation(source: &str) -> Option<String> {
    let opens = source.starts_with("//! ");
    (!opens).then(|| "does not open with a module comment, `//! `".to_owned())
}

/// Leftovers of work in progress.
pub fn leftover_violations(source: &str) -> Vec<String> {
    // Split, so that this file does not find itself.
    const MARKS: [&str; 7] = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("dbg", "!("),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ig", "nore"),
    ];
    let mut violations = Vec::new();
    for (number, line) in (1..).zip(source.lines()) {
        if let Some(mark) = MARKS.iter().find(|mark| line.contains(**mark)) {
            violations.push(format!("line {number} has {mark}"));
        }
        if is_commented_out(line) {
            violations.push(format!("line {number} is code in a comment: {}", line.trim()));
        }
    }
    violations
}

/// Whether a line is an import, an include or a declaration that was commented out.
fn is_commented_out(line: &str) -> bool {
    let line = line.trim();
    let hidden_in_a_page = line.starts_with("<!--") && line.contains("{{#");
    let Some(comment) = line.strip_prefix("//") else { return hidden_in_a_page };
    // Documentation shows code on purpose.
    if comment.starts_with(['/', '!']) {
        return false;
    }
    let comment = comment.trim();
    let begins = ["use ", "pub ", "mod ", "let ", "fn ", "include!", "include_str!", "#["];
    begins.iter().any(|begin| comment.starts_with(begin)) && comment.ends_with([';', '{', ']'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, dir: &str, uses: &[&str]) -> Package {
        let dependency = |name: &&str| Dependency { name: (*name).to_owned(), kind: None };
        Package {
            name: name.to_owned(),
            manifest_path: Path::new("/w").join(dir).join("Cargo.toml"),
            dependencies: uses.iter().map(dependency).collect(),
        }
    }

    fn house(uses: [&[&str]; 4]) -> Vec<Package> {
        let [shared, two, three, ladder] = uses;
        vec![
            package("shared", "shared", shared),
            package("stage-02-queue", "stages/02-queue", two),
            package("stage-03-monitoring", "stages/03-monitoring", three),
            package("ladder", "tests", ladder),
        ]
    }

    #[test]
    fn imports_that_run_upwards_are_found() {
        let (two, three) = ("stage-02-queue", "stage-03-monitoring");
        let good = house([&["tokio"], &["shared"], &["shared", two], &["shared", two, three]]);
        assert_eq!(import_violations(&good), [""; 0]);
        for bad in [
            house([&[two], &[], &[], &[]]),
            house([&["ladder"], &[], &[], &[]]),
            house([&[], &[three], &[], &[]]),
            house([&[], &[two], &[], &[]]),
            house([&[], &[], &["ladder"], &[]]),
        ] {
            assert_eq!(import_violations(&bad).len(), 1, "{bad:?}");
        }
    }

    #[test]
    fn the_harness_is_for_tests_only() {
        let found = |package_name: &str, name: &str, kind: Option<&str>| {
            let mut packages = house([&[], &[], &[], &[]]);
            packages.push(package(HARNESS, "tests/harness", &[]));
            let package = packages.iter_mut().find(|package| package.name == package_name);
            let kind = kind.map(str::to_owned);
            package.unwrap().dependencies.push(Dependency { name: name.to_owned(), kind });
            import_violations(&packages).len()
        };
        assert_eq!(found("stage-02-queue", HARNESS, Some("dev")), 0);
        assert_eq!(found("ladder", HARNESS, None), 0);
        assert_eq!(found(HARNESS, "shared", None), 0);
        assert_eq!(found("stage-02-queue", HARNESS, None), 1);
        assert_eq!(found("stage-02-queue", HARNESS, Some("build")), 1);
        assert_eq!(found("shared", HARNESS, Some("dev")), 1);
        assert_eq!(found(HARNESS, "stage-02-queue", None), 1);
    }

    #[test]
    fn names_and_directories_that_differ_are_found() {
        let violations = |packages: &[Package]| naming_violations(packages, Path::new("/w"));
        let one = package("stage-01-mvp", "stages/01-mvp", &[]);
        let good = [one.clone(), package("stage-02-queue", "stages/02-queue", &[])];
        assert_eq!(violations(&good), [""; 0]);
        for bad in [
            package("stage-02-queue", "stages/02-tasks", &[]),
            package("stage-02-queue", "stages/2-queue", &[]),
            package("stage-02-queue", "02-queue", &[]),
            package("queue", "stages/02-queue", &[]),
            package("stage-03-queue", "stages/03-queue", &[]),
            package("stage-01-queue", "stages/01-queue", &[]),
        ] {
            assert!(!violations(&[one.clone(), bad.clone()]).is_empty(), "{bad:?}");
        }
    }

    #[test]
    fn only_code_is_counted() {
        let source = "//! File.\n\nuse a;\n/// Doc.\nfn f() {\n    // Why.\n    g();\n}\n\n\
                      #[cfg(test)]\nmod tests {\n    fn t() {\n    }\n}\n\
                      #[cfg(test)]\nmod more_tests;\nfn after() {}\n";
        assert_eq!(code_lines(source), 5);
        assert_eq!(code_lines("#[cfg(test)]\nfn only_for_tests() {}\n"), 2);
    }

    #[test]
    fn a_file_that_does_not_introduce_itself_is_found() {
        assert_eq!(opening_violation("//! What it is.\n"), None);
        for bad in ["", "use a;\n", "// What it is.\n", "//!\n//! Later.\n", "\n//! Late.\n"] {
            assert!(opening_violation(bad).is_some(), "{bad:?}");
        }
    }

    #[test]
    fn leftovers_are_found() {
        for good in [
            "// use the lower one, since it is counted twice",
            "/// use a::b;",
            "let to_do = 1; // let it be",
            "<!-- a remark -->",
        ] {
            assert_eq!(leftover_violations(good), [""; 0]);
        }
        for bad in [
            concat!("// TO", "DO later"),
            concat!("    dbg", "!(x);"),
            concat!("#[ig", "nore = \"slow\"]"),
            "    // use crate::b;",
            "// #[cfg(unix)]",
            "//include!(\"x.rs\");",
            "<!-- {{#include ../x.rs:page}} -->",
        ] {
            assert_eq!(leftover_violations(bad).len(), 1, "{bad}");
        }
    }
}
