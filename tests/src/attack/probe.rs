//! A probe: one small hostile program, and the header that describes it.
//!
//! A probe is `tests/probes/GROUP/NAME.py`. It begins with a [`header`] of comment lines, which is
//! read strictly: a field that is missing, unknown, repeated or empty is an error that names file
//! and line, because a probe that is silently left out looks like one that is contained.
//! Some are written in other languages as well, for environments without Python ([`language`]).
//! `tests/probes/README.md` describes how to write one.

pub mod header;
pub mod language;
pub mod program;
pub mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use shared::BoxFuture;

use crate::attack::testbed::Testbed;
use crate::attack::verdict::Verdict;

pub use language::Language;

pub use header::{Class, Evidence, Fact, Group, Header, Host, Net, Order, Resource};

/// Files in `tests/probes` that are not probes.
const NO_PROBES: [&str; 1] = ["prelude.py"];

/// One attack and its header.
#[derive(Debug, Clone)]
pub struct Probe {
    /// Its description.
    pub header: Header,
    /// The attack.
    pub body: Body,
    /// The same attack in other languages, for environments without Python.
    pub others: Vec<(Language, String)>,
    /// Where it is written.
    pub listings: Vec<Listing>,
}

/// A file with an attack, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The path from the root of the workspace.
    pub file: String,
    /// The anchor of the part.
    pub anchor: Option<String>,
}

impl Probe {
    /// The attack as a program in `language`. None if it is not written in that.
    pub fn program(&self, language: Language) -> Option<&str> {
        if let (Language::Python, Body::Program(code)) = (language, &self.body) {
            return Some(code);
        }
        let found = self.others.iter().find(|(other, _)| *other == language);
        found.map(|(_, code)| code.as_str())
    }
}

/// The kinds of attack.
#[derive(Debug, Clone)]
pub enum Body {
    /// Submits this Python program, header and all.
    Program(String),
    /// Sends HTTP requests to the server, and returns the verdict.
    Http(Attack),
}

/// An attack on the server rather than on its sandbox.
pub type Attack = for<'a> fn(&'a Testbed) -> BoxFuture<'a, Result<Verdict>>;

/// All probes: those that are programs, and those of [`crate::attack::http_attacks`].
///
/// # Errors
///
/// When one of them has an invalid header, or two have the same id.
pub fn all() -> Result<Vec<Probe>> {
    let mut probes = load(&dir())?;
    probes.extend(crate::attack::http_attacks::probes()?);
    probes.sort_by(|a, b| a.header.id.cmp(&b.header.id));
    if let Some(twice) = probes.windows(2).find(|two| two[0].header.id == two[1].header.id) {
        bail!("{} exists twice", twice[0].header.id);
    }
    Ok(probes)
}

/// The directory of the probes.
pub fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("probes")
}

/// All programs below `directory`, in the order of their ids.
///
/// # Errors
///
/// When a file cannot be read, is in no group, or has an invalid header.
pub fn load(dir: &Path) -> Result<Vec<Probe>> {
    let mut probes = Vec::new();
    for path in python_files(dir)? {
        let code = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let header = Header::parse(&code, &path).map_err(|error| anyhow!("{error}"))?;
        let inside = path.strip_prefix(dir)?.with_extension("");
        if Path::new(&header.id) != inside {
            bail!("{}: id is {:?}, not {:?}", path.display(), header.id, inside.display());
        }
        let mut others = Vec::new();
        let listing = |path: &Path| -> Result<Listing> {
            let file = Path::new("tests/probes").join(path.strip_prefix(dir)?);
            Ok(Listing { file: file.display().to_string(), anchor: None })
        };
        let mut listings = vec![listing(&path)?];
        for language in Language::OTHERS {
            let path = path.with_extension(language.extension());
            if path.exists() {
                let code = std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                others.push((language, code));
                listings.push(listing(&path)?);
            }
        }
        probes.push(Probe { header, body: Body::Program(code), others, listings });
    }
    if probes.is_empty() {
        bail!("there are no probes in {}", dir.display());
    }
    probes.sort_by(|a, b| a.header.id.cmp(&b.header.id));
    Ok(probes)
}

fn python_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let http_probe = |dir: &Path| {
        std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))
    };
    for entry in http_probe(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            for entry in http_probe(&path)? {
                found.push(entry?.path());
            }
        } else if path.extension().is_some_and(|extension| extension == "py")
            && !NO_PROBES.iter().any(|name| path.ends_with(name))
        {
            bail!("{}: a probe must be in the directory of its group", path.display());
        }
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "py"));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_probe_of_this_repository_can_be_read() {
        let probes = all().unwrap();
        for group in Group::ALL.iter().copied() {
            let ids = probes.iter().filter(|probe| probe.header.group() == group);
            assert!(ids.count() > 0, "{group} has no probe");
        }
    }

    #[test]
    fn a_probe_that_is_not_where_its_id_says_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("network");
        std::fs::create_dir(&group).unwrap();
        let code = header::tests::EXAMPLE;
        std::fs::write(group.join("other.py"), code).unwrap();
        let error = load(root.path()).unwrap_err().to_string();
        assert!(error.contains("other.py: id is \"network/tcp\""), "{error}");
        std::fs::rename(group.join("other.py"), group.join("tcp.py")).unwrap();
        let [probe] = &load(root.path()).unwrap()[..] else { panic!("not one probe") };
        let file = "tests/probes/network/tcp.py".to_owned();
        assert_eq!(probe.listings, [Listing { file, anchor: None }]);
        std::fs::write(root.path().join("stray.py"), code).unwrap();
        assert!(load(root.path()).unwrap_err().to_string().contains("directory of its group"));
    }

    #[test]
    fn no_probes_at_all_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        assert!(load(root.path()).unwrap_err().to_string().contains("no probes"));
    }
}
