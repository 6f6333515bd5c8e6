//! What proves a measure: a test, a probe, a recipe or a file, and whether it exists.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::bail;
use serde::Deserialize;

use super::escaped;
use crate::pages::files_below;

/// A row for each probe.
const MATRIX: &str = "tests/tests/it/snapshots/matrix.snap";
/// The cell of a probe that was not contained.
const ESCAPED: &str = "ESCAPED";
/// The properties of the Terraform stack, as assertions.
const PROPERTIES: &str = "infrastructure/terraform/tests";

/// What proves a measure.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Proof {
    /// A test function of a package.
    Test {
        /// The package.
        package: String,
        /// The function.
        name: String,
    },
    /// A probe of the ladder, fired at every stage.
    Probe(String),
    /// A property of the Terraform stack, which a test asserts, and another breaks.
    Property(String),
    /// A recipe of the justfile.
    Recipe(String),
    /// A file or a directory of the repository.
    File(String),
}

impl TryFrom<String> for Proof {
    type Error = anyhow::Error;

    fn try_from(text: String) -> anyhow::Result<Self> {
        Ok(match text.split(' ').collect::<Vec<_>>().as_slice() {
            ["test", package, name] => {
                Self::Test { package: (*package).to_owned(), name: (*name).to_owned() }
            }
            ["probe", id] => Self::Probe((*id).to_owned()),
            ["property", id] => Self::Property((*id).to_owned()),
            ["recipe", name] => Self::Recipe((*name).to_owned()),
            ["file", path] => Self::File((*path).to_owned()),
            _ => bail!(
                "a proof is `test PACKAGE NAME`, `probe ID`, `property ID`, `recipe NAME` or `file PATH`"
            ),
        })
    }
}

impl Proof {
    /// Whether the test command executes it.
    pub fn is_executed(&self) -> bool {
        matches!(self, Self::Test { .. } | Self::Probe(_) | Self::Property(_))
    }

    /// As a cell of a table.
    pub(super) fn html(&self) -> String {
        let code = |kind: &str, text: &str, title: &str| {
            format!("{kind} <code title=\"{}\">{}</code>", escaped(title), escaped(text))
        };
        match self {
            Self::Test { package, name } => code("test", name, package),
            // To its place in the page of its group.
            Self::Probe(id) => {
                let (group, _) = id.split_once('/').unwrap_or((id, ""));
                let place = escaped(&id.replace('/', "-"));
                let link = format!("probes-{}.md#{place}", escaped(group));
                format!("probe <a href=\"{link}\"><code>{}</code></a>", escaped(id))
            }
            Self::Property(id) => code("property", id, PROPERTIES),
            Self::Recipe(name) => code("recipe", &format!("just {name}"), "justfile"),
            Self::File(path) => code("file", path, path),
        }
    }
}

/// Looks proofs up in the workspace, whose files it reads once.
pub(crate) struct Proofs {
    workspace: PathBuf,
    /// The sources of a package, by its name.
    sources: BTreeMap<String, Vec<String>>,
}

impl Proofs {
    pub(crate) fn new(workspace: &Path) -> Self {
        Self { workspace: workspace.to_owned(), sources: BTreeMap::new() }
    }

    /// Why a proof proves nothing.
    pub(crate) fn error(&mut self, proof: &Proof) -> anyhow::Result<Option<String>> {
        Ok(match proof {
            Proof::Test { package, name } => {
                let is_there = self.sources(package)?.iter().any(|text| has_test(text, name));
                (!is_there).then(|| format!("{package} has no test {name}"))
            }
            Proof::Probe(id) => {
                let matrix = std::fs::read_to_string(self.workspace.join(MATRIX))?;
                match matrix.lines().find(|line| line.split(' ').next() == Some(id)) {
                    None => Some(format!("the matrix has no probe {id}")),
                    // Its last column is the last stage.
                    Some(row) if row.trim_end().ends_with(ESCAPED) => {
                        Some(format!("the last stage does not contain the probe {id}"))
                    }
                    Some(_) => None,
                }
            }
            Proof::Property(id) => {
                let message = format!("error_message = \"{id}: ");
                let is_there = files_below(&self.workspace.join(PROPERTIES))?
                    .iter()
                    .filter(|file| file.extension().is_some_and(|extension| extension == "hcl"))
                    .map(std::fs::read_to_string)
                    .collect::<Result<Vec<_>, _>>()?
                    .iter()
                    .any(|text| text.contains(&message));
                (!is_there).then(|| format!("the stack has no property {id}"))
            }
            Proof::Recipe(name) => {
                let recipes = std::fs::read_to_string(self.workspace.join("justfile"))?;
                let is_there = recipes.lines().any(|line| {
                    let word = line.split([' ', ':']).next();
                    word == Some(name) && line.contains(':')
                });
                (!is_there).then(|| format!("there is no recipe {name}"))
            }
            Proof::File(path) => {
                let is_there = self.workspace.join(path).exists();
                (!is_there).then(|| format!("there is no {path}"))
            }
        })
    }

    pub(crate) fn sources(&mut self, package: &str) -> anyhow::Result<&[String]> {
        if !self.sources.contains_key(package) {
            let mut texts = Vec::new();
            for part in directories(package) {
                let directory = self.workspace.join(part);
                if !directory.is_dir() {
                    continue;
                }
                for file in files_below(&directory)? {
                    if file.extension().is_some_and(|extension| extension == "rs") {
                        texts.push(std::fs::read_to_string(file)?);
                    }
                }
            }
            self.sources.insert(package.to_owned(), texts);
        }
        Ok(&self.sources[package])
    }
}

/// Where the tests of a package are.
fn directories(package: &str) -> Vec<String> {
    match package.strip_prefix("stage-") {
        Some(stage) => ["src", "tests", "supervisor", "exec_supervisor", "protocol"]
            .map(|part| format!("stages/{stage}/{part}"))
            .into(),
        None => match package {
            "ladder" => ["tests/src", "tests/tests"].map(str::to_owned).into(),
            "crucible-book" => ["book/builder", "book/tests"].map(str::to_owned).into(),
            "shared" => vec!["shared/src".to_owned()],
            "infrastructure-checks" => vec!["infrastructure/checks".to_owned()],
            "crucible-lambda" => vec!["infrastructure/lambda".to_owned()],
            other => vec![other.to_owned()],
        },
    }
}

/// Whether `text` has the test `name`. None is skipped: a rule of the ladder forbids the attribute.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let function = format!("fn {name}(");
    lines.iter().enumerate().filter(|(_, line)| line.contains(&function)).any(|(place, _)| {
        let above = lines[..place].iter().rev();
        let mut above = above.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        above.any(|line| line.contains("test]") || line.contains("test("))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_a_function_with_its_attribute() {
        let text = "#[tokio::test(flavor = \"multi_thread\")]\nasync fn one() {}\nfn two() {}\n";
        assert!(has_test(text, "one") && !has_test(text, "two") && !has_test(text, "three"));
    }

    #[test]
    fn what_does_not_exist_proves_nothing() {
        let mut proofs = Proofs::new(&crate::workspace_root());
        let mut error = |text: &str| {
            let proof = Proof::try_from(text.to_owned()).unwrap();
            proofs.error(&proof).unwrap()
        };
        for good in [
            "probe kernel/bpf",
            "property W1",
            "recipe lint",
            "file Cargo.toml",
            "test crucible-book what_does_not_exist_proves_nothing",
        ] {
            assert_eq!(error(good), None);
        }
        for bad in [
            "probe kernel/x",
            "property W0",
            "recipe x",
            "file x",
            "test crucible-book x",
            "test x y",
        ] {
            assert!(error(bad).is_some(), "{bad}");
        }
        assert!(Proof::try_from("see above".to_owned()).is_err());
    }
}
