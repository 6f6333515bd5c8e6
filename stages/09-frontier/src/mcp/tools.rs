//! The tools.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{CallToolResult, Implementation, ServerCapabilities, ServerConfig};
use rmcp::service::RequestContext;
use rmcp::{RoleServer, ServerHandler, tool, tool_handler, tool_router};
use serde_json::{Value, json};
use shared::evaluation::Encoding;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::client::{ApiClient, ApiError, Call, encoded};
use super::result::{ended, result};
use super::wire::{CloseSandbox, Execute, OpenSandbox, ReadFile, RunProgram, WriteFile};

/// How long one request waits for the end of a program. A longer program is asked for again.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);
/// The time of a command that is given none, in seconds: a model waits for it.
const DEFAULT_TIMEOUT_SECONDS: f64 = 120.0;
/// The most of a file that a model reads, in bytes.
const MAX_FILE_BYTES: usize = 256 << 10;
/// The most of an output that the stage keeps for a model, in bytes.
const MAX_OUTPUT_BYTES: usize = 256 << 10;
/// Between two looks at an evaluation that waits for a worker.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

const INSTRUCTIONS: &str = "Programs and commands run in sandboxes without a network. run_program runs one program \
    once; open_sandbox opens a sandbox that stays, with a file system of its own, for execute, read_file and write_file.";

/// The tools, and the sandboxes that they have opened.
#[derive(Clone)]
pub(super) struct Tools {
    api: Arc<ApiClient>,
    // Ids that `open_sandbox` has returned and `close_sandbox` has not seen.
    opened: Arc<Mutex<BTreeSet<String>>>,
    tool_router: ToolRouter<Self>,
}

#[tool_router]
impl Tools {
    /// The tools of a stage.
    pub(super) fn new(api: Arc<ApiClient>) -> Self {
        Self { api, opened: Arc::default(), tool_router: Self::tool_router() }
    }

    /// Run a program once in a fresh sandbox, and return its outcome and its outputs.
    #[tool]
    async fn run_program(
        &self,
        Parameters(program): Parameters<RunProgram>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        result(self.evaluated(program, &context.ct).await)
    }

    /// Open a sandbox that stays until `close_sandbox`, and return its id. It has no network.
    #[tool]
    async fn open_sandbox(
        &self,
        Parameters(OpenSandbox { environment, memory_bytes, lifetime_seconds }): Parameters<
            OpenSandbox,
        >,
    ) -> CallToolResult {
        let mut body = json!({ "labels": { "client": "mcp" } });
        if let Some(environment) = environment {
            body["environment"] = environment.into();
        }
        if let Some(bytes) = memory_bytes {
            body["limits"] = json!({ "memory_bytes": bytes });
        }
        if let Some(seconds) = lifetime_seconds {
            body["lifetime_seconds"] = seconds.into();
        }
        let call = Call::new(Method::POST, "/sandboxes".to_owned()).json(&body).once();
        let sandbox = self.api.json(call).await.map(|sandbox| {
            if let Some(id) = sandbox["id"].as_str() {
                self.opened().insert(id.to_owned());
            }
            let member = |name: &str| sandbox[name].clone();
            json!({
                "sandbox": member("id"),
                "environment": member("environment"),
                "user": member("user"),
                "workdir": member("workdir"),
                "expires_at": member("expires_at"),
            })
        });
        result(sandbox)
    }

    /// Execute a shell command in a sandbox, and return how it ended and what it wrote.
    #[tool]
    async fn execute(
        &self,
        Parameters(command): Parameters<Execute>,
        context: RequestContext<RoleServer>,
    ) -> CallToolResult {
        result(self.executed(command, &context.ct).await)
    }

    /// Read a file of a sandbox. Bytes that are no text come as base64.
    #[tool]
    async fn read_file(
        &self,
        Parameters(ReadFile { sandbox, path }): Parameters<ReadFile>,
    ) -> CallToolResult {
        let file = format!("{}&max_bytes={MAX_FILE_BYTES}", file(&sandbox, &path));
        let read = self.api.bytes(Call::new(Method::GET, file)).await;
        result(read.map(|bytes| {
            let (text, encoding) = Encoding::encode(&bytes);
            json!({ "content": text, "encoding": encoding, "bytes": bytes.len() })
        }))
    }

    /// Write a file of a sandbox, with the directories above it.
    #[tool]
    async fn write_file(
        &self,
        Parameters(WriteFile { sandbox, path, content }): Parameters<WriteFile>,
    ) -> CallToolResult {
        let bytes = content.len();
        let call = Call::new(Method::PUT, file(&sandbox, &path)).bytes(content.into());
        result(self.api.bytes(call).await.map(|_| json!({ "path": path, "bytes": bytes })))
    }

    /// Remove a sandbox with everything in it.
    #[tool]
    async fn close_sandbox(
        &self,
        Parameters(CloseSandbox { sandbox }): Parameters<CloseSandbox>,
    ) -> CallToolResult {
        result(self.removed(&sandbox).await)
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("crucible", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }
}

impl Tools {
    /// Removes the sandboxes that are still open.
    pub(super) async fn close(&self) {
        let left = std::mem::take(&mut *self.opened());
        for sandbox in left {
            if let Err(error) = self.removed(&sandbox).await {
                tracing::warn!(%error, sandbox, "a sandbox was not removed; its lifetime ends it");
            }
        }
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn removed(&self, sandbox: &str) -> Result<Value, ApiError> {
        let path = format!("/sandboxes/{}", encoded(sandbox));
        let removed = self.api.json(Call::new(Method::DELETE, path)).await?;
        self.opened().remove(sandbox);
        Ok(json!({ "sandbox": sandbox, "status": removed["status"] }))
    }

    /// Runs a program to its end, or until the call is cancelled.
    async fn evaluated(
        &self,
        RunProgram { code, stdin, timeout_seconds, environment }: RunProgram,
        stop: &CancellationToken,
    ) -> Result<Value, ApiError> {
        let body = json!({
            "code": code,
            "stdin": stdin,
            "timeout_seconds": timeout_seconds,
            "environment": environment,
        });
        let prefer = format!("wait={}", WAIT_TIMEOUT.as_secs());
        let call = Call::new(Method::POST, "/eval".to_owned()).json(&without_nulls(body)).once();
        let submit = self.api.json(call.header("prefer", prefer).waiting(WAIT_TIMEOUT));
        let mut evaluation = submit.await?;
        let path = format!("/eval/{}", encoded(evaluation["id"].as_str().unwrap_or_default()));
        while evaluation["outcome"].is_null() {
            let pause = tokio::time::sleep(POLL_INTERVAL);
            if stop.run_until_cancelled(pause).await.is_none() {
                evaluation = self.api.json(Call::new(Method::DELETE, path)).await?;
                break;
            }
            evaluation = self.api.json(Call::new(Method::GET, path.clone())).await?;
        }
        Ok(ended(&evaluation))
    }

    /// Executes a command to its end, or until the call is cancelled: then it is killed with everything that it has
    /// started.
    async fn executed(
        &self,
        Execute { sandbox, command, stdin, cwd, env, user, timeout_seconds }: Execute,
        stop: &CancellationToken,
    ) -> Result<Value, ApiError> {
        let body = json!({
            "argv": ["/bin/sh", "-c", command],
            "cwd": cwd,
            "env": env,
            "user": user,
            "timeout_seconds": timeout_seconds.unwrap_or(DEFAULT_TIMEOUT_SECONDS),
            "max_output_bytes": MAX_OUTPUT_BYTES,
            "keep": "tail",
            "stdin": stdin.map(|text| json!({ "text": text })),
            "detach": true,
        });
        let path = format!("/sandboxes/{}/execs/{}", encoded(&sandbox), Uuid::now_v7());
        let started = Call::new(Method::PUT, path.clone()).json(&without_nulls(body));
        let mut execution = self.api.json(started).await?;
        while execution["status"] != "ended" {
            let wait = format!("{path}?wait_seconds={}", WAIT_TIMEOUT.as_secs());
            let wait = self.api.json(Call::new(Method::GET, wait).waiting(WAIT_TIMEOUT));
            let Some(waited) = stop.run_until_cancelled(wait).await else {
                execution = self.api.json(Call::new(Method::DELETE, path)).await?;
                break;
            };
            execution = waited?;
        }
        Ok(ended(&execution))
    }
}

/// The path of a file's operation.
fn file(sandbox: &str, path: &str) -> String {
    format!("/sandboxes/{}/file?path={}", encoded(sandbox), encoded(path))
}

/// The same object without the members that were not given.
fn without_nulls(mut body: Value) -> Value {
    if let Some(members) = body.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    body
}
