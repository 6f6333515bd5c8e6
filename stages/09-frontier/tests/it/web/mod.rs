//! The web frontend, as a person uses it: in Debian's Chromium, through `WebDriver`.

mod access;
mod attacks;
mod browser;
mod corpus;
mod pages;
mod run;
mod sandbox;

use harness::{Client, Launch, Server};
use serde_json::{Value, json};

use crate::accounts::Site;
use browser::Browser;

/// A server without isolation on a directory of its own, and a browser on its first page.
pub(crate) struct Web {
    pub(crate) site: Site,
    pub(crate) server: Server,
    pub(crate) browser: Browser,
}

impl Web {
    /// An open server: there are no keys.
    pub(crate) async fn new() -> Self {
        Self::with(|launch| launch).await
    }

    pub(crate) async fn with(configure: impl FnOnce(Launch) -> Launch) -> Self {
        let site = Site::new();
        let server = configure(site.launch().arg("--strict-contract")).start();
        Self::on(site, server).await
    }

    pub(crate) async fn on(site: Site, server: Server) -> Self {
        let browser = Browser::start().await;
        browser.goto(server.url()).await;
        browser.wait("main h1").await;
        Self { site, server, browser }
    }

    pub(crate) fn client(&self) -> Client {
        self.server.client()
    }

    /// Goes to a page of the frontend, such as `list?status=failed`.
    pub(crate) async fn open(&self, page: &str) {
        self.browser.goto(&format!("{}/#/{page}", self.server.url())).await;
        self.browser.wait("main h1").await;
    }

    /// Goes to the page of one evaluation.
    pub(crate) async fn open_evaluation(&self, id: &str) {
        self.open(&format!("eval/{id}")).await;
        self.browser.wait_text("main .head code", id).await;
    }
}

/// The id of an evaluation.
pub(crate) fn id_of(evaluation: &Value) -> String {
    evaluation["id"].as_str().unwrap().to_owned()
}

/// A submission of `code` with one label.
pub(crate) fn labelled(code: &str, name: &str, value: &str) -> Value {
    json!({ "code": code, "labels": { name: value } })
}
