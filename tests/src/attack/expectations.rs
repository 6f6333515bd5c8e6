//! What each stage expectations to contain, and the exceptions, each with its reason.
//!
//! A probe's header says from which stage on it has to be contained. `tests/probes/known_gaps.toml`
//! lists what escapes all the same; `tests/probes/controls.toml` lists the probes that escape
//! nowhere, so that something else has to prove that they could.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::attack::probe::{self, Header};

/// The exceptions.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    /// What escapes although it should not.
    pub known_gaps: Vec<KnownGap>,
    /// What does not escape although it could.
    pub controls: Vec<Control>,
}

/// A probe that escapes on stages that should contain it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownGap {
    /// The probe's id.
    pub probe: String,
    /// The first stage where it does.
    pub from: u16,
    /// The last one, when a later stage does contain it.
    #[serde(default = "always")]
    pub until: u16,
    /// Why that is left so.
    pub reason: String,
}

fn always() -> u16 {
    u16::MAX
}

impl KnownGap {
    /// Whether this is about that stage.
    pub fn on(&self, stage: u16) -> bool {
        (self.from..=self.until).contains(&stage)
    }
}

/// A probe that no open stage proves able to escape.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The probe's id.
    pub probe: String,
    /// Why it does not, and what proves it instead.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Residuals {
    #[serde(default)]
    known_gap: Vec<KnownGap>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Controls {
    #[serde(default)]
    control: Vec<Control>,
}

impl Expectations {
    /// Reads both lists.
    ///
    /// # Errors
    ///
    /// When one is not there, or not in its format.
    pub fn load() -> Result<Self> {
        let dir = probe::dir();
        let Residuals { known_gap } = read(&dir.join("known_gaps.toml"))?;
        let Controls { control } = read(&dir.join("controls.toml"))?;
        Ok(Self { known_gaps: known_gap, controls: control })
    }

    /// Whether `stage` expectations to contain the probe.
    pub fn contains(&self, header: &Header, stage: u16) -> bool {
        let excepted = |it: &KnownGap| it.probe == header.id && it.on(stage);
        stage >= header.promised && !self.known_gaps.iter().any(excepted)
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is not as it should be", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exception_is_about_a_probe_and_has_a_reason() {
        let expectations = Expectations::load().unwrap();
        let probes = probe::all().unwrap();
        let entries = expectations.known_gaps.iter().map(|entry| (&entry.probe, &entry.reason));
        for (id, reason) in
            entries.chain(expectations.controls.iter().map(|entry| (&entry.probe, &entry.reason)))
        {
            assert!(probes.iter().any(|probe| probe.header.id == *id), "{id} is no probe");
            assert!(reason.trim().len() > 20, "{id}: say why");
        }
    }

    #[test]
    fn a_residual_is_no_promise_on_its_stages() {
        let code = probe::header::tests::EXAMPLE;
        let header = Header::parse(code, Path::new("x")).unwrap();
        let (probe, reason) = ("network/tcp".to_owned(), String::new());
        let known_gaps = vec![KnownGap { probe, from: 4, until: 4, reason }];
        let expectations = Expectations { known_gaps, controls: Vec::new() };
        let kept = [2, 4, 5].map(|stage| expectations.contains(&header, stage));
        assert_eq!(kept, [false, false, true]);
    }
}
