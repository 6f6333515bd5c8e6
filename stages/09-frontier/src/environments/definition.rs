//! What an environment is made of: a TOML file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use shared::Hint;

/// The ready-made environments beside `python`, which set-up builds.
const READY_MADE: [(&str, &str); 4] = [
    ("agent", include_str!("agent.toml")),
    ("javascript", include_str!("javascript.toml")),
    ("science", include_str!("science.toml")),
    ("shell", include_str!("shell.toml")),
];
/// The default, which set-up builds: it has no description.
pub(super) const DEFAULT: &str = "python";
/// The longest name.
const MAX_NAME_BYTES: usize = 32;
/// Debian's Python: its interpreter is started before there is a program.
pub(super) const PYTHON_COMMAND: &str = "/usr/bin/python3";

/// A description of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Definition {
    /// One line for people.
    pub(super) description: String,
    /// Debian packages; what they depend on comes with them.
    pub(super) packages: Vec<String>,
    /// Requirements for pip, each as `NAME==VERSION --hash=sha256:...`; nothing else comes with them.
    #[serde(default)]
    pub(super) requirements: Vec<String>,
    /// Links that Debian's installation scripts would make: a path in the environment, and its target.
    #[serde(default)]
    pub(super) links: BTreeMap<String, String>,
    /// The digest that the result must have. Without one, what the registries have now is taken.
    #[serde(default)]
    pub(super) digest: Option<String>,
    /// What it is for; evaluations, unless it says more.
    #[serde(default = "evaluations")]
    pub(super) uses: Vec<Use>,
    /// The command that runs a program. The path of the program is added to it.
    pub(super) command: Vec<String>,
    /// The name of the file that a program is written to.
    pub(super) file: String,
    /// Variables that a program finds.
    #[serde(default)]
    pub(super) variables: BTreeMap<String, String>,
    /// Whether files that a program has written may be executed.
    #[serde(default)]
    pub(super) executes_files: bool,
    /// Its limits, never above the operator's.
    #[serde(default)]
    pub(super) limits: DefinedLimits,
    /// How many sandboxes wait once it is used.
    #[serde(default = "one")]
    pub(super) warm_sandboxes: u16,
}

fn one() -> u16 {
    1
}

/// What an environment is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Use {
    /// Programs are evaluated in it, each in a sandbox of its own.
    Evaluations,
    /// Sandboxes that stay are opened of it.
    Sandboxes,
}

fn evaluations() -> Vec<Use> {
    vec![Use::Evaluations]
}

/// The limits of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DefinedLimits {
    /// Memory of a program that requests none, in bytes.
    pub(super) memory_bytes: u64,
    /// The most memory that a program may request, in bytes.
    pub(super) max_memory_bytes: u64,
    /// The most processes and threads.
    pub(super) pids: u64,
}

impl Default for DefinedLimits {
    fn default() -> Self {
        Self { memory_bytes: 256 << 20, max_memory_bytes: 1 << 40, pids: 64 }
    }
}

/// Why there is no description.
#[derive(Debug, thiserror::Error)]
pub(super) enum DefinitionError {
    #[error(
        "{0:?} is no name of an environment: 1 to 32 small letters, digits and -, a letter first"
    )]
    Name(String),
    #[error("there is no environment {0}")]
    Unknown(String),
    #[error("`python` is the image that set-up builds")]
    Python,
    #[error("cannot read {path}")]
    Read { path: String, source: std::io::Error },
    #[error("{path}: {detail}")]
    Wrong { path: String, detail: String },
}

impl Hint for DefinitionError {
    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unknown(_) => Some("`env list` has the names; a file NAME.toml adds one"),
            Self::Python => Some("run infrastructure/setup/setup.sh"),
            _ => None,
        }
    }
}

/// Whether this can be the name of an environment. It becomes a part of paths.
pub(super) fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// The names of all descriptions, and `python`.
pub(super) fn names(files: &Path) -> Vec<String> {
    let own = std::fs::read_dir(files).into_iter().flatten().flatten().filter_map(|entry| {
        entry.file_name().to_str().and_then(|name| Some(name.strip_suffix(".toml")?.to_owned()))
    });
    let ready_made = READY_MADE.iter().map(|(name, _)| (*name).to_owned());
    let mut names: Vec<_> =
        own.filter(|name| is_name(name)).chain(ready_made).chain([DEFAULT.to_owned()]).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The description of this name: a file of the operator's, otherwise a ready-made one.
pub(super) fn find(name: &str, files: &Path) -> Result<Definition, DefinitionError> {
    if !is_name(name) {
        return Err(DefinitionError::Name(name.to_owned()));
    }
    if name == "python" {
        return Err(DefinitionError::Python);
    }
    let path = files.join(format!("{name}.toml"));
    let shown = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text, &shown),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let found = READY_MADE.iter().find(|(ready_made, _)| *ready_made == name);
            let (_, text) = found.ok_or_else(|| DefinitionError::Unknown(name.to_owned()))?;
            parse(text, name)
        }
        Err(source) => Err(DefinitionError::Read { path: shown, source }),
    }
}

/// Parses and checks a description.
pub(super) fn parse(text: &str, path: &str) -> Result<Definition, DefinitionError> {
    let wrong = |detail: String| DefinitionError::Wrong { path: path.to_owned(), detail };
    let definition: Definition = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    definition.check().map_err(wrong)?;
    Ok(definition)
}

impl Definition {
    /// Whether the interpreter is started before there is a program.
    pub(super) fn is_python(&self) -> bool {
        self.command == [PYTHON_COMMAND] && self.file == "main.py"
    }

    /// Everything here reaches a command line or a path of the builder.
    fn check(&self) -> Result<(), String> {
        let plain = |text: &str, others: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
            text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(allowed)
        };
        let wrong = |what: &str, text: &str| Err(format!("{text:?} is no {what}"));
        if self.packages.is_empty() {
            return Err("name at least one package".to_owned());
        }
        for package in &self.packages {
            let (name, version) = package.split_once('=').unwrap_or((package, "0"));
            if !plain(name, "+-.") || !plain(version, "+-.~:") {
                return wrong("NAME or NAME=VERSION of a Debian package", package);
            }
        }
        for requirement in &self.requirements {
            if !is_pinned(requirement, plain) {
                return wrong("requirement as NAME==VERSION --hash=sha256:...", requirement);
            }
        }
        for (path, target) in &self.links {
            let parts = || path.split('/').chain(target.split('/'));
            if parts().any(|part| !plain(part, "+-._[")) {
                return wrong("relative path and its target", &format!("{path} -> {target}"));
            }
        }
        if let Some(digest) = &self.digest
            && !digest.strip_prefix("sha256:").is_some_and(is_digest)
        {
            return wrong("digest, as `env build` prints it", digest);
        }
        let is_absolute = self.command.first().is_some_and(|program| program.starts_with("/usr/"));
        if !is_absolute || self.command.iter().any(|word| word.chars().any(char::is_control)) {
            return Err("command is a program below /usr, by its path".to_owned());
        }
        if !plain(&self.file, "-._") {
            return wrong("name of a file", &self.file);
        }
        let is_variable = |(name, value): (&String, &String)| {
            plain(name, "_") && name != "HOME" && !value.contains('\0')
        };
        if !self.variables.iter().all(is_variable) || self.description.chars().any(char::is_control)
        {
            return Err("a variable or the description is not plain text".to_owned());
        }
        if self.uses.is_empty() {
            return Err("uses names at least one of evaluations and sandboxes".to_owned());
        }
        let DefinedLimits { memory_bytes, max_memory_bytes, pids } = self.limits;
        let least = shared::submission::MIN_MEMORY_BYTES;
        if memory_bytes < least || max_memory_bytes < memory_bytes || pids == 0 {
            return Err(format!(
                "limits: memory_bytes is at least {least}, max_memory_bytes at least that, and pids at least 1"
            ));
        }
        Ok(())
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// `NAME==VERSION` and one or more hashes.
fn is_pinned(requirement: &str, plain: impl Fn(&str, &str) -> bool) -> bool {
    let mut words = requirement.split_ascii_whitespace();
    let pin = words.next().and_then(|pin| pin.split_once("=="));
    let is_hash = |word: &str| word.strip_prefix("--hash=sha256:").is_some_and(is_digest);
    let hashes: Vec<_> = words.collect();
    pin.is_some_and(|(name, version)| plain(name, "-._") && plain(version, "-._+!"))
        && !hashes.is_empty()
        && hashes.into_iter().all(is_hash)
        && !requirement.contains('\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_made_ones_are_right() {
        let none = Path::new("/nonexistent");
        for (name, _) in READY_MADE {
            assert_eq!(
                find(name, none).unwrap().is_python(),
                ["agent", "science"].contains(&name),
                "{name}"
            );
        }
        assert_eq!(names(none), ["agent", "javascript", "python", "science", "shell"]);
        assert!(matches!(find("python", none), Err(DefinitionError::Python)));
        assert!(matches!(find("other", none), Err(DefinitionError::Unknown(_))));
    }

    #[test]
    fn a_name_never_is_a_path() {
        for name in ["", "../x", "a/b", "/etc", ".", "A", "1a", "a b", "a\n", "ä", &"a".repeat(33)]
        {
            let error = find(name, Path::new("/etc/crucible")).unwrap_err();
            assert!(matches!(error, DefinitionError::Name(_)), "{name}: {error}");
        }
        assert!(is_name("science-2") && is_name(&"a".repeat(32)));
    }

    #[test]
    fn a_requirement_needs_a_hash() {
        let hash = format!("--hash=sha256:{}", "a".repeat(64));
        let with = |change: &str| {
            let base = "description = ''\npackages = ['python3']\ncommand = ['/usr/bin/python3']\nfile = 'main.py'\n";
            parse(&format!("{base}{change}"), "x")
        };
        assert!(with(&format!("requirements = ['numpy==1.2 {hash}']")).is_ok());
        for wrong in [
            "requirements = ['numpy==1.2']".to_owned(),
            format!("requirements = ['numpy {hash}']"),
            format!("requirements = ['--index-url=http://evil {hash}']"),
            format!("requirements = ['numpy==1.2 {hash} --pre']"),
            format!("requirements = ['numpy @ file:///x {hash}']"),
            "links = { 'usr/../../etc/x' = 'y' }".to_owned(),
            "links = { '/etc/x' = 'y' }".to_owned(),
            "links = { 'usr/x' = '/etc/passwd' }".to_owned(),
            "image = 'x'".to_owned(),
            "limits = { pids = 0 }".to_owned(),
        ] {
            assert!(with(&wrong).is_err(), "{wrong}");
        }
        let pins = format!("packages = ['bash=5.2.15-2+b7']\ndigest = 'sha256:{}'", "a".repeat(64));
        let text = format!("description=''\n{pins}\ncommand=['/usr/bin/x']\nfile='x'\n");
        assert!(parse(&text, "x").is_ok());
        for wrong in [
            "packages = ['bash=']",
            "packages = ['a=-o']",
            "packages = ['a=1=2']",
            "packages = ['a']\ndigest = 'sha256:1'",
            "packages = ['-o']",
            "packages = ['a,b']",
            "packages = ['a b']",
            "packages = []",
        ] {
            let text = format!("description=''\n{wrong}\ncommand=['/usr/bin/x']\nfile='x'\n");
            assert!(parse(&text, "x").is_err(), "{wrong}");
        }
    }
}
