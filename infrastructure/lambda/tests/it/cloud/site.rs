//! A site: Amazon's services, the front, processes of the function, and keys.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use harness::{Client, Worker, eventually_some};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::front::Front;
use super::moto::{BUCKET, Moto, REGION, TABLE};

/// How long anything may take that should happen soon.
pub(crate) const EVENT_TIMEOUT: Duration = Duration::from_mins(1);
/// No isolation, which is not what is tested here.
pub(crate) const UNSANDBOXED: [&str; 4] =
    ["--engine", "subprocess", "--unsafe", "--single-process"];

/// The function and its clients.
pub(crate) struct Site {
    pub(crate) front: Front,
    pub(crate) storage: Moto,
    tickets: Moto,
    directory: TempDir,
    engine: &'static [&'static str],
    pub(crate) lease_seconds: u32,
    functions: Vec<Function>,
    /// With the scopes submit and read.
    pub(crate) client: Client,
    /// With the scope admin.
    pub(crate) admin: Client,
    /// With the scope worker.
    pub(crate) worker_client: Client,
}

/// A process of the function, which is killed when this is dropped.
pub(crate) struct Function(Child);

impl Function {
    /// Kills it as a machine that fails would.
    pub(crate) fn kill(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Site {
    /// A site with so many processes of the function, for workers without a sandbox.
    pub(crate) async fn start(functions: usize) -> Self {
        Self::with(functions, &UNSANDBOXED, 4).await
    }

    pub(crate) async fn with(
        functions: usize,
        engine: &'static [&'static str],
        lease_seconds: u32,
    ) -> Self {
        let (storage, tickets) = (Moto::with_one_thread(), Moto::with_threads());
        storage.create_storage().await;
        let front = Front::start().await;
        let client = Client::new(front.url());
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("credentials"), "an-id:a-secret\n").unwrap();
        let (admin, worker_client) = (client.clone(), client.clone());
        let mut site = Self {
            front,
            storage,
            tickets,
            directory,
            engine,
            lease_seconds,
            functions: Vec::new(),
            client,
            admin,
            worker_client,
        };
        site.client = site.client_with(&["submit", "read"]).1;
        site.admin = site.client_with(&["admin"]).1;
        let (key, worker_client) = site.client_with(&["worker"]);
        std::fs::write(site.path("worker-key"), key).unwrap();
        site.worker_client = worker_client;
        for _ in 0..functions {
            site.add_function();
        }
        site.front.has(functions).await;
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn queue(&self) -> String {
        format!("sqs://{REGION}/cloud?endpoint={}", self.tickets.url())
    }

    pub(crate) fn add_function(&mut self) {
        let queue = self.queue();
        let front = self.front.clone();
        self.functions.push(self.function(&front, &queue));
    }

    /// A process of the function behind that front, which publishes to that queue.
    pub(crate) fn function(&self, front: &Front, queue: &str) -> Function {
        self.function_within(front, queue, 10_000)
    }

    /// The same, with a bound of what may wait.
    pub(crate) fn function_within(&self, front: &Front, queue: &str, capacity: usize) -> Function {
        let mut command = self.command();
        command
            .args(self.engine)
            .env("AWS_LAMBDA_RUNTIME_API", front.address())
            .env("AWS_LAMBDA_FUNCTION_NAME", "api")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("CRUCIBLE_QUEUE", queue)
            .env("CRUCIBLE_BROKER_CREDENTIALS", self.path("credentials"))
            .env("CRUCIBLE_LEASE_SECONDS", self.lease_seconds.to_string())
            .env("CRUCIBLE_REPUBLISH_SECONDS", "1")
            .env("CRUCIBLE_QUEUE_CAPACITY", capacity.to_string())
            .env("CRUCIBLE_BROKER_DELIVERIES", "2")
            .env("CRUCIBLE_STRICT_CONTRACT", "true");
        if std::env::var_os("CLOUD_TEST_LOG").is_none() {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        Function(command.stdin(Stdio::null()).spawn().unwrap())
    }

    /// The binary, with what leads it to the table and the bucket.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crucible-lambda"));
        command
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", "id")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_ENDPOINT_URL_DYNAMODB", self.storage.url())
            .env("AWS_ENDPOINT_URL_S3", self.storage.url())
            .env("CRUCIBLE_TABLE", TABLE)
            .env("CRUCIBLE_BUCKET", BUCKET);
        command
    }

    /// What the operator's command prints.
    pub(crate) fn keys(&self, arguments: &[&str]) -> (String, String) {
        let output = self.command().arg("keys").args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{stderr}");
        (stdout, stderr)
    }

    /// A new key with these scopes, and a client with it.
    pub(crate) fn client_with(&self, scopes: &[&str]) -> (String, Client) {
        let mut arguments = vec!["create", "--name", "a-test"];
        arguments.extend(scopes.iter().flat_map(|scope| ["--scope", scope]));
        let (key, _) = self.keys(&arguments);
        let client = Client::new(self.front.url()).with_key(&key);
        (key, client)
    }

    /// A worker of stage 10 for two programs at a time.
    pub(crate) fn worker(&self, name: &str) -> Worker {
        let mut command = Command::new(harness::binary("stage-10-frontier-events"));
        command
            .args(["--role", "worker", "--api", &self.front.url(), "--queue", &self.queue()])
            .args(["--worker-name", name, "--workers", "2", "--self-test-seconds", "3600"])
            .args(["--drain-seconds", "5", "--broker-visibility-seconds", "3"])
            .args(["--broker-deliveries", "2"])
            .arg("--api-key-file")
            .arg(self.path("worker-key"))
            .arg("--broker-credentials")
            .arg(self.path("credentials"))
            .args(self.engine);
        Worker::start(&mut command, self.path(&format!("{name}.log")))
    }

    /// `dead` of stage 10, with these arguments.
    pub(crate) fn dead(&self, arguments: &[&str]) -> String {
        let output = Command::new(harness::binary("stage-10-frontier-events"))
            .arg("dead")
            .args(arguments)
            .args(["--queue", &self.queue(), "--broker-credentials"])
            .arg(self.path("credentials"))
            .output()
            .unwrap();
        let (out, log) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
        assert!(output.status.success(), "{log}");
        String::from_utf8(out).unwrap()
    }

    /// Calls SQS.
    pub(crate) async fn sqs(&self, action: &str, body: Value) -> Value {
        let credential = "AWS4-HMAC-SHA256 Credential=id/20260101/us-east-1/sqs/aws4_request";
        let request = reqwest::Client::new().post(self.tickets.url());
        let request = request
            .header("X-Amz-Target", format!("AmazonSQS.{action}"))
            .header("Authorization", credential)
            .header("Content-Type", "application/x-amz-json-1.0")
            .body(body.to_string());
        let answer = request.send().await.unwrap().error_for_status().unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default()
    }

    /// The URL of the queue of a name.
    pub(crate) async fn queue_url(&self, name: &str) -> String {
        let found = self.sqs("GetQueueUrl", json!({ "QueueName": name })).await;
        found["QueueUrl"].as_str().unwrap().to_owned()
    }

    /// Sweeps until `done` says so, as the schedule does every minute.
    pub(crate) async fn sweep_until<T>(
        &self,
        what: &str,
        mut done: impl AsyncFnMut(&Value) -> Option<T>,
    ) -> T {
        eventually_some(what, EVENT_TIMEOUT, async || {
            let swept = self.front.sweep().await;
            done(&swept).await
        })
        .await
    }
}
