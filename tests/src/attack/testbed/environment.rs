//! The environment of a stage in which probes run, beside the default one: each has a language.

use anyhow::{Context as _, Result};
use reqwest::Method;
use serde::Deserialize;

use super::Testbed;
use crate::attack::probe::Language;
use crate::support::client::Client;

/// An environment other than the default.
#[derive(Debug)]
pub(super) struct Environment {
    /// A client whose programs run in it.
    client: Client,
    language: Language,
}

/// `GET /environments`.
#[derive(Deserialize)]
struct List {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    name: String,
    /// The file of a program; an environment that is missing has none.
    file: Option<String>,
}

impl Testbed {
    /// The same, whose probes run in this environment, in its language.
    ///
    /// # Errors
    ///
    /// When the server has no such environment, or no probe is in its language.
    pub async fn in_environment(mut self, name: &str) -> Result<Self> {
        let response = self.client.request(Method::GET, "/environments").send().await?;
        let list: List = response.error_for_status()?.json().await?;
        let item = list.items.into_iter().find(|item| item.name == name);
        let file = item.and_then(|item| item.file);
        let file = file.with_context(|| format!("this server has no environment {name}"))?;
        let language = Language::of_file(&file);
        let language = language.with_context(|| format!("no probe is written for {file}"))?;
        let client = self.client.clone().in_environment(Some(name.to_owned()));
        self.environment = Some(Environment { client, language });
        Ok(self)
    }

    /// The same, whose probes are executed by root in sandboxes that stay, each in one of its own.
    #[must_use]
    pub fn as_root_in_kept_sandboxes(mut self) -> Self {
        let client = self.client.clone().in_kept_sandboxes("root");
        self.environment = Some(Environment { client, language: Language::Python });
        self.runs_in_kept_sandboxes = true;
        self
    }

    /// The language of the probes.
    pub fn language(&self) -> Language {
        self.environment.as_ref().map_or(Language::Python, |environment| environment.language)
    }

    /// A client that submits the probes.
    pub fn programs(&self) -> &Client {
        self.environment.as_ref().map_or(&self.client, |environment| &environment.client)
    }
}
