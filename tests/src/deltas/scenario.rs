//! The scenario that is run against every stage: `tests/scenario.toml`, parsed strictly.
//!
//! A step that is silently skipped, or uses a name that no step has saved, would look like
//! unchanged behaviour; so unknown keys and unknown names are errors.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Method;
use serde::Deserialize;

/// How long a response may take, in seconds, unless the step has its own timeout.
const DEFAULT_TIMEOUT_SECONDS: u64 = 60;

/// All groups, in their order.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Each has its own server.
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
    /// The steps, in this order.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// One request, or a restart.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// A few words.
    pub title: String,
    /// `METHOD /path`, with `{name}` for a saved value.
    pub send: Option<String>,
    /// Sent as it is.
    pub body: Option<String>,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// What to save of the response: a JSON Pointer for each name.
    #[serde(default)]
    pub save: BTreeMap<String, String>,
    /// Repeats the request until the evaluation has this status.
    pub until: Option<String>,
    /// How long a response may take, in seconds.
    #[serde(default = "default_timeout")]
    timeout: u64,
    /// Starts the server again, instead of a request.
    #[serde(default)]
    pub restart: bool,
}

fn default_timeout() -> u64 {
    DEFAULT_TIMEOUT_SECONDS
}

impl Scenario {
    /// Reads `tests/scenario.toml`.
    ///
    /// # Errors
    ///
    /// When it is missing or invalid.
    pub fn load() -> Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenario.toml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("{} is invalid", path.display()))
    }

    /// Reads a scenario.
    ///
    /// # Errors
    ///
    /// When it is invalid; the message names the step.
    pub fn parse(text: &str) -> Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        for group in &scenario.groups {
            let mut saved = BTreeSet::new();
            for step in &group.steps {
                step.check(&saved).with_context(|| format!("{}: {}", group.title, step.title))?;
                saved.extend(step.save.keys().map(String::as_str));
            }
        }
        Ok(scenario)
    }
}

impl Step {
    fn check(&self, saved: &BTreeSet<&str>) -> Result<()> {
        ensure!(!self.title.trim().is_empty(), "the title is empty");
        if self.restart {
            let asks = self.send.is_some() || self.body.is_some() || self.until.is_some();
            let more = !self.headers.is_empty() || !self.save.is_empty();
            ensure!(!asks && !more, "a restart sends nothing and saves nothing");
            return Ok(());
        }
        let (method, path) = self.request()?;
        ensure!(self.until.is_none() || method == Method::GET, "`until` is for GET only");
        for name in names_in(&path) {
            ensure!(saved.contains(name), "no step before has saved {{{name}}}");
        }
        if let Some(pointer) = self.save.values().find(|pointer| !pointer.starts_with('/')) {
            bail!("{pointer:?} is no JSON Pointer; write one such as \"/id\"");
        }
        Ok(())
    }

    /// Method and path, with their `{names}`.
    ///
    /// # Errors
    ///
    /// When `send` is missing or something else.
    pub fn request(&self) -> Result<(Method, String)> {
        let send = self.send.as_deref().context("`send` is missing, or `restart = true`")?;
        let (method, path) = send.split_once(' ').unwrap_or_default();
        let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE];
        let method = known.into_iter().find(|known| known.as_str() == method);
        match method {
            Some(method) if path.starts_with('/') => Ok((method, path.to_owned())),
            _ => bail!("{send:?} is not as in \"GET /eval\""),
        }
    }

    /// How long its response may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout)
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
save = { one = "/id" }
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
        assert_eq!(scenario.groups[0].steps[1].timeout(), Duration::from_mins(1));
    }

    #[test]
    fn the_scenario_of_this_repository_can_be_read() {
        assert!(Scenario::load().unwrap().groups.len() > 5);
    }

    #[test]
    fn an_invalid_step_is_an_error_that_names_it() {
        for (from, to, error) in [
            ("title = \"A\"", "title = \"A\"\nflag = []", "unknown field `flag`"),
            ("title = \"s\"", "title = \"s\"\nsends = 1", "unknown field `sends`"),
            ("title = \"s\"", "title = \" \"", "the title is empty"),
            ("send = \"POST /eval\"", "", "A: s: `send` is missing"),
            ("POST /eval", "FETCH /eval", "A: s: \"FETCH /eval\" is not as in"),
            ("POST /eval", "POST eval", "A: s: \"POST eval\" is not as in"),
            ("{one}", "{two}", "A: t: no step before has saved {two}"),
            ("\"/id\"", "\"id\"", "A: s: \"id\" is no JSON Pointer"),
            ("title = \"s\"", "title = \"s\"\nuntil = \"running\"", "`until` is for GET only"),
            ("restart = true", "restart = true\nbody = \"\"", "A: r: a restart sends nothing"),
        ] {
            let message = format!("{:#}", Scenario::parse(&GOOD.replace(from, to)).unwrap_err());
            assert!(message.contains(error), "{message}\nis not\n{error}");
        }
    }
}
