//! Cases that are not right on a stage: `tests/programs/exceptions.toml`, each with its reason.
//!
//! An exception is held from both sides: the case must be wrong there, which a run shows, and the chapter
//! of the book must name the difference, which a test of this module shows.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::case::{self, Case};

/// The name of the file.
pub(super) const FILE: &str = "exceptions.toml";

/// A case that is not right on some stages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The name of the case; without its brackets it stands for all of that name.
    pub case: String,
    /// The stages.
    pub stages: Vec<u16>,
    /// Why it is not right there.
    pub reason: String,
    /// The page that names it, below `book/src`.
    pub chapter: String,
    /// A sentence, or a part of one, of that page.
    pub says: String,
    /// Whether the case may be right as well: it depends on the machine or on the version of a
    /// runtime, which `reason` names.
    #[serde(default)]
    pub varies: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    exception: Vec<Exception>,
}

impl Exception {
    /// Whether it is about this case on this stage.
    pub fn covers(&self, case: &Case, stage: u16) -> bool {
        self.stages.contains(&stage) && self.names(case)
    }

    fn names(&self, case: &Case) -> bool {
        let family = case.name.split_once('[').map_or(case.name.as_str(), |(family, _)| family);
        self.case == case.name || self.case == family
    }
}

/// All exceptions.
///
/// # Errors
///
/// When the file is malformed, or an exception names no case.
pub fn all(cases: &[Case]) -> Result<Vec<Exception>> {
    let path = case::dir().join(FILE);
    let text = std::fs::read_to_string(&path)?;
    let file: File = toml::from_str(&text).with_context(|| path.display().to_string())?;
    for exception in &file.exception {
        check(exception, cases).with_context(|| format!("the exception of {}", exception.case))?;
    }
    Ok(file.exception)
}

fn check(exception: &Exception, cases: &[Case]) -> Result<()> {
    if !cases.iter().any(|case| exception.names(case)) {
        bail!("there is no such case");
    }
    if exception.reason.trim().is_empty() || exception.stages.is_empty() {
        bail!("it needs stages and a reason");
    }
    Ok(())
}

/// Checks that the page names the difference.
///
/// # Errors
///
/// When there is no such page, or it does not.
pub fn check_page(exception: &Exception) -> Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../book/src").join(&exception.chapter);
    let text = std::fs::read_to_string(&page).with_context(|| page.display().to_string())?;
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    if exception.says.trim().is_empty() || !words(&text).contains(&words(&exception.says)) {
        bail!("{} does not say {:?}", exception.chapter, exception.says);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Case {
        Case { name: name.to_owned(), ..Case::default() }
    }

    #[test]
    fn an_exception_is_about_a_case_or_about_all_of_its_name() {
        let exception = |case: &str| Exception {
            case: case.to_owned(),
            stages: vec![5],
            reason: "it is so".to_owned(),
            chapter: "05-gvisor.md".to_owned(),
            says: "gVisor".to_owned(),
            varies: false,
        };
        assert!(exception("g/a").covers(&named("g/a"), 5));
        assert!(exception("g/a").covers(&named("g/a[x]"), 5));
        assert!(!exception("g/a[x]").covers(&named("g/a[y]"), 5));
        assert!(!exception("g/a").covers(&named("g/a"), 6));
        let cases = [named("g/a")];
        assert!(check(&exception("g/a"), &cases).is_ok());
        assert!(check(&exception("g/b"), &cases).is_err());
        let silent = Exception { says: "no page has this sentence".to_owned(), ..exception("g/a") };
        assert!(check_page(&silent).is_err());
        assert!(check_page(&exception("g/a")).is_ok());
    }

    #[test]
    fn each_exception_is_in_its_chapter() {
        for exception in all(&case::all().unwrap()).unwrap() {
            check_page(&exception).unwrap_or_else(|error| panic!("{}: {error:#}", exception.case));
        }
    }
}
