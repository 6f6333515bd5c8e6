//! What each stage promises to contain, and the exceptions, each with its reason.
//!
//! A probe's header says from which stage on it has to be contained. `tests/probes/residuals.toml`
//! lists what escapes all the same; `tests/probes/controls.toml` lists the probes that escape
//! nowhere, so that something else has to prove that they could.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::probe::{self, Header};

/// The exceptions.
#[derive(Debug, Clone, Default)]
pub struct Promises {
    /// What escapes although it should not.
    pub residuals: Vec<Residual>,
    /// What does not escape although it could.
    pub controls: Vec<Control>,
}

/// A probe that escapes on stages that should contain it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
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

impl Residual {
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
    residual: Vec<Residual>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Controls {
    #[serde(default)]
    control: Vec<Control>,
}

impl Promises {
    /// Reads both lists.
    ///
    /// # Errors
    ///
    /// When one is not there, or not in its format.
    pub fn load() -> Result<Self> {
        let folder = probe::folder();
        let Residuals { residual } = read(&folder.join("residuals.toml"))?;
        let Controls { control } = read(&folder.join("controls.toml"))?;
        Ok(Self { residuals: residual, controls: control })
    }

    /// Whether `stage` promises to contain the probe.
    pub fn contains(&self, header: &Header, stage: u16) -> bool {
        let excepted = |it: &Residual| it.probe == header.id && it.on(stage);
        stage >= header.promised && !self.residuals.iter().any(excepted)
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
        let promises = Promises::load().unwrap();
        let probes = probe::all().unwrap();
        let entries = promises.residuals.iter().map(|it| (&it.probe, &it.reason));
        for (id, reason) in
            entries.chain(promises.controls.iter().map(|it| (&it.probe, &it.reason)))
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
        let residuals = vec![Residual { probe, from: 4, until: 4, reason }];
        let promises = Promises { residuals, controls: Vec::new() };
        let kept = [2, 4, 5].map(|stage| promises.contains(&header, stage));
        assert_eq!(kept, [false, false, true]);
    }
}
