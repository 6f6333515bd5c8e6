//! The scenario that is played against every stage: `tests/scenario.toml`, read strictly.
//!
//! A step that is silently left out, or asks for something that no step has kept, would look like
//! behaviour that did not change; so an unknown key and a name that nobody keeps are errors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Method;
use serde::Deserialize;

/// How long an answer may take, in seconds, unless the step says otherwise.
const PATIENCE: u64 = 60;

/// All groups, in their order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Each has a server of its own.
    #[serde(rename = "group")]
    pub groups: Vec<ScenarioGroup>,
}

/// Some steps on one server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioGroup {
    /// A few words.
    pub title: String,
    /// Command-line flags of the server.
    #[serde(default)]
    pub flags: Vec<String>,
    /// What is done, in this order.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// One request, or a restart.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// A few words.
    pub title: String,
    /// `METHOD /path`, with `{name}` for what was kept.
    pub send: Option<String>,
    /// Sent as it is.
    pub body: Option<String>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What to keep of the answer: a JSON Pointer for each name.
    #[serde(default)]
    pub keep: BTreeMap<String, String>,
    /// Asks again until the evaluation has this status.
    pub until: Option<String>,
    /// How long an answer may take, in seconds.
    #[serde(default = "patience")]
    patience: u64,
    /// Starts the server again, instead of a request.
    #[serde(default)]
    pub restart: bool,
}

fn patience() -> u64 {
    PATIENCE
}

impl Scenario {
    /// Reads `tests/scenario.toml`.
    ///
    /// # Errors
    ///
    /// When it is not there, or says something that it cannot say.
    pub fn load() -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenario.toml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is not as it should be", path.display()))
    }

    /// Reads a scenario.
    ///
    /// # Errors
    ///
    /// When it says something that it cannot say; the message names the step.
    pub fn parse(text: &str) -> Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        for group in &scenario.groups {
            let mut kept = BTreeSet::new();
            for step in &group.steps {
                step.check(&kept).with_context(|| format!("{}: {}", group.title, step.title))?;
                kept.extend(step.keep.keys().map(String::as_str));
            }
        }
        Ok(scenario)
    }
}

impl Step {
    fn check(&self, kept: &BTreeSet<&str>) -> Result<()> {
        ensure!(!self.title.trim().is_empty(), "the title is empty");
        if self.restart {
            let asks = self.send.is_some() || self.body.is_some() || self.until.is_some();
            let more = !self.headers.is_empty() || !self.keep.is_empty();
            ensure!(!asks && !more, "a restart sends nothing and keeps nothing");
            return Ok(());
        }
        let (method, path) = self.request()?;
        ensure!(self.until.is_none() || method == Method::GET, "`until` is for GET alone");
        for name in names_in(&path) {
            ensure!(kept.contains(name), "no step before has kept {{{name}}}");
        }
        if let Some(pointer) = self.keep.values().find(|pointer| !pointer.starts_with('/')) {
            bail!("{pointer:?} is no JSON Pointer; write one such as \"/id\"");
        }
        Ok(())
    }

    /// Method and path, names and all.
    ///
    /// # Errors
    ///
    /// When `send` is missing or something else.
    pub fn request(&self) -> Result<(Method, String)> {
        let send = self.send.as_deref().context("say what to `send`, or `restart = true`")?;
        let (method, path) = send.split_once(' ').unwrap_or_default();
        let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
        let method = known.into_iter().find(|known| known.as_str() == method);
        match method {
            Some(method) if path.starts_with('/') => Ok((method, path.to_owned())),
            _ => bail!("{send:?} is not as in \"GET /eval\""),
        }
    }

    /// How long its answer may take.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.patience)
    }
}

/// The names in braces.
pub fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[[group]]
title = "A"
[[group.step]]
title = "s"
send = "POST /eval"
keep = { one = "/id" }
[[group.step]]
title = "t"
send = "GET /eval/{one}"
[[group.step]]
title = "r"
restart = true
"#;

    #[test]
    fn a_good_scenario_is_read() {
        let scenario = Scenario::parse(GOOD).unwrap();
        assert_eq!(scenario.groups[0].steps.len(), 3);
        assert_eq!(scenario.groups[0].steps[1].patience(), Duration::from_mins(1));
    }

    #[test]
    fn the_scenario_of_this_repository_can_be_read() {
        assert!(Scenario::load().unwrap().groups.len() > 5);
    }

    #[test]
    fn what_it_cannot_say_is_an_error_that_names_the_step() {
        for (from, to, error) in [
            ("title = \"A\"", "title = \"A\"\nflag = []", "unknown field `flag`"),
            ("title = \"s\"", "title = \"s\"\nsends = 1", "unknown field `sends`"),
            ("title = \"s\"", "title = \" \"", "the title is empty"),
            ("send = \"POST /eval\"", "", "A: s: say what to `send`"),
            ("POST /eval", "FETCH /eval", "A: s: \"FETCH /eval\" is not as in"),
            ("POST /eval", "POST eval", "A: s: \"POST eval\" is not as in"),
            ("{one}", "{two}", "A: t: no step before has kept {two}"),
            ("\"/id\"", "\"id\"", "A: s: \"id\" is no JSON Pointer"),
            ("title = \"s\"", "title = \"s\"\nuntil = \"running\"", "`until` is for GET alone"),
            ("restart = true", "restart = true\nbody = \"\"", "A: r: a restart sends nothing"),
        ] {
            let message = format!("{:#}", Scenario::parse(&GOOD.replace(from, to)).unwrap_err());
            assert!(message.contains(error), "{message}\nis not\n{error}");
        }
    }
}
