//! Which probes each stage must contain, and the exceptions, each with its reason.
//!
//! A probe's header says from which stage on it has to be contained. `tests/probes/known_gaps.toml`
//! lists the probes that escape nevertheless; `tests/probes/controls.toml` lists the probes that
//! escape on no stage, so that another test has to prove that they can.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::attack::probe::{self, Header};

/// The exceptions.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    /// Probes that escape although they should not.
    pub known_gaps: Vec<KnownGap>,
    /// Probes that escape on no stage, with the test that shows that they can.
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
    /// The last stage where it does, when a later one contains it.
    #[serde(default = "always")]
    pub until: u16,
    /// Why it is accepted.
    pub reason: String,
}

fn always() -> u16 {
    u16::MAX
}

impl KnownGap {
    /// Whether it applies to that stage.
    pub fn on(&self, stage: u16) -> bool {
        (self.from..=self.until).contains(&stage)
    }
}

/// A probe that does not escape even on a stage without a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// The probe's id.
    pub probe: String,
    /// Why it does not, and which test shows that it can.
    pub reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownGaps {
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
    /// When one is missing or malformed.
    pub fn load() -> Result<Self> {
        let dir = probe::dir();
        let KnownGaps { known_gap } = read(&dir.join("known_gaps.toml"))?;
        let Controls { control } = read(&dir.join("controls.toml"))?;
        Ok(Self { known_gaps: known_gap, controls: control })
    }

    /// Whether `stage` must contain the probe.
    pub fn must_contain(&self, header: &Header, stage: u16) -> bool {
        let excepted = |it: &KnownGap| it.probe == header.id && it.on(stage);
        stage >= header.contained_from && !self.known_gaps.iter().any(excepted)
    }
}

fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is malformed", path.display()))
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
            assert!(probes.iter().any(|probe| probe.header.id == *id), "there is no probe {id}");
            assert!(reason.trim().len() > 20, "{id}: the reason is missing");
        }
    }

    #[test]
    fn a_known_gap_is_not_expected_to_be_contained() {
        let code = probe::header::tests::EXAMPLE;
        let header = Header::parse(code, Path::new("x")).unwrap();
        let (probe, reason) = ("network/tcp".to_owned(), String::new());
        let known_gaps = vec![KnownGap { probe, from: 4, until: 4, reason }];
        let expectations = Expectations { known_gaps, controls: Vec::new() };
        let contains = [2, 4, 5].map(|stage| expectations.must_contain(&header, stage));
        assert_eq!(contains, [false, false, true]);
    }
}
