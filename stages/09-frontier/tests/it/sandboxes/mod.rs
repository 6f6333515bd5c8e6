//! Sandboxes that stay, on gVisor through both processes, as clients use them.

mod crash;
mod execs;
mod files;
mod leases;
mod many;

use std::path::Path;
use std::process::Command;

use harness::{Client, Launch, Method, Response};
use serde_json::{Value, json};

use crate::artifacts::deployed;
use crate::stage;

/// The stage with the environment of sandboxes, which is built if it is missing.
pub(crate) fn launch(directory: &Path) -> Launch {
    let mut build = Command::new(stage::BINARY);
    let output = build.args(["env", "build", "--if-missing", "agent"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    deployed(directory).args(["--rate-limit", "1000000"])
}

/// One sandbox, as its client sees it.
pub(crate) struct Sandbox {
    pub(crate) client: Client,
    pub(crate) id: String,
}

impl Sandbox {
    pub(crate) async fn open(client: &Client, body: Value) -> Self {
        let opened = client.post("/sandboxes", &body).await;
        assert_eq!(opened.status, 201, "{opened:?}");
        let id = opened.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(opened.header("location"), format!("/sandboxes/{id}"));
        Self { client: client.clone(), id }
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/sandboxes/{}{rest}", self.id)
    }

    pub(crate) async fn get(&self, rest: &str) -> Response {
        self.client.get(&self.path(rest)).await
    }

    pub(crate) async fn put(&self, rest: &str, body: &Value) -> Response {
        put(&self.client, &self.path(rest), body).await
    }

    /// Sends bytes to a path of the sandbox.
    pub(crate) async fn put_bytes(&self, rest: &str, bytes: impl Into<reqwest::Body>) -> Response {
        let request = self.client.request(Method::PUT, &self.path(rest));
        let request = request.header("content-type", "application/octet-stream").body(bytes);
        self.client.send(request).await
    }

    /// The end of a command.
    pub(crate) async fn exec(&self, id: &str, body: &Value) -> Value {
        let ended = self.put(&format!("/execs/{id}"), body).await;
        assert_eq!(ended.status, 200, "{ended:?}");
        ended.json()
    }

    /// The output of a shell script that succeeds.
    pub(crate) async fn sh(&self, id: &str, script: &str) -> String {
        let ended = self.exec(id, &json!({ "argv": ["sh", "-c", script] })).await;
        assert_eq!(ended["exit_code"], 0, "{ended}");
        ended["stdout"]["text"].as_str().unwrap().to_owned()
    }

    /// Starts a command without waiting for it.
    pub(crate) async fn detach(&self, id: &str, mut body: Value) {
        body["detach"] = true.into();
        let running = self.put(&format!("/execs/{id}"), &body).await;
        assert!([200, 202].contains(&running.status), "{running:?}");
    }

    pub(crate) async fn ended(&self, id: &str) -> Value {
        let ended = self.get(&format!("/execs/{id}?wait_seconds=60")).await.json();
        assert_eq!(ended["status"], "ended", "{ended}");
        ended
    }
}

pub(crate) async fn put(client: &Client, path: &str, body: &Value) -> Response {
    client.send(client.request(Method::PUT, path).json(body)).await
}
