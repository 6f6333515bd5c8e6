//! Every command and every path that a page names exists: package, recipe, exercise, probe, test, file.
//!
//! Commands in transcripts and `console` blocks are executed. These are the others: those in the middle of a
//! sentence, which a reader types all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lazy_regex::{Regex, regex};
use pulldown_cmark::{Event, Parser};

use crate::guide::proof::{Proof, Proofs};

/// Directories at the root. A path that begins with one of them is a path of the repository.
const ROOTS: [&str; 5] = ["book/", "infrastructure/", "shared/", "stages/", "tests/"];
/// Packages beside those of the stages.
const PACKAGES: [&str; 6] =
    ["shared", "ladder", "harness", "crucible-book", "crucible-lambda", "infrastructure-checks"];
/// The commands of the ladder.
const LADDER: [&str; 12] = [
    "attack",
    "bench",
    "compare",
    "cpython",
    "deltas",
    "exercise",
    "hostile-clients",
    "humaneval",
    "matrix",
    "programs",
    "soak",
    "storage",
];
/// The controls that `attack --without` and `--without-runsc` can leave out.
const CONTROLS: &str = "tests/src/attack/fault_injection";

fn name_pattern() -> &'static Regex {
    regex!(r"\b(?:fn|mod) +([a-z_0-9]+)")
}

/// What there is in the workspace. Files are read once.
pub struct Workspace {
    root: PathBuf,
    proofs: Proofs,
    /// The names of functions and modules of a package, by its name.
    names: BTreeMap<String, BTreeSet<String>>,
}

impl Workspace {
    /// That of the directory `root`.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), proofs: Proofs::new(root), names: BTreeMap::new() }
    }

    /// Errors in the commands and paths of one page.
    ///
    /// # Errors
    ///
    /// When a file of the workspace cannot be read.
    pub fn errors(&mut self, page: &Path, text: &str) -> anyhow::Result<Vec<String>> {
        let mut errors = Vec::new();
        for event in Parser::new(text) {
            let Event::Code(code) = event else { continue };
            if let Some(error) = self.error_of(&code)? {
                errors.push(format!("{}: `{code}`: {error}", page.display()));
            }
        }
        Ok(errors)
    }

    fn error_of(&mut self, code: &str) -> anyhow::Result<Option<String>> {
        let words: Vec<&str> = code.split_whitespace().collect();
        let first = words.iter().position(|word| !word.contains('='));
        match first.map(|first| &words[first..]).unwrap_or_default() {
            ["cargo", rest @ ..] => self.cargo(rest),
            ["just", rest @ ..] => {
                let recipe = rest.iter().find(|word| !word.contains('='));
                recipe.map_or(Ok(None), |recipe| {
                    if *recipe == "exercise" {
                        return Ok(rest.last().and_then(|id| self.exercise(id)));
                    }
                    self.proofs.error(&Proof::Recipe((*recipe).to_owned()))
                })
            }
            ["bash" | "python3" | "sh", path, ..] | [path] => Ok(self.path(path)),
            _ => Ok(None),
        }
    }

    /// A path is checked when it begins like one of the repository, and is no pattern.
    fn path(&self, word: &str) -> Option<String> {
        let is_pattern = |c: char| "*{}…<>$[]".contains(c);
        let is_ours = ROOTS.iter().any(|root| word.starts_with(root));
        // `tests/it` is in a package, and not at the root.
        let is_of_package = word.starts_with("tests/it");
        let has_placeholder = word.contains("NN") || word.contains("GROUP");
        if !is_ours || is_of_package || has_placeholder || word.contains(is_pattern) {
            return None;
        }
        let path = word.split("::").next().unwrap_or(word);
        (!self.root.join(path).exists()).then(|| format!("there is no {path}"))
    }

    fn cargo(&mut self, words: &[&str]) -> anyhow::Result<Option<String>> {
        let Some(package) = after(words, "-p") else { return Ok(None) };
        if !self.is_package(package) {
            return Ok(Some(format!("there is no package {package}")));
        }
        let is_test = words.first() == Some(&"test") || words.starts_with(&["nextest", "run"]);
        let arguments = words.iter().position(|word| *word == "--").map(|at| &words[at + 1..]);
        match arguments {
            Some(arguments) if package == "ladder" => self.ladder(arguments),
            _ if is_test => self.filters(package, words),
            _ => Ok(None),
        }
    }

    fn is_package(&self, name: &str) -> bool {
        let stage = name.strip_prefix("stage-");
        // A placeholder for the number of a stage.
        PACKAGES.contains(&name)
            || stage.is_some_and(|stage| {
                stage.starts_with("NN") || self.root.join("stages").join(stage).is_dir()
            })
    }

    fn ladder(&mut self, arguments: &[&str]) -> anyhow::Result<Option<String>> {
        match arguments {
            ["exercise", id, ..] => return Ok(self.exercise(id)),
            [command, ..] if LADDER.contains(command) => {}
            [other, ..] => return Ok(Some(format!("the ladder has no command {other}"))),
            [] => return Ok(None),
        }
        let probe = after(arguments, "--probe").filter(|probe| *probe != "GROUP/NAME");
        if let Some(probe) = probe {
            return self.proofs.error(&Proof::Probe(probe.to_owned()));
        }
        let group = after(arguments, "--group").filter(|group| *group != "GROUP");
        if let Some(group) = group.filter(|group| !self.has_group(group)) {
            return Ok(Some(format!("there is no group of probes {group}")));
        }
        for (flag, file) in [("--without", ".rs"), ("--without-runsc", "/runsc.rs")] {
            let Some(control) = after(arguments, flag) else { continue };
            let text = std::fs::read_to_string(self.root.join(format!("{CONTROLS}{file}")))?;
            let variant = format!("    {},", camel(control));
            if !text.lines().any(|line| line == variant) {
                return Ok(Some(format!("{flag} has no {control}")));
            }
        }
        Ok(None)
    }

    fn has_group(&self, group: &str) -> bool {
        // The probes of `tenants` need two clients, and are part of the ladder.
        group == "tenants" || self.root.join("tests/probes").join(group).is_dir()
    }

    fn exercise(&self, id: &str) -> Option<String> {
        let is_id = id.len() == 4 && id.as_bytes()[2] == b'-';
        let found = std::fs::read_dir(self.root.join("book/exercises")).ok()?;
        let names = found.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names = names.filter(|name| name.starts_with(&format!("{id}-")));
        (is_id && names.next().is_none()).then(|| format!("there is no exercise {id}"))
    }

    /// Each filter is a part of the path of a test.
    fn filters(&mut self, package: &str, words: &[&str]) -> anyhow::Result<Option<String>> {
        let mut wanted = Vec::new();
        let mut value = false;
        for word in words.iter().filter(|word| !["test", "nextest", "run", "--"].contains(word)) {
            if value {
                value = false;
            } else if ["-p", "--test", "--profile", "--features", "-E"].contains(word) {
                value = *word != "-E";
            } else if !word.starts_with('-') && word.contains(char::is_lowercase) {
                wanted.push(word.trim_matches(['\'', '"']));
            }
        }
        for filter in wanted {
            let filter = filter.strip_prefix("test(").unwrap_or(filter);
            let filter = filter.trim_end_matches(')').trim_matches(['/', '^', '=', '$']);
            for part in filter.split("::").filter(|part| !part.is_empty()) {
                if !self.names(package)?.iter().any(|name| name.contains(part)) {
                    return Ok(Some(format!("{package} has no test {filter}")));
                }
            }
        }
        Ok(None)
    }

    fn names(&mut self, package: &str) -> anyhow::Result<&BTreeSet<String>> {
        if !self.names.contains_key(package) {
            let texts = self.proofs.sources(package)?;
            let names = texts.iter().flat_map(|text| name_pattern().captures_iter(text));
            let names = names.map(|found| found[1].to_owned()).collect();
            self.names.insert(package.to_owned(), names);
        }
        Ok(&self.names[package])
    }
}

/// The word after a flag.
fn after<'a>(words: &[&'a str], flag: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| *word == flag)?;
    words.get(at + 1).copied()
}

/// `read-only-root` as `ReadOnlyRoot`.
fn camel(name: &str) -> String {
    let capital = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_uppercase() + rest
    };
    name.split('-').map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(code: &str) -> Option<String> {
        Workspace::new(&crate::workspace_root()).error_of(code).unwrap()
    }

    #[test]
    fn what_exists_has_no_error() {
        for code in [
            "cargo run -p stage-05-gvisor",
            "cargo run -p stage-NN-x -- run FILE",
            "cargo run -p ladder -- exercise 04-1 --hint",
            "cargo run -p ladder -- attack --stage 4 --probe kernel/bpf",
            "cargo run -p ladder -- attack --stage 4 --without read-only-root",
            "cargo run -p ladder -- attack --stage 6 --without-runsc host-files --group kernel",
            "cargo test -p crucible-book what_exists",
            "cargo nextest run -p crucible-book -E 'test(commands::tests::what_exists)'",
            "just exercise 04-1",
            "just stage=4 attack",
            "X=1 cargo test -p shared",
            "bash infrastructure/demo.sh",
            "book/guide/*.toml",
            "stages/02-queue/src/queue.rs",
            "serve",
        ] {
            assert_eq!(error_of(code), None, "{code}");
        }
    }

    #[test]
    fn what_does_not_exist_is_an_error() {
        for code in [
            "cargo run -p stage-05-docker",
            "cargo run -p ladder -- exercise 04-9",
            "cargo run -p ladder -- conquer",
            "cargo run -p ladder -- attack --stage 4 --probe kernel/x",
            "cargo run -p ladder -- attack --stage 4 --group x",
            "cargo run -p ladder -- attack --stage 4 --without hope",
            "cargo test -p crucible-book no_such_test_at_all_x",
            "cargo nextest run -p crucible-book -E 'test(/^no_such_x/)'",
            "just exercise 11-1",
            "just stage=4 conquer",
            "bash infrastructure/x.sh",
            "stages/02-queue/src/x.rs",
        ] {
            assert!(error_of(code).is_some(), "{code}");
        }
    }

    #[test]
    fn an_error_names_its_page() {
        let mut workspace = Workspace::new(&crate::workspace_root());
        let errors = workspace.errors(Path::new("a.md"), "See `just x-y`, `just lint`.").unwrap();
        assert_eq!(errors, ["a.md: `just x-y`: there is no recipe x-y"]);
    }
}
